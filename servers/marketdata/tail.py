"""Follows one partition: markets and books from the engine once, every change from the bus, the engine again after a loss.

While the bus is away, behind or emptied, books are read from the engine every second: old by that much, never wrong.
"""

import asyncio
import time
from collections.abc import Collection
from typing import Final

import psycopg
import structlog
from redis.asyncio import Redis

from db.session import Pool
from db.streams import BusError, find_published, last_market_ids, read_markets
from servers.domain.errors import MarketNotFound, PartUnavailable, VenueError
from servers.domain.identifiers import Position, positions
from servers.engine.client import Engine
from servers.engine.markets import Markets
from servers.marketdata.fan_out import FanOut
from servers.marketdata.past import Past
from servers.marketdata.source import Source
from servers.marketdata.view import CANDLES, TRADES, View
from venue.engine.v1 import engine_pb2 as pb

log = structlog.get_logger()
BLOCK_MS: Final = 500
ENTRIES_MAX: Final = 256
# So many are taken in before others have their turn, a millisecond or two.
AT_ONCE: Final = 32
RETRY_S: Final = 0.2
AWAY_S: Final = 1.0
# How often the bus is held against the engine; what it lacks after as long is taken from there.
CHECK_S: Final = 1.0


class Tail:
    """The views of a partition. `synced` is set once they were right for the first time."""

    def __init__(
        self, engine: Engine, environment: int, bus: Redis, pool: Pool, markets: Markets, fan_out: FanOut
    ) -> None:
        self.engine = engine
        self.source = Source(engine.partition, environment)
        self.views: dict[str, View] = {}
        self.synced = asyncio.Event()
        self.bus = bus
        # False while books come from the engine.
        self.on_bus = False
        self._fan_out = fan_out
        self.past = Past(engine.partition, pool, markets, self._restarted)
        # Replaced whenever entries were taken in.
        self._progress = asyncio.Event()
        self._read_to: dict[str, str] = {}
        self._published = 0
        # How far the records and tables that were taken in reach, once no view lacks anything.
        self._reached = 0
        # Everything that the bus had when it was last looked at.
        self._expected = 0
        self._checked = 0.0
        # What the engine had committed at the last check.
        self._committed = 0

    def view(self, symbol: str) -> View:
        """Raises MarketNotFound, PartUnavailable."""
        view = self.views.get(symbol)
        if view is None:
            raise MarketNotFound(symbol) if self.synced.is_set() else PartUnavailable("market data")
        return view

    def listed(self) -> list[View]:
        """Every market, by symbol. Raises PartUnavailable."""
        if not self.synced.is_set():
            raise PartUnavailable("market data")
        return [self.views[symbol] for symbol in sorted(self.views)]

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.past.run(self._all, self._filled))
            tasks.create_task(self._follow())

    async def _follow(self) -> None:
        while True:
            try:
                await self._restore_all(trades_lost=True)
                self.synced.set()
                await self._read_bus()
            except BusError as error:
                log.warning("bus away", partition=self.engine.partition, cause=str(error))
                await asyncio.sleep(AWAY_S)
            except (VenueError, psycopg.Error) as error:
                log.warning("engine away", partition=self.engine.partition, cause=str(error))
                await asyncio.sleep(RETRY_S)

    async def _read_bus(self) -> None:
        """Raises BusError."""
        partition = self.engine.partition
        self._read_to = {symbol: f"{view.position}-0" for symbol, view in self.views.items()}
        self._published = await find_published(self.bus, partition) or 0
        self._checked, self._committed = time.monotonic(), 0
        self.on_bus = True
        # Beside the reading: an engine that hangs must not hold up what the bus brings.
        mending = asyncio.create_task(self._mend())
        try:
            while True:
                await self._read_entries()
                if mending.done() and (self._is_due() or any(view.torn for view in self.views.values())):
                    mending.result()
                    mending = asyncio.create_task(self._mend())
        finally:
            self.on_bus = False
            mending.cancel()
            await asyncio.gather(mending, return_exceptions=True)

    async def _read_entries(self) -> None:
        if not self._read_to:
            await asyncio.sleep(BLOCK_MS / 1000)
            return
        # Of before the reading: what is published while an answer is under way may not be in it.
        expected = self._expected
        entries = await read_markets(
            self.bus, self.engine.partition, self._read_to, block_ms=BLOCK_MS, entries_max=ENTRIES_MAX
        )
        read: dict[str, int] = {}
        for symbol, entry_id, raw in entries:
            read[symbol] = read.get(symbol, 0) + 1
            self._read_to[symbol] = entry_id
            view = self.views[symbol]
            view.apply(pb.MarketRecord.FromString(raw))
            self._tell(view)
            if len(entries) > AT_ONCE and read[symbol] % AT_ONCE == 0:
                # Streams are told meanwhile.
                await asyncio.sleep(0)
        if max(read.values(), default=0) < ENTRIES_MAX:
            # Nobody's entries were cut off: a publication is on the bus as a whole, so all of before the last are here.
            last = max((int(self._read_to[symbol].partition("-")[0]) for symbol in read), default=0)
            self._reached = max(self._reached, last, expected)
        self._advance()
        self._progress.set()
        self._progress = asyncio.Event()

    def _advance(self) -> None:
        """Everything is known that far, if nothing is missing."""
        if not any(view.torn or view.needed is not None for view in self.views.values()):
            self.source.taken = max(self.source.taken, self._reached)
        self._fan_out.settle(self.source.environment)

    def _is_due(self) -> bool:
        return time.monotonic() >= self._checked + CHECK_S

    async def _mend(self) -> None:
        """Ask the engine where something is missing, or may be. Raises BusError."""
        due = self._is_due()
        try:
            for view in [view for view in self.views.values() if view.torn]:
                log.info("gap on the bus", partition=self.engine.partition, symbol=view.symbol, after=view.position)
                await self._restore(view, trades_lost=True)
            if due:
                self._checked = time.monotonic()
                await self._check()
        except (VenueError, psycopg.Error) as error:
            log.warning("engine away", partition=self.engine.partition, cause=str(error))
            await asyncio.sleep(RETRY_S)

    async def _check(self) -> None:
        """Markets that are new, and a bus that lost what it had or does not get what was committed."""
        published = await find_published(self.bus, self.engine.partition) or 0
        committed = await self._list_markets()
        lost = published < self._published
        if lost or published < self._committed:
            log.info("bus behind", partition=self.engine.partition, published=published, committed=committed)
            await self._restore_all(trades_lost=lost)
        for symbol, view in self.views.items():
            self._read_to.setdefault(symbol, f"{view.position}-0")
        self._published, self._committed = published, committed
        if not lost:
            self._expected = published

    async def _restore_all(self, *, trades_lost: bool) -> None:
        await self._list_markets()
        for view in list(self.views.values()):
            await self._restore(view, trades_lost=trades_lost)
        if trades_lost:
            # The tables are asked for the trades up to there.
            self._expected = 0
            self._reached = max(self._reached, min((view.position for view in self.views.values()), default=0))

    async def _list_markets(self) -> int:
        """Take in definitions, and new markets with their books. Returns what is committed."""
        response = await self.engine.query(pb.QueryRequest(markets=pb.MarketsQuery()))
        self.source.epoch = positions(response.position)[0].epoch
        for market in response.markets:
            view = self.views.get(market.symbol)
            if view is None:
                view = View(market)
                view.status_sequence = response.sequence
                await self._restore(view, trades_lost=True)
                self.views[market.symbol] = view
                self._fan_out.add(self.source, view)
            elif response.sequence > view.status_sequence and market != view.market:
                view.define(market, response.sequence)
            self._tell(view)
        return response.sequence

    async def _restore(self, view: View, *, trades_lost: bool) -> None:
        query = pb.BookQuery(symbol=view.symbol)
        response = await self.engine.query(pb.QueryRequest(book=query, min_sequence=view.position))
        view.restore(response.book, response.sequence, trades_lost=trades_lost)
        if view.symbol in self.views:
            self._tell(view)

    async def committed(self) -> Position:
        """How far the engine is. Raises PartUnavailable."""
        response = await self.engine.query(pb.QueryRequest(markets=pb.MarketsQuery()))
        found = positions(response.position)[0]
        self.source.epoch = max(self.source.epoch, found.epoch)
        return found

    async def reach(self, view: View, sequence: int, timeout_s: float) -> bool:
        """Wait until a view is as new as a sequence of the journal. False: it is not by then, or the bus is away."""
        deadline = time.monotonic() + timeout_s
        try:
            while self.on_bus:
                if view.position >= sequence:
                    return True
                if (await find_published(self.bus, self.engine.partition) or 0) >= sequence:
                    break
                if time.monotonic() > deadline:
                    return False
                await asyncio.sleep(0.005)
            last = (await last_market_ids(self.bus, self.engine.partition, [view.symbol]))[view.symbol]
        except BusError:
            return False
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                while view.position < last:
                    await self._progress.wait()
        except TimeoutError:
            return False
        return True

    def _tell(self, view: View) -> None:
        self._fan_out.changed(self.source.environment, view)

    def _filled(self, view: View) -> None:
        self._tell(view)
        self._advance()

    def _restarted(self, view: View) -> None:
        # Candles that ended meanwhile were not told either.
        for channel in (TRADES, CANDLES):
            self._fan_out.restart(self.source.environment, view, channel)

    def _all(self) -> Collection[View]:
        return list(self.views.values())
