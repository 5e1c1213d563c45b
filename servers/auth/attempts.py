"""Slows down guessing: after some wrong passwords from one place for one address of mail, each next try has to wait longer.

Kept in this process and bounded; several processes count apart. Nobody is locked out: the longest wait is a minute, and a try
from another place does not wait at all. Unknown addresses are counted like known ones, so a wait says nothing about them.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from servers.transport.refusals import RateLimited

FREE: Final = 10
FIRST_WAIT_S: Final = 1.0
LAST_WAIT_S: Final = 60.0
FORGET_S: Final = 900.0
PLACES_MAX: Final = 10_000

Place = tuple[str, str]


class Attempts:
    """Tries that have not succeeded, by (address of mail, network address)."""

    def __init__(self, *, free: int = FREE, clock: Callable[[], float] = time.monotonic) -> None:
        self._free = free
        self._clock = clock
        # place -> (tries, when the last one began), the one tried longest ago first
        self._places: OrderedDict[Place, tuple[int, float]] = OrderedDict()

    def begin(self, place: Place) -> None:
        """Count a try as wrong before it is checked, or many at once would all be free. Raises RateLimited."""
        now = self._clock()
        tries, last = self._places.get(place, (0, now))
        if now - last > FORGET_S:
            tries = 0
        wait = last + self._wait_s(tries) - now
        if wait > 0:
            raise RateLimited("LOGIN", wait)
        self._places[place] = (tries + 1, now)
        self._places.move_to_end(place)
        if len(self._places) > PLACES_MAX:
            self._places.popitem(last=False)

    def succeed(self, place: Place) -> None:
        self._places.pop(place, None)

    def undo(self, place: Place) -> None:
        """The try was not checked after all."""
        if place in self._places:
            tries, last = self._places[place]
            self._places[place] = (max(0, tries - 1), last)

    def _wait_s(self, tries: int) -> float:
        over = tries - self._free
        # The exponent is bounded: a float has an end.
        return 0.0 if over < 0 else min(LAST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(over, 10))
