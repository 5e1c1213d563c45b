// What a refusal says, and the ids that make repeating safe.
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "@gen/google/rpc/error_details_pb";

/** What a refusal says: words for the person, and for each wrong field its own. */
export interface Failure {
  message: string;
  reason: string;
  /** By the field's last name in camel case, as in requests. */
  fields: Record<string, string>;
  metadata: Record<string, string>;
  code: Code;
  /** Nobody knows whether it was done. */
  unanswered: boolean;
}

const OUTCOME_UNKNOWN = [Code.Unavailable, Code.DeadlineExceeded, Code.Unknown, Code.Internal, Code.Canceled];
// A server that was killed is back within it; an order that comes later than that is not what somebody wanted.
const AGAIN_MS = 8_000;
const PAUSE_MS = 400;

const camel = (name: string): string => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
const sentence = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

export function failure(error: unknown): Failure {
  const refused = ConnectError.from(error);
  const [info] = refused.findDetails(ErrorInfoSchema);
  const fields: Record<string, string> = {};
  for (const detail of refused.findDetails(BadRequestSchema))
    for (const violation of detail.fieldViolations) {
      const parts = violation.field.split(".").map(camel);
      const name = ["takeProfit", "stopLoss"].includes(parts.at(-2) ?? "") ? parts.slice(-2).join(".") : parts.at(-1)!;
      // A pattern is for programs.
      const said = /regex pattern/.test(violation.description) ? "Does not have the form that is expected here" : violation.description;
      fields[name.replace(/\[\d+\]$/, "")] ??= sentence(said);
    }
  const [retry] = refused.findDetails(RetryInfoSchema);
  const seconds = Number(retry?.retryDelay?.seconds ?? 0n) + (retry?.retryDelay?.nanos ? 1 : 0);
  const again = seconds ? ` Try again in ${seconds} s.` : "";
  const unknown = refused.code === Code.Unavailable || refused.code === Code.Unknown || refused.code === Code.Internal;
  const rejected = info?.metadata.reject_reason;
  const because = rejected ? `: ${rejected.toLowerCase().replaceAll("_", " ")}` : "";
  const words = unknown ? "The venue does not answer at present." : `${sentence(refused.rawMessage)}${because}.`.replace(/\.\.$/, ".");
  return { message: words + again, reason: info?.reason ?? "", fields, metadata: info?.metadata ?? {}, code: refused.code, unanswered: OUTCOME_UNKNOWN.includes(refused.code) };
}

/** A UUIDv7: repeating a call with it is safe. */
export function requestId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  let time = BigInt(Date.now());
  for (let at = 5; at >= 0; at--, time >>= 8n) bytes[at] = Number(time & 255n);
  bytes[6] = (bytes[6]! & 0x0f) | 0x70;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const text = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return text.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** Calls again with the same request id where the outcome is unknown, so that nothing is done twice or lost. */
export async function surely<Answer>(call: () => Promise<Answer>): Promise<Answer> {
  const end = Date.now() + AGAIN_MS;
  for (let pause = PAUSE_MS; ; pause += PAUSE_MS) {
    try {
      return await call();
    } catch (error) {
      if (Date.now() + pause > end || !OUTCOME_UNKNOWN.includes(ConnectError.from(error).code)) throw error;
      await new Promise((done) => setTimeout(done, pause));
    }
  }
}
