"""The candle of each length that is open now, or the last there was, counted from trades as they come.

All lengths are kept whether or not they are read: a trade costs each of them an addition, and a reader who comes gets his first
candle without a look into the tables.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from servers.marketdata.window import Bucket, first_trade
from venue.marketdata.v1 import marketdata_pb2 as pb

# The lengths in seconds, by their number in the contract.
INTERVALS_S: Final[Mapping[int, int]] = {
    int(pb.CANDLE_INTERVAL_1S): 1,
    int(pb.CANDLE_INTERVAL_1M): 60,
    int(pb.CANDLE_INTERVAL_5M): 300,
    int(pb.CANDLE_INTERVAL_15M): 900,
    int(pb.CANDLE_INTERVAL_1H): 3600,
    int(pb.CANDLE_INTERVAL_4H): 14_400,
    int(pb.CANDLE_INTERVAL_1D): 86_400,
}
MINUTE: Final = int(pb.CANDLE_INTERVAL_1M)
# A trade may come a little after the interval it was made in.
CLOSE_AFTER_S: Final = 1


class OpenCandles:
    """By interval, the number of the contract. Time is an argument: seconds since 1970."""

    def __init__(self, known: Mapping[int, Bucket] | None = None) -> None:
        self._of: dict[int, Bucket] = dict(known or {})
        self._closed: set[int] = set()

    def find(self, interval: int) -> Bucket | None:
        """The open candle or the last one; None where nothing ever traded."""
        return self._of.get(interval)

    def is_closed(self, interval: int) -> bool:
        """Whether that one is over, as far as `pass_time` was told."""
        return interval in self._closed

    def add(self, second: int, ticks: int, lots: int) -> list[tuple[int, Bucket]]:
        """Count a trade in. Returns the candles that it ends and that were not said to be over before.

        A trade of an interval that is over already is counted into the newest one, which is then open again.
        """
        ended = []
        for interval, length in INTERVALS_S.items():
            start, known = second - second % length, self._of.get(interval)
            if known is not None and known.start >= start:
                known.add(ticks, lots)
            else:
                if known is not None and interval not in self._closed:
                    ended.append((interval, known))
                self._of[interval] = first_trade(start, ticks, lots)
            self._closed.discard(interval)
        return ended

    def pass_time(self, now: int) -> Iterator[tuple[int, Bucket]]:
        """The candles that have just ended."""
        for interval, bucket in self._of.items():
            if interval not in self._closed and now >= bucket.start + INTERVALS_S[interval] + CLOSE_AFTER_S:
                self._closed.add(interval)
                yield interval, bucket
