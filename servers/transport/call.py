"""One call as a servicer sees it."""

import asyncio
import time
import uuid
from base64 import b64decode
from collections.abc import Awaitable, Callable
from hashlib import sha256
from hmac import compare_digest
from math import ceil
from typing import Any

import structlog

from servers.domain.errors import VenueError
from servers.transport.errors import REQUEST_ID
from servers.transport.identity import ANONYMOUS, Identity
from servers.transport.limits import Bucket
from servers.transport.signatures import CONTENT_DIGEST, SIGNATURE, SIGNATURE_INPUT, Requested, Signed, read
from servers.transport.telemetry import MethodMetrics

REQUEST_ID_LENGTH_MAX = 128
USER_AGENT_MAX = 256
OURS = {"INTERNAL", "UNKNOWN", "DATA_LOSS"}

# Metadata by which servers of the venue know each other.
INTERNAL_KEY = "x-venue-internal"
# Metadata that only the gateway knows: who sends it may say where a call comes from.
GATEWAY_KEY = "x-venue-gateway"
API_KEY = "x-api-key"
RATELIMIT_LIMIT = "ratelimit-limit"
RATELIMIT_REMAINING = "ratelimit-remaining"
RATELIMIT_RESET = "ratelimit-reset"
# What the gateway's translation of REST adds; it takes it off calls that come with it.
ORIGINAL_PATH = "x-envoy-original-path"
ORIGINAL_METHOD = "x-envoy-original-method"
# The gateway's word on a signed REST call: base64 of its body's SHA-256 (gateway/body_digest.lua).
BODY_SHA256 = "x-venue-body-sha256"
log = structlog.get_logger()


class Call:
    """Who calls, until when, and under which id the logs know it.

    `request_id` is the one of the log (metadata `x-request-id`), not the idempotency key of a message.
    """

    __slots__ = (
        "_context", "_gateway_key", "_metrics", "_peer", "_requested", "_started", "api_key", "bucket", "caller", "credential",
        "crowd", "deadline_monotonic", "end", "forwarded", "gateway", "identity", "internal", "method", "rest",
    )  # fmt: skip

    def __init__(
        self,
        context: Any,  # noqa: ANN401  gRPC's own type
        method: str,
        metrics: MethodMetrics,
        gateway_key: bytes = b"",
    ) -> None:
        self._context = context
        self._gateway_key = gateway_key
        self._metrics = metrics
        self._started = time.perf_counter()
        self._requested = ""
        self._peer = ""
        self.method = method
        self.identity: Identity = ANONYMOUS
        # What limits count this call under: the user or API key, else the address.
        self.caller = ""
        self.credential = ""
        self.api_key = ""
        self.forwarded = ""
        self.gateway = b""
        # Whether the gateway has translated the call from REST.
        self.rest = False
        # The limit that the call was counted against.
        self.bucket: Bucket | None = None
        self.internal = ""
        self.end: asyncio.Future[str] | None = None
        # How many streams the process has, or had when they were told to end; of a stream the guard knows.
        self.crowd: Callable[[], int] = _alone
        remaining = context.time_remaining()
        self.deadline_monotonic: float | None = None if remaining is None else time.monotonic() + remaining
        for name, value in context.invocation_metadata():
            if name == "authorization":
                # Two credentials are none: which of them a proxy before us looked at is unknown.
                self.credential = "\n" if self.credential else value
            elif name == API_KEY:
                self.api_key = "\n" if self.api_key else value
            elif name == GATEWAY_KEY:
                self.gateway = value.encode()
            elif name == ORIGINAL_PATH:
                self.rest = True
            elif name == REQUEST_ID:
                self._requested = value
            elif name == INTERNAL_KEY:
                self.internal = value
            elif name == "x-forwarded-for":
                self.forwarded = value

    @property
    def request_id(self) -> str:
        """The caller's where it is fit to print, else a new one; made when first asked for."""
        requested = self._requested
        if (
            not requested
            or len(requested) > REQUEST_ID_LENGTH_MAX
            or not (requested.isascii() and requested.isprintable())
        ):
            self._requested = str(uuid.uuid4())
        return self._requested

    @property
    def user_agent(self) -> str:
        """What the program that calls names itself, cut to 256 characters that can be printed. Only while the call lasts."""
        found = next((value for name, value in self._context.invocation_metadata() if name == "user-agent"), "")
        return "".join(letter for letter in str(found)[:USER_AGENT_MAX] if letter.isprintable())

    def header(self, name: str) -> str:
        """What came with the call under a name, empty if nothing did. Only while the call lasts."""
        return next((str(value) for each, value in self._context.invocation_metadata() if each == name), "")

    @property
    def by_gateway(self) -> bool:
        """Whether the gateway sent it; everybody is believed to be it where nothing was said of its key."""
        return not self._gateway_key or compare_digest(self.gateway, self._gateway_key)

    def signed(self, raw: bytes) -> Signed:
        """The call's signature, which must be about this call; `raw` is its message. Raises NotAuthenticated."""
        if self.rest and self.by_gateway:
            path, _, query = self.header(ORIGINAL_PATH).partition("?")
            asked = Requested(self.header(ORIGINAL_METHOD), path, query, b64decode(self.header(BODY_SHA256)))
        else:
            asked = Requested("POST", self.method, "", sha256(raw).digest())
        return read(self.header(SIGNATURE_INPUT), self.header(SIGNATURE), self.header(CONTENT_DIGEST), asked)

    @property
    def user_id(self) -> str:
        """Empty where nobody in particular calls."""
        return self.identity.user_id

    @property
    def timeout_s(self) -> float | None:
        """What is left until the deadline, at least 0; None without one."""
        if self.deadline_monotonic is None:
            return None
        return max(0.0, self.deadline_monotonic - time.monotonic())

    @property
    def peer(self) -> str:
        """The caller's address: what the gateway saw, else the other end of the connection, without its port.

        Empty once the call has ended, unless it was asked for before. What others than the gateway say they saw is not believed.
        """
        if not self._peer:
            if self.forwarded and self.by_gateway:
                self._peer = self.forwarded.rpartition(",")[2].strip()
            elif self._context is not None:
                self._peer = self._context.peer().partition(":")[2].rpartition(":")[0]
        return self._peer

    @property
    def told(self) -> tuple[tuple[str, str], ...]:
        """What is left of the limit that the call was counted against, as metadata (docs/access.md); empty before it was."""
        if self.bucket is None:
            return ()
        use = self.bucket.use(self.caller)
        return (
            (RATELIMIT_LIMIT, str(use.limit)),
            (RATELIMIT_REMAINING, str(use.remaining)),
            (RATELIMIT_RESET, str(ceil(use.reset_s))),
        )

    def tell_limits(self) -> Awaitable[None] | None:
        """Tells them with the answer, for the guard: behind it, which costs no further frame; or, to REST, what sends them as
        headers.
        """
        if self.bucket is None or self._context is None:
            return None
        if self.rest:
            headers: Awaitable[None] = self._context.send_initial_metadata(self.told)
            return headers
        self._context.set_trailing_metadata(self.told)
        return None

    def read(self) -> Awaitable[Any]:
        """The next message of the caller, for the guard."""
        return self._context.read()  # type: ignore[no-any-return]

    def write(self, frame: bytes) -> Awaitable[None]:
        """Sends a frame, for the guard."""
        return self._context.write(frame)  # type: ignore[no-any-return]

    def finish(self, code: str, error: VenueError | None, cause: BaseException | None) -> None:
        """Counts the call, and logs how it failed if it did."""
        self._context = None
        took_s = time.perf_counter() - self._started
        self._metrics.count(code, took_s if self.end is None else None)
        if error is None:
            if self._metrics.log_calls:
                log.info("call", **self._line(code, took_s))
            return
        line = self._line(code, took_s) | {"reason": error.reason}
        detail = getattr(error, "cause", None)
        if detail is not None:
            line["cause"] = str(detail)
        if code in OURS:
            log.error("call failed", **line, exc_info=cause)
        elif cause is not None:
            log.warning("call failed", **line, exc_info=cause)
        else:
            log.info("call refused", **line)

    def _line(self, code: str, took_s: float) -> dict[str, object]:
        return {
            "method": self.method,
            "code": code,
            "request_id": self.request_id,
            "user_id": self.identity.user_id,
            "duration_ms": round(took_s * 1000, 3),
        }


def _alone() -> int:
    return 1
