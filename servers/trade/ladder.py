"""A book kept from a stream: a snapshot, then changed levels, each proved by sequence and checksum."""

from collections.abc import Iterable
from operator import itemgetter
from typing import Final

from servers.domain.checksum import DEPTH, book_checksum
from servers.domain.money import parse
from venue.marketdata.v1 import marketdata_pb2

Level = marketdata_pb2.BookLevel
GONE: Final = "0"


class BookBroken(Exception):
    """A frame is missing, or the book is not the venue's: a new snapshot is needed."""


class Ladder:
    """Both sides of a market's book."""

    def __init__(self) -> None:
        self.sequence = 0
        self._bids: dict[int, Level] = {}
        self._asks: dict[int, Level] = {}

    def bids(self, depth: int) -> list[Level]:
        """The best bids, highest first."""
        return [level for _, level in sorted(self._bids.items(), key=itemgetter(0), reverse=True)[:depth]]

    def asks(self, depth: int) -> list[Level]:
        """The best asks, lowest first."""
        return [level for _, level in sorted(self._asks.items(), key=itemgetter(0))[:depth]]

    def begin(self, book: marketdata_pb2.GetOrderBookResponse, sequence: int) -> None:
        """Become a snapshot."""
        self.sequence = sequence
        self._bids, self._asks = {}, {}
        self._put(book.bids, book.asks, book.checksum)

    def change(self, delta: marketdata_pb2.BookDelta, previous_sequence: int, sequence: int) -> None:
        """Apply changed levels. Raises BookBroken."""
        if previous_sequence != self.sequence:
            raise BookBroken
        self.sequence = sequence
        self._put(delta.bids, delta.asks, delta.checksum)

    def _put(self, bids: Iterable[Level], asks: Iterable[Level], checksum: int) -> None:
        for side, levels in ((self._bids, bids), (self._asks, asks)):
            for level in levels:
                price = parse(level.price)
                if level.quantity == GONE:
                    side.pop(price, None)
                else:
                    side[price] = level
        best = ([(level.price, level.quantity) for level in found] for found in (self.bids(DEPTH), self.asks(DEPTH)))
        if book_checksum(*best) != checksum:
            raise BookBroken
