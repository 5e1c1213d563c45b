// A labelled input with what is wrong with it beside it.
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { floorTo, parse, plain } from "../decimal";

interface Properties {
  label: string;
  value: string;
  onInput: (value: string) => void;
  error?: string | undefined;
  hint?: ComponentChildren;
  unit?: ComponentChildren;
  /** Of a decimal: what arrow keys add and take. */
  step?: string | undefined;
  type?: "text" | "password" | "email" | "datetime-local" | "search";
  autoComplete?: string;
  required?: boolean;
  disabled?: boolean;
  name?: string;
  placeholder?: string;
  autoFocus?: boolean;
  small?: boolean;
  inputMode?: "decimal" | "numeric" | "text" | "email";
}

export function Field(given: Properties) {
  const id = useId();
  const input = useRef<HTMLInputElement>(null);
  // Browsers heed the attribute once a page: a dialog that opens later has to take the keys itself.
  useEffect(() => {
    if (given.autoFocus) input.current?.focus();
  }, []);
  const described = [given.error && `${id}-error`, given.hint && `${id}-hint`].filter(Boolean).join(" ");
  const stepped = (event: KeyboardEvent) => {
    if (!given.step || (event.key !== "ArrowUp" && event.key !== "ArrowDown")) return;
    const step = parse(given.step);
    if (!step) return;
    event.preventDefault();
    const by = step * (event.shiftKey ? 10n : 1n);
    const value = floorTo(parse(given.value || "0") ?? 0n, step) + (event.key === "ArrowUp" ? by : -by);
    given.onInput(plain(value > 0n ? value : 0n));
  };
  return (
    <div class={`field${given.error ? " wrong" : ""}${given.small ? " small" : ""}`}>
      <label for={id}>{given.label}</label>
      <div class="input">
        <input
          id={id}
          ref={input}
          name={given.name}
          value={given.value}
          type={(given.type ?? "text") as "text"}
          inputMode={given.inputMode ?? (given.step ? "decimal" : undefined)}
          autoComplete={given.autoComplete ?? "off"}
          spellcheck={false}
          required={given.required}
          disabled={given.disabled}
          placeholder={given.placeholder}
          aria-invalid={given.error ? "true" : undefined}
          aria-describedby={described || undefined}
          onInput={(event) => given.onInput(event.currentTarget.value)}
          onKeyDown={stepped}
        />
        {given.unit && <span class="unit">{given.unit}</span>}
      </div>
      {given.hint && !given.error && <p class="hint" id={`${id}-hint`}>{given.hint}</p>}
      {given.error && <p class="error" id={`${id}-error`} role="alert">{given.error}</p>}
    </div>
  );
}

interface Choice<Value extends string | number> {
  label: string;
  value: Value;
  options: readonly (readonly [Value, string])[];
  onChange: (value: Value) => void;
  bare?: boolean;
  disabled?: boolean;
}

export function Select<Value extends string | number>({ label, value, options, onChange, bare, disabled }: Choice<Value>) {
  const id = useId();
  return (
    <div class={bare ? "field bare" : "field"}>
      <label for={id} class={bare ? "unseen" : undefined}>{label}</label>
      <div class="input">
        <select id={id} value={String(value)} disabled={disabled} onChange={(event) => {
          const next = options[event.currentTarget.selectedIndex]![0];
          // It shows what is: a choice that only asks for something may be taken back, or refused.
          event.currentTarget.value = String(value);
          onChange(next);
        }}>
          {options.map(([key, text]) => <option key={key} value={String(key)} selected={key === value}>{text}</option>)}
        </select>
      </div>
    </div>
  );
}

export function Tabs<Key extends string>({ label, tabs, value, onChange, children }: { label: string; tabs: readonly (readonly [Key, ComponentChildren])[]; value: Key; onChange: (key: Key) => void; children?: ComponentChildren }) {
  const moved = (event: KeyboardEvent) => {
    const way = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!way) return;
    event.preventDefault();
    const at = tabs.findIndex(([key]) => key === value);
    onChange(tabs[(at + way + tabs.length) % tabs.length]![0]);
    const buttons = (event.currentTarget as HTMLElement).querySelectorAll<HTMLElement>('[role="tab"]');
    buttons[(at + way + tabs.length) % tabs.length]?.focus();
  };
  return (
    <div class="tabs">
      <div role="tablist" aria-label={label} onKeyDown={moved}>
        {tabs.map(([key, text]) => (
          <button key={key} type="button" role="tab" aria-selected={key === value} tabIndex={key === value ? 0 : -1} onClick={() => onChange(key)}>{text}</button>
        ))}
      </div>
      {children}
    </div>
  );
}
