"""When a party outside that fails is tried again: later each time, never all at once, and as before once it has proved itself.

Pure: time in seconds of one clock and the randomness are arguments.
"""

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

FIRST_S: Final = 1.0
LONGEST_S: Final = 300.0
OPENS_AFTER: Final = 3
# A source that works for a moment and fails again has not recovered.
SETTLED_S: Final = 10.0


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(slots=True)
class Breaker:
    """Counts failures in a row; from the third on it is open until `retry_at`, then half-open until the source has settled."""

    source: random.Random
    failures: int = 0
    failed_at: float = 0.0
    retry_at: float = 0.0

    def failed(self, now: float, retry_after_s: float = 0.0) -> None:
        """Wait 1, 2, 4 ... 300 s, less up to half of it by chance; longer where the source asked for it."""
        self.failures += 1
        longest = min(LONGEST_S, FIRST_S * 2 ** min(self.failures - 1, 16))
        wait = longest * self.source.uniform(0.5, 1.0)
        self.failed_at, self.retry_at = now, now + max(wait, min(retry_after_s, 4 * LONGEST_S))

    def worked(self, now: float) -> None:
        """The source told something good."""
        if self.failures and now >= self.failed_at + SETTLED_S:
            self.failures = 0

    def wait_s(self, now: float) -> float:
        """How long not to try."""
        return max(0.0, self.retry_at - now)

    def state(self, now: float) -> State:
        if self.failures < OPENS_AFTER:
            return State.CLOSED
        return State.OPEN if now < self.retry_at else State.HALF_OPEN
