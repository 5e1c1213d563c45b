// Work that a screen shows, once a frame however often its cause changes.
import { effect } from "@preact/signals";

/** Runs `draw` in the next frame whenever a signal that `read` reads has changed. Returns what ends it. */
export function eachFrame(read: () => void, draw: () => void): () => void {
  let asked = 0;
  const end = effect(() => {
    read();
    if (!asked)
      asked = requestAnimationFrame(() => {
        asked = 0;
        draw();
      });
  });
  return () => {
    end();
    cancelAnimationFrame(asked);
  };
}
