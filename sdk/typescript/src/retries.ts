// Repeats unary calls for as long as that is safe, with the credential and a request id: an interceptor under every client.
import type { DescMessage, DescMethod, Message } from "@bufbuild/protobuf";
import { getOption } from "@bufbuild/protobuf";
import { Code, type Interceptor, type Transport } from "@connectrpc/connect";
import { http } from "./gen/google/api/annotations_pb.js";
import type { Credential } from "./credentials.js";
import { errorOf, type VenueError } from "./errors.js";
import { requestId } from "./request_ids.js";

export interface Patience {
  /** How long a call is repeated, and how long one attempt may take. */
  totalMs: number;
  attemptMs: number;
  /** The waits between: they double from the first. */
  firstMs: number;
  longestMs: number;
}

export const PATIENCE: Patience = { totalMs: 30_000, attemptMs: 10_000, firstMs: 50, longestMs: 2_000 };
// Neither GET nor with a request id, and the same however often they are called.
const REPEATABLE = new Set(["PreviewOrder", "CancelAllAfter"]);

export const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** Whether a method may be repeated by its nature. */
export function changesNothing(method: DescMethod): boolean {
  return getOption(method, http).pattern.case === "get" || REPEATABLE.has(method.name);
}

/** Whether the request has an id by which it is answered once; it has one afterwards. */
export function named(input: DescMessage, request: Message): string {
  if (!input.field["requestId"] || input.name.includes("Outcome")) return "";
  const given = request as Message & { requestId: string };
  return (given.requestId ||= requestId());
}

/** The server's word, or twice as long each time, each with some chance so that clients do not come together. */
export function waitMs(error: VenueError, attempt: number, patience: Patience): number {
  if (error.retryAfterMs !== undefined) return error.retryAfterMs * (1 + Math.random() / 10);
  return Math.min(patience.longestMs, patience.firstMs * 2 ** attempt) * (0.5 + Math.random() / 2);
}

export function retrying(plain: Transport, credential: Credential | undefined, patience: Patience): Interceptor {
  return (next) => async (call) => {
    if (call.stream) return next(call);
    const id = named(call.method.input, call.message);
    const safe = id !== "" || changesNothing(call.method);
    const end = Date.now() + patience.totalMs;
    let renewed = false;
    for (let attempt = 0; ; attempt++) {
      const [name, value] = (await credential?.header(plain).catch((thrown: unknown) => { throw errorOf(thrown); })) ?? [];
      if (name) call.header.set(name, value!);
      const limit = AbortSignal.timeout(Math.max(1, Math.min(patience.attemptMs, end - Date.now())));
      try {
        return await next({ ...call, signal: AbortSignal.any([call.signal, limit]) });
      } catch (thrown) {
        const error = errorOf(thrown, id);
        if (call.signal.aborted) throw error;
        if (error.code === Code.Unauthenticated && credential && !renewed) {
          renewed = true;
          if (await credential.renew(plain, value!)) continue;
        }
        if (error.code !== Code.ResourceExhausted && !(safe && error.isOutcomeUnknown)) throw error;
        const wait = waitMs(error, attempt, patience);
        if (Date.now() + wait >= end) throw error;
        await pause(wait);
      }
    }
  };
}
