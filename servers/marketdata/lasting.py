"""How long answers made from the tables are good for.

What is over never changes and is kept for ten minutes. What is still going on is kept for a second, and no longer than until the
market's next trade; the second bounds what an answer can lag where the trade was told before the tables had it.
"""

import time
from typing import Final, NamedTuple

from servers.marketdata.view import View
from venue.marketdata.v1 import marketdata_pb2 as pb

OVER_S: Final = 600.0
RUNNING_S: Final = 1.0
# A trade is in the tables well within this.
WRITTEN_S: Final = 60


class Lasting(NamedTuple):
    """A time to live, and the version that is to be the same."""

    ttl_s: float
    version: int | None


_OVER: Final = Lasting(OVER_S, None)


def of_trades(view: View, request: pb.ListTradesRequest) -> Lasting:
    """Pages behind the first one are of trades that are over."""
    return _OVER if request.page_token else running(view)


def of_candles(view: View, request: pb.ListCandlesRequest) -> Lasting:
    """So are candles before one that was listed, and those of a time that is over."""
    ended = request.HasField("end_time") and request.end_time.seconds + WRITTEN_S < time.time()
    return _OVER if request.page_token or ended else running(view)


def running(view: View) -> Lasting:
    """Until something trades."""
    return Lasting(RUNNING_S, view.trades_sequence)
