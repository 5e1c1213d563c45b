// Light or dark: as the system has it, until somebody chooses.
import { effect, signal } from "@preact/signals";

const KEY = "venue.theme";
const system = matchMedia("(prefers-color-scheme: light)");
const stored = localStorage.getItem(KEY);

export const theme = signal<"light" | "dark">(stored === "light" || stored === "dark" ? stored : system.matches ? "light" : "dark");

system.addEventListener("change", () => {
  if (!localStorage.getItem(KEY)) theme.value = system.matches ? "light" : "dark";
});

effect(() => void (document.documentElement.dataset.theme = theme.value));

export function turn(): void {
  theme.value = theme.value === "dark" ? "light" : "dark";
  localStorage.setItem(KEY, theme.value);
}

/** A colour of the style sheet, for what is drawn on a canvas. */
export const colour = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
