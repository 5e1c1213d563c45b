// A form that is sent: once at a time, with what is wrong where it belongs.
import { useSignal } from "@preact/signals";
import { failure, type Failure } from "../failure";

interface Deed {
  busy: boolean;
  failed: Failure | null;
  errors: Record<string, string>;
  run: (work: () => Promise<void>) => (event: Event) => void;
}

/** A form's sending: one at a time, what is wrong kept for the fields. */
export function useDeed(): Deed {
  const busy = useSignal(false);
  const failed = useSignal<Failure | null>(null);
  return {
    busy: busy.value,
    failed: failed.value,
    errors: failed.value?.fields ?? {},
    run: (work) => (event) => {
      event.preventDefault();
      if (busy.peek()) return;
      busy.value = true;
      failed.value = null;
      work()
        .catch((error: unknown) => (failed.value = failure(error)))
        .finally(() => (busy.value = false));
    },
  };
}

/** What is wrong beyond the fields. */
export function Wrong({ deed, except = [] }: { deed: Deed; except?: string[] }) {
  if (!deed.failed || except.includes(deed.failed.reason) || Object.keys(deed.errors).length) return null;
  return <p class="error" role="alert">{deed.failed.message}</p>;
}

export const Send = ({ deed, text }: { deed: Deed; text: string }) => <button type="submit" class="button main" disabled={deed.busy}>{deed.busy ? "One moment …" : text}</button>;
