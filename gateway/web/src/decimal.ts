// Decimals of the contract as integers of 10^-18, so that no amount on the page is ever a float.
const DIGITS = 18;
export const ONE = 10n ** BigInt(DIGITS);
const PLAIN = /^(-?)(\d{1,18})(?:\.(\d{1,18}))?$/;

/** The value of a decimal of the contract; null where the text is none. */
export function parse(text: string): bigint | null {
  const found = PLAIN.exec(text.trim());
  if (!found) return null;
  const value = BigInt(found[2]!) * ONE + BigInt((found[3] ?? "").padEnd(DIGITS, "0"));
  return found[1] ? -value : value;
}

/** The value of a decimal that the server sent; empty is zero. */
export function amount(text: string): bigint {
  return text === "" ? 0n : (parse(text) ?? 0n);
}

/** Plain notation without trailing zeros, as requests carry it. */
export function plain(value: bigint): string {
  const sign = value < 0n ? "-" : "";
  const magnitude = value < 0n ? -value : value;
  const fraction = (magnitude % ONE).toString().padStart(DIGITS, "0").replace(/0+$/, "");
  return `${sign}${magnitude / ONE}${fraction ? `.${fraction}` : ""}`;
}

/** So many digits after the point, cut off towards zero, thousands apart. */
export function fixed(value: bigint, digits: number, grouped = true): string {
  const magnitude = value < 0n ? -value : value;
  const whole = (magnitude / ONE).toString();
  const fraction = digits ? `.${(magnitude % ONE).toString().padStart(DIGITS, "0").slice(0, digits)}` : "";
  const shown = (grouped && whole.length > 3 ? whole.replace(/\B(?=(\d{3})+$)/g, ",") : whole) + fraction;
  return value < 0n && /[1-9]/.test(shown) ? `−${shown}` : shown;
}

/** As `fixed`, of a decimal of the contract; a dash for none. */
export function shown(text: string, digits: number): string {
  const value = text === "" ? null : parse(text);
  return value === null ? "–" : fixed(value, digits);
}

export const times = (a: bigint, b: bigint): bigint => (a * b) / ONE;
export const over = (a: bigint, b: bigint): bigint => (b === 0n ? 0n : (a * ONE) / b);
export const approximate = (value: bigint): number => Number(value) / 1e18;

/** How many digits after the point a step such as 0.01 has. */
export function digitsOf(step: string): number {
  return step.includes(".") ? step.replace(/0+$/, "").split(".")[1]!.length : 0;
}

/** The multiple of the step at or below the value. */
export const floorTo = (value: bigint, step: bigint): bigint => (step > 0n ? (value / step) * step : value);
