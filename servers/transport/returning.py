"""When whoever was sent away may come again: each is told another moment.

Those who were refused or cut together would else come back together. What is said never is shorter than what has to be waited.
"""

import random
from collections.abc import Callable
from typing import Final, Protocol

from google.protobuf.duration_pb2 import Duration

from venue.type.v1 import stream_pb2

# A refusal's wait is made longer by up to this share of it.
SPREAD: Final = 0.5
# Some fewer than one process opens in a second (docs/benchmarks.md, P7d), so that those who return find it idle now and then.
RETURNS_A_SECOND: Final = 1_500
SPREAD_MAX_S: Final = 5.0
# A server that ends is still found for a moment: who comes back at once is sent away again and again.
SOON_MIN_S: Final = 0.05
SOON_MAX_S: Final = 0.1
# Who was too slow had better do something about it first.
SLOW_MIN_S: Final = 0.25
SLOW_MAX_S: Final = 1.0
SLOW_CONSUMER: Final = "SLOW_CONSUMER"
# With these credentials nobody is let in again.
FINAL: Final = frozenset({"SESSION_REVOKED"})
_random = random.Random()  # noqa: S311  # nosec B311  jitter, no secret


class Ending(Protocol):
    """What a goodbye needs of a call: how many streams its process has, or had when all were told to end."""

    @property
    def crowd(self) -> Callable[[], int]: ...


def refused_s(wait_s: float) -> float:
    """What a refused caller is told to wait, of what has to be waited at least."""
    return wait_s * _random.uniform(1.0, 1.0 + SPREAD)


def spread_s(streams: int) -> float:
    """How long the last of so many streams that end at once waits."""
    return min(SPREAD_MAX_S, SOON_MAX_S + streams / RETURNS_A_SECOND)


def goodbye(call: Ending, reason: str, resume_after: str) -> stream_pb2.Goodbye:
    """The last frame of a stream that the server ends."""
    said = stream_pb2.Goodbye(reason=reason, resume_after=resume_after)
    if reason in FINAL:
        return said
    first, last = (SLOW_MIN_S, SLOW_MAX_S) if reason == SLOW_CONSUMER else (SOON_MIN_S, spread_s(call.crowd()))
    said.retry_after.CopyFrom(duration(_random.uniform(first, last)))
    return said


def duration(seconds: float) -> Duration:
    """At least a nanosecond: nothing would mean that nothing was said."""
    made = Duration()
    made.FromNanoseconds(max(1, round(seconds * 1e9)))
    return made
