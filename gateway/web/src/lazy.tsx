// A part of the program that is fetched when it is first shown.
import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";

export function lazy(load: () => Promise<ComponentType>): ComponentType {
  let found: ComponentType | null = null;
  return function Later() {
    const [, again] = useState(0);
    useEffect(() => {
      if (found) return;
      void load().then((component) => {
        found = component;
        again(1);
      }, () => location.reload());
    }, []);
    const Found = found;
    return Found ? <Found /> : <main class="page"><p class="empty">Loading …</p></main>;
  };
}
