"""The time that commands are stamped with: the wall clock, carried on by the monotonic one.

Stamps never go back. A wall clock that jumps (by more than a second) does not move the stamps; while the two disagree timers
are suspended, so that a jump expires no order. A jump that stays is believed after half a minute.
"""

import time
from typing import Final

JUMP_US: Final = 1_000_000
TRUST_US: Final = 30_000_000


class VenueClock:
    """Microseconds since 1970."""

    __slots__ = ("_anchor_us", "_jumped_us", "_steady_since_us", "suspended")

    def __init__(self) -> None:
        self._anchor_us = _wall_us() - _monotonic_us()
        self.suspended = False
        # How far the wall clock is away since it jumped, and since when that is so.
        self._jumped_us = 0
        self._steady_since_us = 0

    def now_us(self) -> int:
        """The time of a stamp."""
        return self._anchor_us + _monotonic_us()

    def check(self) -> bool:
        """Compare with the wall clock, to be called every second or so; True if timers were just suspended.

        A drift of less than a second is followed at once. A jump is followed only when it was not taken back for TRUST_US:
        then the machine slept, or somebody set the clock right. Stamps do not go back even then: the sequencer sees to that.
        """
        drift_us = _wall_us() - self.now_us()
        if abs(drift_us) <= JUMP_US:
            self._anchor_us += drift_us
            self.suspended = False
            return False
        now_us = _monotonic_us()
        began = not self.suspended
        if began or abs(drift_us - self._jumped_us) > JUMP_US:
            self._jumped_us, self._steady_since_us = drift_us, now_us
        self.suspended = True
        if now_us - self._steady_since_us > TRUST_US:
            self._anchor_us += drift_us
            self.suspended = False
        return began


def _wall_us() -> int:
    return time.time_ns() // 1000


def _monotonic_us() -> int:
    return time.monotonic_ns() // 1000
