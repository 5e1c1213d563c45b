"""What happened in a market since somebody was last told: collected once for all who are told in the same rhythm."""

from servers.marketdata.window import Bucket
from venue.marketdata.v1 import marketdata_pb2 as pb


class Watch:
    """The channels that have something to tell, prices of levels that changed (with their text), new trades, ended minutes."""

    __slots__ = ("asks", "bids", "changed", "minutes", "trades")

    def __init__(self) -> None:
        self.changed: set[int] = set()
        self.bids: dict[int, str] = {}
        self.asks: dict[int, str] = {}
        self.trades: list[pb.Trade] = []
        self.minutes: list[Bucket] = []
