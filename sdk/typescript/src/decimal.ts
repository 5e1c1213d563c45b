// The contract's decimals: plain notation, at most 18 digits before the point and 18 behind it. They stay text; who counts with
// them counts in whole units of 10^-18. A number of JavaScript is a binary fraction and is refused.

const DECIMAL = /^-?[0-9]{1,18}(?:\.[0-9]{1,18})?$/;
const SCALE = 18;

/** Decimal text in its shortest form: no zeros at the end or the beginning. Throws where it is none, and for a number. */
export function decimal(value: string | bigint): string {
  if (typeof value !== "string" && typeof value !== "bigint") throw new TypeError("a decimal is text or a bigint: a number is not exact");
  return unscaled(scaled(String(value)));
}

/** In units of 10^-18. Throws where the text is no decimal of the contract. */
export function scaled(text: string): bigint {
  if (!DECIMAL.test(text)) throw new RangeError(`${JSON.stringify(text)} is no decimal of at most 18 and 18 digits`);
  const [whole, fraction = ""] = text.replace("-", "").split(".");
  const value = BigInt(whole + fraction.padEnd(SCALE, "0"));
  return text.startsWith("-") ? -value : value;
}

/** The text of so many units of 10^-18. */
export function unscaled(value: bigint): string {
  const digits = (value < 0n ? -value : value).toString().padStart(SCALE + 1, "0");
  const fraction = digits.slice(-SCALE).replace(/0+$/, "");
  return `${value < 0n ? "-" : ""}${digits.slice(0, -SCALE)}${fraction && `.${fraction}`}`;
}

/** Below zero, zero or above, as a is less than b, equal or more. */
export function compare(a: string, b: string): number {
  const difference = scaled(a) - scaled(b);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}
