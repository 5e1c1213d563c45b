"""The time that commands are stamped with: the wall clock, carried on by the monotonic one.

Stamps never go back. A wall clock that jumps (by more than a second) does not move the stamps; while the two disagree timers
are suspended, so that a jump expires no order.
"""

import time
from typing import Final

JUMP_US: Final = 1_000_000


class VenueClock:
    """Microseconds since 1970."""

    __slots__ = ("_anchor_us", "suspended")

    def __init__(self) -> None:
        self._anchor_us = _wall_us() - _monotonic_us()
        self.suspended = False

    def now_us(self) -> int:
        """The time of a stamp."""
        return self._anchor_us + _monotonic_us()

    def check(self) -> bool:
        """Compare with the wall clock, to be called every second or so; True if timers were just suspended.

        A drift of less than a second is followed; a jump is not, until it is taken back.
        """
        drift_us = _wall_us() - self.now_us()
        was = self.suspended
        self.suspended = abs(drift_us) > JUMP_US
        if not self.suspended and drift_us > 0:
            self._anchor_us += drift_us
        return self.suspended and not was


def _wall_us() -> int:
    return time.time_ns() // 1000


def _monotonic_us() -> int:
    return time.monotonic_ns() // 1000
