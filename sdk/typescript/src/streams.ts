// Streams that come back: opened again with the last position after any end that is not final, read as one.
import { Code } from "@connectrpc/connect";
import type { Duration } from "@bufbuild/protobuf/wkt";
import type { Credential } from "./credentials.js";
import { errorOf } from "./errors.js";
import { StreamBroken } from "./market.js";
import { pause, waitMs, type Patience } from "./retries.js";

// Until `ready` has said how long a silence may be.
const READY_MS = 15_000;

const milliseconds = (told: Duration): number => Number(told.seconds) * 1000 + told.nanos / 1e6;

/** What the envelopes of all streams share. */
export interface Envelope { position: string; frame: { case?: string | undefined; value?: unknown } }

/** Opens a stream after a position, with a header. */
export type Open<Frame> = (resumeAfter: string, header: Record<string, string>, signal: AbortSignal) => AsyncIterable<Frame>;

/** What keeps a state from a stream: `take` throws StreamBroken where something was missed. */
export interface Keeper<Frame, Told> { position: string; take(frame: Frame): Told[] }

/** What `keeper` made of the stream's messages, until the signal. Throws VenueError where opening it again cannot help. */
export async function* kept<Frame extends Envelope, Told>(
  open: Open<Frame>, keeper: Keeper<Frame, Told>, credential: Credential | undefined, plain: Parameters<Credential["header"]>[0],
  patience: Patience, signal: AbortSignal,
): AsyncGenerator<Told, void, undefined> {
  let [failures, renewed] = [0, false];
  while (!signal.aborted) {
    const [name, value] = (await credential?.header(plain)) ?? [];
    const attempt = new AbortController();
    const both = AbortSignal.any([signal, attempt.signal]);
    let silence = READY_MS;
    let timer = setTimeout(() => attempt.abort(), silence);
    let wait = 0;
    try {
      for await (const frame of open(keeper.position, name ? { [name]: value! } : {}, both)) {
        clearTimeout(timer);
        [failures, renewed] = [0, false];
        if (frame.frame.case === "ready") {
          const told = (frame.frame.value as { heartbeatInterval?: Duration }).heartbeatInterval;
          if (told) silence = 2 * milliseconds(told) || READY_MS;
        } else if (frame.frame.case === "goodbye") {
          // Those who were sent away together are to come back one after the other.
          const asked = (frame.frame.value as { retryAfter?: Duration }).retryAfter;
          if (asked) wait = milliseconds(asked);
        }
        yield* keeper.take(frame);
        timer = setTimeout(() => attempt.abort(), silence);
      }
    } catch (thrown) {
      if (signal.aborted) return;
      const error = errorOf(thrown);
      if (thrown instanceof StreamBroken) keeper.position = "";
      else if (attempt.signal.aborted) wait = 0;
      else if (error.reason === "POSITION_INVALID" && keeper.position) keeper.position = "";
      else if (error.code === Code.Unauthenticated && credential && !renewed) {
        renewed = true;
        if (!(await credential.renew(plain, value!))) throw error;
      } else if (error.isOutcomeUnknown || error.code === Code.ResourceExhausted) wait = Math.max(wait, waitMs(error, failures, patience));
      else throw error;
    } finally {
      clearTimeout(timer);
      attempt.abort();
    }
    failures++;
    // A stream that ends at once, again and again, is not asked without a pause.
    await pause(Math.max(wait, failures > 1 ? patience.firstMs : 0));
  }
}
