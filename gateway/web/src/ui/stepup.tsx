// A fresh authentication, asked for where a method demands one, and the method called again.
import { signal, useSignal } from "@preact/signals";
import { auth, failure } from "../api";
import { granted } from "../session";
import { Send, useDeed, Wrong } from "./deed";
import { Field } from "./field";

const asking = signal<{ by: string; done: (there: boolean) => void } | null>(null);

/** Calls; where the server wants a fresh authentication, asks the person and calls again. Throws the refusal. */
export async function freshly<Answer>(call: () => Promise<Answer>): Promise<Answer> {
  try {
    return await call();
  } catch (error) {
    const told = failure(error);
    if (told.reason !== "STEP_UP_REQUIRED") throw error;
    const by = Object.values(told.metadata).includes("totp") ? "totp" : "password";
    const there = await new Promise<boolean>((done) => (asking.value = { by, done }));
    if (!there) throw error;
    return call();
  }
}

export function StepUp() {
  const now = asking.value;
  const secret = useSignal("");
  const deed = useDeed();
  if (!now) return null;
  const close = (there: boolean): void => {
    asking.value = null;
    secret.value = "";
    now.done(there);
  };
  const send = deed.run(async () => {
    granted(await auth.stepUp(now.by === "totp" ? { totpCode: secret.value.replace(/\s/g, "") } : { password: secret.value }));
    close(true);
  });
  const label = now.by === "totp" ? "Code of your authenticator" : "Password";
  return (
    <div class="veil">
      <div class="dialog" role="dialog" aria-modal="true" aria-label="Confirm that it is you">
        <h2>Confirm that it is you</h2>
        <form onSubmit={send} noValidate>
          <Field label={label} name="step-up" type={now.by === "totp" ? "text" : "password"} autoComplete={now.by === "totp" ? "one-time-code" : "current-password"} value={secret.value} onInput={(value) => (secret.value = value)} error={deed.errors.password ?? deed.errors.totpCode} autoFocus />
          <Wrong deed={deed} />
          <Send deed={deed} text="Confirm" />
          <button type="button" class="button" onClick={() => close(false)}>Cancel</button>
        </form>
      </div>
    </div>
  );
}
