// What happened, told for a while.
import { signal } from "@preact/signals";

export interface Toast {
  id: number;
  tone: "good" | "bad" | "plain";
  title: string;
  text: string;
}

const SHOWN_MS = 6_000;
const SHOWN_MAX = 4;
let next = 1;

export const toasts = signal<Toast[]>([]);

export function toast(tone: Toast["tone"], title: string, text = ""): void {
  const id = next++;
  toasts.value = [...toasts.value, { id, tone, title, text }].slice(-SHOWN_MAX);
  setTimeout(() => dismiss(id), SHOWN_MS);
}

export function dismiss(id: number): void {
  toasts.value = toasts.value.filter((one) => one.id !== id);
}
