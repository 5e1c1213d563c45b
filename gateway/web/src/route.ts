// Where in the terminal somebody is: the part of the address after #.
import { computed, signal } from "@preact/signals";

const read = (): string => location.hash.replace(/^#\/?/, "");
const here = signal(read());
addEventListener("hashchange", () => (here.value = read()));

export const path = computed(() => here.value.split("?")[0]!.split("/").map(decodeURIComponent));
export const query = computed(() => new URLSearchParams(here.value.split("?")[1] ?? ""));

export function go(to: string): void {
  location.hash = `#/${to}`;
  // The event comes later; nothing in between shall act on where one was.
  here.value = read();
}
