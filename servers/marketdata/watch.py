"""What happened in a market since somebody was last told: collected once for all who are told in the same rhythm."""

from collections.abc import Iterable
from typing import Final

from servers.marketdata.window import Bucket
from venue.marketdata.v1 import marketdata_pb2 as pb

_CANDLES: Final = int(pb.CHANNEL_CANDLES)


class Watch:
    """The channels that have something to tell, prices of levels that changed (with their text), and new trades.

    `candles` has the intervals whose candle changed, each with those of its candles that ended.
    """

    __slots__ = ("asks", "bids", "candles", "changed", "trades")

    def __init__(self) -> None:
        self.changed: set[int] = set()
        self.bids: dict[int, str] = {}
        self.asks: dict[int, str] = {}
        self.trades: list[pb.Trade] = []
        self.candles: dict[int, list[Bucket]] = {}

    def touch_candles(self, intervals: Iterable[int]) -> None:
        """The newest candles of these intervals changed."""
        for interval in intervals:
            self.candles.setdefault(interval, [])
        self.changed.add(_CANDLES)

    def end_candle(self, interval: int, bucket: Bucket) -> None:
        """A candle is over: to be told even where a newer one begins before anybody is."""
        self.candles.setdefault(interval, []).append(bucket)
        self.changed.add(_CANDLES)

    def take_candles(self, interval: int) -> list[Bucket]:
        """Those of an interval that ended; nothing of it waits to be told any more."""
        ended = self.candles.pop(interval, [])
        if not self.candles:
            self.changed.discard(_CANDLES)
        return ended
