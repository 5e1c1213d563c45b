// A failed call as an exception: what to do is in `code`, why in `reason` (venue.error.v1.Reason without its prefix).
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, PreconditionFailureSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";

/** A field of the request by its path, and what is wrong with it. */
export interface Violation { field: string; description: string }

const OPEN = new Set([Code.Unavailable, Code.DeadlineExceeded, Code.Canceled, Code.Internal, Code.Unknown, Code.DataLoss]);

export class VenueError extends Error {
  override readonly name = "VenueError";

  constructor(
    readonly code: Code,
    readonly reason: string,
    message: string,
    readonly metadata: Readonly<Record<string, string>> = {},
    readonly violations: readonly Violation[] = [],
    readonly preconditions: readonly Violation[] = [],
    /** When to come again, in milliseconds, where the server said so. */
    readonly retryAfterMs: number | undefined = undefined,
    /** Of the mutation that failed. */
    readonly requestId = "",
  ) {
    super(`${message} (${Code[code]} / ${reason})${violations.map((each) => `; ${each.field}: ${each.description}`).join("")}`);
  }

  /** Whether nobody knows what became of the call: repeat it with the same request id, or ask `Client.outcome`. */
  get isOutcomeUnknown(): boolean {
    return OPEN.has(this.code);
  }
}

/** The venue took the order's request and rejected the order. */
export class OrderRejected extends Error {
  override readonly name = "OrderRejected";
  constructor(readonly reason: string, readonly orderId: string) {
    super(`order ${orderId} was rejected: ${reason}`);
  }
}

/** Whatever a call threw, as a VenueError with the details that the contract names. */
export function errorOf(thrown: unknown, requestId = ""): VenueError {
  if (thrown instanceof VenueError) return thrown;
  const error = ConnectError.from(thrown);
  // What an interceptor throws comes out wrapped.
  if (error.cause instanceof VenueError) return error.cause;
  const [info] = error.findDetails(ErrorInfoSchema);
  const [bad] = error.findDetails(BadRequestSchema);
  const [precondition] = error.findDetails(PreconditionFailureSchema);
  const [retry] = error.findDetails(RetryInfoSchema);
  const delay = retry?.retryDelay;
  return new VenueError(
    error.code, info?.reason ?? Code[error.code], error.rawMessage, info?.metadata ?? {},
    bad?.fieldViolations.map(({ field, description }) => ({ field, description })) ?? [],
    precondition?.violations.map(({ subject, description }) => ({ field: subject, description })) ?? [],
    delay && Number(delay.seconds) * 1000 + delay.nanos / 1e6, requestId,
  );
}
