"""Streams that come back: opened again with the last position after any end that is not final, read as one.

What the server cannot replay it announces with `gap` and a snapshot, which come through like every frame. A silence longer than
two heartbeats, or a frame that does not follow the one before it, ends the stream here; the second starts over with a snapshot.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final, Protocol, TypeVar

import grpc

from venue_sdk.credentials import Credential, Metadata
from venue_sdk.errors import Invalid, OutcomeUnknown, OverLimit, Unauthenticated, error_of
from venue_sdk.retries import Patience, wait_s

# Until `ready` has said how long a silence may be.
READY_S: Final = 15.0


class Frame(Protocol):
    """What the envelopes of all streams have."""

    sequence: int
    previous_sequence: int
    position: str
    ready: Any
    goodbye: Any

    def WhichOneof(self, oneof_group: Any) -> Any: ...  # noqa: ANN401  protobuf's own signature


Received = TypeVar("Received", bound=Frame)
# Opens a stream after a position, with these headers.
Open = Callable[[str, Metadata], Any]


class SilentError(Exception):
    """Nothing came for longer than the server may be silent."""


async def resumed(
    open_: Open, plain: grpc.aio.Channel, credential: Credential | None, patience: Patience, position: str = ""
) -> AsyncGenerator[Any, None]:
    """The frames, for ever. Raises VenueError where opening it again cannot help."""
    failures, renewed = 0, False
    while True:
        mine: Metadata = () if credential is None else await credential.metadata(plain)
        call = open_(position, mine)
        # What a goodbye asks for: those who were sent away together are to come back one after the other.
        pause = 0.0
        try:
            async for frame in frames(call):
                failures, renewed = 0, False
                position = frame.position or position
                if frame.WhichOneof("frame") == "goodbye":
                    position = frame.goodbye.resume_after or position
                    pause = frame.goodbye.retry_after.ToTimedelta().total_seconds()
                yield frame
        except SilentError:
            pass
        except grpc.aio.AioRpcError as raw:
            error = error_of(raw)
            if isinstance(error, Invalid) and error.reason == "POSITION_INVALID" and position:
                position = ""
            elif isinstance(error, Unauthenticated) and credential is not None and not renewed:
                renewed = True
                if not await credential.renew(plain, mine):
                    raise error from raw
            elif isinstance(error, OutcomeUnknown | OverLimit):
                pause = max(pause, wait_s(error, failures, patience))
            else:
                raise error from raw
        finally:
            call.cancel()
        # A stream that ends at once, again and again, is not asked without a pause.
        failures += 1
        await asyncio.sleep(max(pause, 0.0 if failures == 1 else patience.first_s))


async def frames(call: Any) -> AsyncGenerator[Any, None]:  # noqa: ANN401  a call of any stream
    """Raises AioRpcError, SilentError."""
    silence_s = READY_S
    while True:
        try:
            async with asyncio.timeout(silence_s):
                frame = await call.read()
        except TimeoutError:
            raise SilentError from None
        if frame is grpc.aio.EOF:
            return
        if frame.WhichOneof("frame") == "ready":
            silence_s = 2 * frame.ready.heartbeat_interval.ToTimedelta().total_seconds() or READY_S
        yield frame
