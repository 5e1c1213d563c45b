"""The best so many levels of a book, as those have them who asked for so many: what to tell them when the book has changed.

The work is that of the changes and of the levels that come into the band or leave it, however deep the band is.
"""

from collections.abc import Mapping

from servers.marketdata.levels import GONE, Level, Levels, Side
from servers.marketdata.watch import Watch
from venue.marketdata.v1 import marketdata_pb2 as pb


class _Half:
    """The band's part of one side, as far as `bound` when it was last told."""

    def __init__(self, side: Side, depth: int) -> None:
        self._side = side
        self._depth = depth
        self._bound = side.bound(depth)

    def draw(self, changed: Mapping[int, str]) -> list[Level]:
        side, old, new = self._side, self._bound, self._side.bound(self._depth)
        told: dict[int, Level] = {}
        for price, text in changed.items():
            level = side.levels.get(price)
            if level is not None and side.within(price, new):
                told[price] = level
            elif side.within(price, old):
                told[price] = Level(text, GONE, 0)
        if old != new:
            if old is not None and (new is None or not side.within(new, old)):
                for price in side.between(old, new):
                    told.setdefault(price, side.levels[price])
            else:
                assert new is not None, "a bound that fell away is wider than any"
                for price in side.between(new, old):
                    told.setdefault(price, Level(side.levels[price].price, GONE, 0))
            self._bound = new
        return list(told.values())


class Band:
    """Both sides, from the moment it is made on."""

    def __init__(self, levels: Levels, depth: int) -> None:
        self._levels = levels
        self._bids = _Half(levels.bids, depth)
        self._asks = _Half(levels.asks, depth)

    def draw(self, watch: Watch) -> pb.BookDelta | None:
        """What changed in the band, None if nothing did. `watch` has the book's changes since the last time."""
        bids, asks = self._bids.draw(watch.bids), self._asks.draw(watch.asks)
        if not bids and not asks:
            return None
        return pb.BookDelta(
            bids=[level.message() for level in bids],
            asks=[level.message() for level in asks],
            checksum=self._levels.checksum(),
        )
