"""One market's book: price levels of resting orders, oldest first within a level.

Invariant: a level exists exactly as long as an order rests in it, and its lots and count are those that its orders show; `top`
is the best of a side. The heap of prices is cleaned lazily: a price leaves it when it comes to the top without a level.
"""

from collections.abc import Iterator
from heapq import heappop, heappush

from servers.domain.model import Order


class Level:
    """The orders at one price: a list linked through the orders themselves."""

    __slots__ = ("count", "first", "hidden", "last", "lots", "ticks")

    def __init__(self, ticks: int) -> None:
        self.ticks = ticks
        # What its orders show, and what they hide beside that.
        self.lots = 0
        self.hidden = 0
        self.count = 0
        self.first: Order | None = None
        self.last: Order | None = None


class BookSide:
    """The levels of one side. `sign` is 1 for asks (lowest first) and -1 for bids (highest first)."""

    __slots__ = ("heap", "heaped", "levels", "sign", "top")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.levels: dict[int, Level] = {}
        self.heap: list[int] = []
        self.heaped: set[int] = set()
        # The best level, None if the side is empty: kept, because it is looked at far more often than it changes.
        self.top: Level | None = None

    def _open(self, ticks: int) -> Level:
        """A new level, which may be the best."""
        level = self.levels[ticks] = Level(ticks)
        key = ticks * self.sign
        if key not in self.heaped:
            self.heaped.add(key)
            heappush(self.heap, key)
        top = self.top
        if top is None or key < top.ticks * self.sign:
            self.top = level
        return level

    def _close(self, level: Level) -> None:
        """Take an empty level out, and find the best again where it was that."""
        levels = self.levels
        del levels[level.ticks]
        if level is not self.top:
            return
        heap, sign = self.heap, self.sign
        self.top = None
        while heap:
            top = levels.get(heap[0] * sign)
            if top is not None:
                self.top = top
                return
            self.heaped.discard(heappop(heap))

    def add(self, order: Order) -> Level:
        """Put an order at the end of the queue at its price."""
        level = self.levels.get(order.ticks)
        if level is None:
            level = self._open(order.ticks)
        last = level.last
        if last is None:
            level.first = order
        else:
            last.after = order
            order.before = last
        level.last = order
        level.count += 1
        level.lots += order.lots - order.filled_lots - order.removed_lots
        if order.hidden_lots:
            level.lots -= order.hidden_lots
            level.hidden += order.hidden_lots
        return level

    def reduce(self, order: Order, lots: int) -> Level:
        """Take shown lots of a resting order off its level; the order's own fields are the caller's."""
        level = self.levels[order.ticks]
        level.lots -= lots
        return level

    def remove(self, order: Order, lots: int) -> Level:
        """Take an order that shows `lots` out of its level, and the level out if it was the last."""
        level = self.levels[order.ticks]
        before, after = order.before, order.after
        if before is None:
            level.first = after
        else:
            before.after = after
            order.before = None
        if after is None:
            level.last = before
        else:
            after.before = before
            order.after = None
        level.lots -= lots
        if order.hidden_lots:
            level.hidden -= order.hidden_lots
        level.count = count = level.count - 1
        if not count:
            self._close(level)
        return level

    def walk(self) -> Iterator[Level]:
        """Levels, best first, as far as the caller goes; the book must not change meanwhile.

        Reads the heap's tree from its top, so k levels cost k log k however deep the book is.
        """
        heap, levels, sign = self.heap, self.levels, self.sign
        frontier = [(heap[0], 0)] if heap else []
        while frontier:
            key, at = heappop(frontier)
            for child in (2 * at + 1, 2 * at + 2):
                if child < len(heap):
                    heappush(frontier, (heap[child], child))
            level = levels.get(key * sign)
            if level is not None:
                yield level


class Book:
    """Both sides of a market."""

    __slots__ = ("asks", "bids", "opposite", "sides")

    def __init__(self) -> None:
        self.bids = BookSide(-1)
        self.asks = BookSide(1)
        # By the side of an order (0 is none): where it rests, and where it finds others. An index costs half a call.
        self.sides = (self.asks, self.bids, self.asks)
        self.opposite = (self.bids, self.asks, self.bids)

    def side(self, side: int) -> BookSide:
        """The side that orders of `side` rest on."""
        return self.sides[side]

    def crossed(self) -> bool:
        """True if the best bid is not below the best ask: it never is after a command."""
        bid, ask = self.bids.top, self.asks.top
        return bid is not None and ask is not None and bid.ticks >= ask.ticks
