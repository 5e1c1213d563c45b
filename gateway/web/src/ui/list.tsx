// A table of what the server was asked for, and what stands in it while there is nothing.
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { failure } from "../failure";
import { toast } from "../toasts";

/** Says why there is nothing. */
export function say(error: unknown): void {
  const told = failure(error);
  toast("bad", told.unanswered ? "No answer" : "Refused", told.message);
}

interface List<Item> {
  /** Null until the server has answered. */
  items: Item[] | null;
  failed: boolean;
  load: () => Promise<void>;
}

/** A list that the server is asked for. */
export function useList<Item>(ask: () => Promise<Item[]>): List<Item> {
  const [items, failed] = [useSignal<Item[] | null>(null), useSignal(false)];
  const load = async (): Promise<void> => {
    try {
      items.value = await ask();
      failed.value = false;
    } catch (error) {
      failed.value = true;
      say(error);
    }
  };
  return { items: items.value, failed: failed.value, load };
}

/** What stands in a table without rows: whether there are none, or nobody has said so yet. */
export function NoRows({ of, columns, text }: { of: List<unknown>; columns: number; text: string }) {
  if (of.items?.length) return null;
  const told = of.items ? text : of.failed ? <>There was no answer. <button type="button" class="link" onClick={() => void of.load()}>Ask again</button></> : "Asking …";
  return <tr><td colSpan={columns} class="empty">{told}</td></tr>;
}

/** A table; the columns of `numbers` stand at the right. */
export const Rows = ({ label, head, numbers = [], children }: { label: string; head: readonly string[]; numbers?: readonly string[]; children: ComponentChildren }) => (
  <div class="scroll" tabIndex={0} role="region" aria-label={label}><table><thead><tr>{head.map((text) => <th key={text} class={numbers.includes(text) ? "n" : undefined}>{text}</th>)}</tr></thead><tbody>{children}</tbody></table></div>
);
