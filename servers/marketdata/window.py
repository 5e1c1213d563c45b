"""The last 24 hours of a market, exact to the second, kept as one bucket a second that traded.

The window of a moment is its own second and the 86,399 before it. Time is an argument: seconds since 1970.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

WINDOW_S: Final = 86_400


@dataclass(slots=True)
class Bucket:
    """What traded in one stretch of time. Prices in ticks, volume in lots, `product` the sum of ticks times lots."""

    start: int
    open: int
    high: int
    low: int
    close: int
    lots: int
    product: int
    count: int

    def add(self, ticks: int, lots: int) -> None:
        """Count one more trade in."""
        self.high = max(self.high, ticks)
        self.low = min(self.low, ticks)
        self.close = ticks
        self.lots += lots
        self.product += ticks * lots
        self.count += 1


def first_trade(start: int, ticks: int, lots: int) -> Bucket:
    """A bucket with one trade in it."""
    return Bucket(start, ticks, ticks, ticks, ticks, lots, ticks * lots, 1)


class Window:
    """Sums over the buckets, and their extremes: candidates only, each better than all that follow it."""

    def __init__(self) -> None:
        self.lots = 0
        self.product = 0
        self.count = 0
        self._buckets: deque[Bucket] = deque()
        self._highs: deque[tuple[int, int]] = deque()
        self._lows: deque[tuple[int, int]] = deque()

    @property
    def open(self) -> int:
        """The first price; only where something traded (`count`)."""
        return self._buckets[0].open

    @property
    def close(self) -> int:
        return self._buckets[-1].close

    @property
    def high(self) -> int:
        return self._highs[0][1]

    @property
    def low(self) -> int:
        return self._lows[0][1]

    def add(self, second: int, ticks: int, lots: int) -> None:
        """Count a trade in; seconds never go back (one that does counts for the last second there is)."""
        last = self._buckets[-1] if self._buckets else None
        if last is None or last.start < second:
            self.append(first_trade(second, ticks, lots))
            return
        last.add(ticks, lots)
        self._count(lots, ticks * lots, 1)
        self._extend(last.start, ticks, ticks)

    def append(self, bucket: Bucket) -> None:
        """Add a whole second, later than all that are there."""
        self._buckets.append(bucket)
        self._count(bucket.lots, bucket.product, bucket.count)
        self._extend(bucket.start, bucket.high, bucket.low)

    def expire(self, now: int) -> bool:
        """Drop what is out of the window of a second. True if something was."""
        buckets, first = self._buckets, now - WINDOW_S + 1
        if not buckets or buckets[0].start >= first:
            return False
        while buckets and buckets[0].start < first:
            old = buckets.popleft()
            self._count(-old.lots, -old.product, -old.count)
        for extremes in (self._highs, self._lows):
            while extremes and extremes[0][0] < first:
                extremes.popleft()
        return True

    def _count(self, lots: int, product: int, count: int) -> None:
        self.lots += lots
        self.product += product
        self.count += count

    def _extend(self, second: int, high: int, low: int) -> None:
        highs, lows = self._highs, self._lows
        while highs and highs[-1][1] <= high:
            highs.pop()
        if not highs or highs[-1][0] < second:
            highs.append((second, high))
        while lows and lows[-1][1] >= low:
            lows.pop()
        if not lows or lows[-1][0] < second:
            lows.append((second, low))
