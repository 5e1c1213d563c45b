"""One market's book as the public sees it: price levels, and the checksum. What changes is noted in every watch of the book."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from servers.domain.checksum import DEPTH, book_checksum
from servers.domain.money import parse
from servers.marketdata.watch import Watch
from venue.marketdata.v1 import marketdata_pb2

GONE: Final = "0"


class Level(NamedTuple):
    """What rests at a price, in the canonical text of the wire."""

    price: str
    quantity: str
    order_count: int

    def message(self) -> marketdata_pb2.BookLevel:
        return marketdata_pb2.BookLevel(price=self.price, quantity=self.quantity, order_count=self.order_count)


class Side:
    """The levels of one side by price (in atto). `watched` gets the prices whose level changes."""

    def __init__(self, *, descending: bool) -> None:
        self.levels: dict[int, Level] = {}
        self.watched: list[dict[int, str]] = []
        self._descending = descending
        self._prices: list[int] = []

    def apply(self, changes: Iterable[marketdata_pb2.BookLevel]) -> bool:
        """Put changed levels in; quantity 0 takes one out. False if there was none."""
        any_change = False
        for change in changes:
            self._put(parse(change.price), Level(change.price, change.quantity, change.order_count))
            any_change = True
        return any_change

    def replace(self, levels: Iterable[marketdata_pb2.BookLevel]) -> bool:
        """Become these levels; what differs counts as changed. False if nothing does."""
        now = {parse(level.price): Level(level.price, level.quantity, level.order_count) for level in levels}
        gone = [Level(level.price, GONE, 0) for price, level in self.levels.items() if price not in now]
        fresh = [level for price, level in now.items() if self.levels.get(price) != level]
        for level in (*gone, *fresh):
            self._put(parse(level.price), level)
        return bool(gone or fresh)

    def best(self, depth: int) -> list[Level]:
        """The best levels, best first."""
        prices = self._prices[: -depth - 1 : -1] if self._descending else self._prices[:depth]
        return [self.levels[price] for price in prices]

    def up_to(self, bound: int) -> Iterator[tuple[int, Level]]:
        """The levels from the best to a price, with their prices."""
        for price in reversed(self._prices) if self._descending else self._prices:
            if not self.within(price, bound):
                return
            yield price, self.levels[price]

    def bound(self, depth: int) -> int | None:
        """The price of the worst of the best so many levels; None where there are fewer."""
        if len(self._prices) < depth:
            return None
        return self._prices[-depth if self._descending else depth - 1]

    def within(self, price: int, bound: int | None) -> bool:
        """Whether a price is as good as a bound, or better."""
        return bound is None or (price >= bound if self._descending else price <= bound)

    def between(self, better: int, bound: int | None) -> list[int]:
        """The prices worse than one and within a bound."""
        prices = self._prices
        if self._descending:
            return prices[0 if bound is None else bisect_left(prices, bound) : bisect_left(prices, better)]
        return prices[bisect_right(prices, better) : len(prices) if bound is None else bisect_right(prices, bound)]

    def _put(self, price: int, level: Level) -> None:
        for changed in self.watched:
            changed[price] = level.price
        if level.quantity != GONE:
            if price not in self.levels:
                insort(self._prices, price)
            self.levels[price] = level
        elif self.levels.pop(price, None) is not None:
            del self._prices[bisect_left(self._prices, price)]


class Levels:
    """Both sides. `sequence` is that of the last change."""

    def __init__(self) -> None:
        self.sequence = 0
        self.bids = Side(descending=True)
        self.asks = Side(descending=False)

    @property
    def top(self) -> tuple[list[Level], list[Level]]:
        """The best bid and the best ask, each a list of one or none."""
        return self.bids.best(1), self.asks.best(1)

    def watch(self, watch: Watch) -> None:
        """Note changes in a watch from now on."""
        self.bids.watched.append(watch.bids)
        self.asks.watched.append(watch.asks)

    def unwatch(self, watch: Watch) -> None:
        """Note no more."""
        self.bids.watched = [known for known in self.bids.watched if known is not watch.bids]
        self.asks.watched = [known for known in self.asks.watched if known is not watch.asks]

    def checksum(self) -> int:
        """As the contract defines it for GetOrderBookResponse."""
        bids, asks = self.bids.best(DEPTH), self.asks.best(DEPTH)
        return book_checksum([level[:2] for level in bids], [level[:2] for level in asks])

    def apply(
        self, sequence: int, bids: Iterable[marketdata_pb2.BookLevel], asks: Iterable[marketdata_pb2.BookLevel]
    ) -> bool:
        """Put changed levels in. False if there was none."""
        changed = self.bids.apply(bids) | self.asks.apply(asks)
        if changed:
            self.sequence = sequence
        return changed

    def replace(self, book: marketdata_pb2.GetOrderBookResponse) -> bool:
        """Become another state of the same book; what differs counts as changed. False if nothing does."""
        changed = self.bids.replace(book.bids) | self.asks.replace(book.asks)
        self.sequence = max(self.sequence, book.sequence)
        return changed
