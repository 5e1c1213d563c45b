"""What traded before this process looked: read from the tables once, and again where trades were missed."""

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Final

import psycopg
import structlog

from db.candles import CandleRecord
from db.history import History, load_history
from db.session import Pool
from db.trades import TradeRecord
from servers.domain.identifiers import trade_id
from servers.engine.markets import Markets
from servers.engine.messages import timestamp
from servers.marketdata.open_candles import INTERVALS_S, OpenCandles
from servers.marketdata.view import TRADES_MAX, View
from servers.marketdata.window import WINDOW_S, Bucket, Window
from venue.marketdata.v1 import marketdata_pb2 as pb

log = structlog.get_logger()
POLL_S: Final = 0.05
AWAY_S: Final = 1.0
_SECOND_US: Final = 1_000_000


class Past:
    """Brings the views of a partition up to the tables. `on_restart` is told where trades do not go on from those told before."""

    def __init__(self, partition: int, pool: Pool, markets: Markets, on_restart: Callable[[View], None]) -> None:
        self._partition = partition
        self._pool = pool
        self._markets = markets
        self._on_restart = on_restart
        # Set once nothing is missing.
        self.complete = asyncio.Event()

    async def run(self, views: Callable[[], Collection[View]], on_change: Callable[[View], None]) -> None:
        """Fill in whatever is missing, until cancelled."""
        while True:
            try:
                for view in [view for view in views() if view.needed is not None]:
                    await self.fill(view)
                    on_change(view)
                if views() and all(view.needed is None for view in views()):
                    self.complete.set()
            except psycopg.Error as error:
                log.warning("no history", partition=self._partition, cause=str(error))
                await asyncio.sleep(AWAY_S)
            await asyncio.sleep(POLL_S)

    async def fill(self, view: View) -> bool:
        """Try once. False: the tables are not far enough. Raises psycopg.Error."""
        history = await self._load(view, whole=not view.loaded)
        if view.needed is None or history.sequence < view.needed:
            return False
        if view.bridge(self._trades(view, history)):
            return True
        if view.loaded:
            history = await self._load(view, whole=True)
            if history.sequence < view.needed:
                return False
        window, candles = await self._folded(view, history)
        if history.sequence < view.needed:
            return False
        view.begin(self._trades(view, history), window, candles)
        self._on_restart(view)
        return True

    async def _load(self, view: View, *, whole: bool) -> History:
        since = (int(time.time()) - WINDOW_S + 1) * _SECOND_US if whole else None
        async with self._pool.connection() as connection:
            return await load_history(connection, self._partition, view.symbol, trades_max=TRADES_MAX, since=since)

    def _trades(self, view: View, history: History) -> list[pb.Trade]:
        """Oldest first."""
        return [trade_of_row(self._partition, view, row) for row in reversed(history.trades)]

    async def _folded(self, view: View, history: History) -> tuple[Window, OpenCandles]:
        window, newest = Window(), {}
        if history.newest:
            market = await self._markets.get(self._partition, view.symbol)
            for row in reversed(history.seconds):
                window.append(_bucket(row, market.tick_value))
            for interval, length_s in INTERVALS_S.items():
                if length_s in history.newest:
                    newest[interval] = _bucket(history.newest[length_s], market.tick_value)
        return window, OpenCandles(newest)


def trade_of_row(partition: int, view: View, row: TradeRecord) -> pb.Trade:
    """A trade of the tables as the public sees it."""
    return pb.Trade(
        trade_id=trade_id(partition, row.number),
        symbol=row.symbol,
        price=view.price(row.ticks),
        quantity=view.quantity(row.lots),
        taker_side=row.taker_side,  # type: ignore[arg-type]  # the domain's numbers are the wire's
        trade_time=timestamp(row.time),
        sequence=row.sequence,
    )


def _bucket(row: CandleRecord, tick_value: int) -> Bucket:
    return Bucket(
        row.open_time // _SECOND_US,
        row.open_ticks,
        row.high_ticks,
        row.low_ticks,
        row.close_ticks,
        row.lots,
        row.notional // tick_value,
        row.trade_count,
    )
