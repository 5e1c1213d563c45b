// One stream that is kept: it comes back with its resume position after every end, and knows whether it is alive.
import { Code, ConnectError } from "@connectrpc/connect";
import type { Duration } from "@bufbuild/protobuf/wkt";
import { RetryInfoSchema } from "@gen/google/rpc/error_details_pb";

/** What all envelopes of streams share. */
export interface Envelope {
  position: string;
  frame: { case?: string | undefined; value?: unknown };
}

export interface Line<Frame extends Envelope> {
  /** Opens the stream after a position; empty: from a snapshot. */
  open: (resumeAfter: string, signal: AbortSignal) => AsyncIterable<Frame>;
  told: (frame: Frame) => void;
  changed: (live: boolean, why: string) => void;
  /** True where a resumed stream has nothing to tell before it is up to date. */
  quiet?: boolean;
  /** The credential is over. Waits for another one; false: there is none. */
  renewed?: () => Promise<boolean>;
}

const milliseconds = (told: Duration): number => Number(told.seconds) * 1000 + told.nanos / 1e6;
const FIRST_PAUSE_MS = 150;
const LONGEST_PAUSE_MS = 5_000;
const TICK_MS = 500;
// A timer that comes this much later slept: the machine was suspended, and nothing that was open can be believed.
const SLEPT_MS = 4_000;

export class KeptStream<Frame extends Envelope> {
  live = false;
  private position = "";
  private heard = 0;
  private silence = 15_000;
  private ended = false;
  // How long the server wants us to wait before the next stream, in milliseconds.
  private asked = 0;
  private attempt: AbortController | null = null;
  private wake: (() => void) | null = null;
  private readonly timer: ReturnType<typeof setInterval>;
  private ticked = Date.now();

  constructor(private readonly line: Line<Frame>) {
    this.timer = setInterval(() => this.watch(), TICK_MS);
    void this.run();
  }

  /** Ends for good. */
  end(): void {
    this.ended = true;
    clearInterval(this.timer);
    this.attempt?.abort();
    this.wake?.();
  }

  /** Comes back at once, with what it missed; `anew`: with a snapshot. */
  again(anew = false): void {
    if (anew) this.position = "";
    this.attempt?.abort();
    this.wake?.();
  }

  /** How long nothing was heard, in milliseconds. */
  get quietFor(): number {
    return Date.now() - this.heard;
  }

  /** Looks whether it can still be believed. By a timer, and whenever somebody asks. */
  watch(): void {
    const now = Date.now();
    const slept = now - this.ticked > SLEPT_MS;
    this.ticked = now;
    if (slept || (this.live && now - this.heard > this.silence * 1.5)) {
      this.say(false, slept ? "the machine slept" : "the stream fell silent");
      this.again();
    }
  }

  private say(live: boolean, why: string): void {
    if (this.live === live) return;
    this.live = live;
    this.line.changed(live, why);
  }

  private async run(): Promise<void> {
    let pause = FIRST_PAUSE_MS;
    while (!this.ended) {
      let why = "the stream ended";
      this.asked = 0;
      this.attempt = new AbortController();
      try {
        for await (const frame of this.line.open(this.position, this.attempt.signal)) {
          pause = FIRST_PAUSE_MS;
          this.take(frame);
        }
      } catch (error) {
        const refused = ConnectError.from(error);
        why = refused.rawMessage;
        const [retry] = refused.findDetails(RetryInfoSchema);
        if (retry?.retryDelay) this.asked = milliseconds(retry.retryDelay);
        if (refused.code === Code.InvalidArgument || refused.code === Code.OutOfRange) this.position = "";
        if (refused.code === Code.Unauthenticated && this.line.renewed) {
          this.say(false, why);
          if (!(await this.line.renewed())) break;
        }
      }
      if (this.ended) break;
      this.say(false, why);
      await this.sleep(Math.max(pause, this.asked));
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    }
    this.say(false, "not open");
  }

  private take(frame: Frame): void {
    this.heard = Date.now();
    const { case: kind, value } = frame.frame;
    if (kind === "ready") {
      const told = (value as { heartbeatInterval?: Duration }).heartbeatInterval;
      if (told) this.silence = Math.max(1_000, milliseconds(told));
    }
    // Live once the state is there, not before: what a page shows until then is from before the break.
    if (kind !== "ready" && kind !== "goodbye") this.say(true, "");
    else if (kind === "ready" && this.line.quiet && (value as { resumed?: boolean }).resumed) this.say(true, "");
    this.line.told(frame);
    if (frame.position) this.position = frame.position;
    if (kind === "goodbye") {
      this.position = (value as { resumeAfter: string }).resumeAfter || this.position;
      const asked = (value as { retryAfter?: Duration }).retryAfter;
      if (asked) this.asked = milliseconds(asked);
      this.say(false, (value as { reason: string }).reason);
    }
  }

  private sleep(ms: number): Promise<void> {
    return new Promise((done) => {
      const timer = setTimeout(done, ms);
      this.wake = () => {
        clearTimeout(timer);
        done();
      };
    });
  }
}
