"""Books put down as they are, once in a while and at several depths, for whoever asks later what they were.

A place apart from the projection: what is missed while the database is away stays missed, and nothing waits for it.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple

import psycopg
import structlog

from db.book_snapshots import append_book_snapshots, turn_book_snapshots
from db.session import PROJECTOR, Connection, connect
from servers.domain.exchange import Exchange
from servers.engine.messages import book_message

log = structlog.get_logger()
DEPTHS: Final = (10, 100, 1000)
RETRY_S: Final = 5.0
# Between two markets: nobody else should wait for a thousand of them.
PAUSE_S: Final = 0.0


class Keeping(NamedTuple):
    """How often books are put down, in seconds (0: never), and for how many days (0: for ever)."""

    every_s: float
    days: int


NOTHING_KEPT: Final = Keeping(0.0, 0)


class BookKeeper:
    """The books of one machine. One that has not changed since the last time is not put down again."""

    def __init__(self, exchange: Exchange, url: str, keeping: Keeping, now_s: Callable[[], float] = time.time) -> None:
        self._exchange = exchange
        self._url = url
        self._keeping = keeping
        self._now_s = now_s
        self._kept: dict[str, int] = {}
        self._turned: date | None = None

    async def run(self) -> None:
        """Until cancelled; at whole multiples of the interval."""
        every_s = self._keeping.every_s
        if not every_s:
            return
        while True:
            await asyncio.sleep(every_s - self._now_s() % every_s)
            try:
                async with await connect(self._url, application_name="venue books", role=PROJECTOR) as connection:
                    await self.keep(connection)
            except psycopg.Error as error:
                log.warning("books not put down", partition=self._exchange.partition, cause=str(error))
                await asyncio.sleep(min(RETRY_S, every_s))

    async def keep(self, connection: Connection) -> int:
        """Put down what has changed, as of now. Returns how many markets that were."""
        moment = self._now_s()
        await self._turn(connection, datetime.fromtimestamp(moment, UTC))
        books, sequences = [], {}
        for symbol, market in list(self._exchange.floor.markets.items()):
            sequence = market.book_sequence
            if self._kept.get(symbol) == sequence:
                continue
            sequences[symbol] = sequence
            for depth in DEPTHS:
                book = book_message(self._exchange, symbol, depth)
                books.append((symbol, depth, book.sequence, book.SerializeToString()))
            await asyncio.sleep(PAUSE_S)
        if books:
            await append_book_snapshots(connection, self._exchange.partition, int(moment * 1e6), books)
        self._kept |= sequences
        return len(sequences)

    async def _turn(self, connection: Connection, now: datetime) -> None:
        """Once a day: the days to come are made, and those that are too old dropped."""
        if self._turned != now.date():
            days = self._keeping.days
            before = now - timedelta(days=days) if days else datetime(1970, 1, 1, tzinfo=UTC)
            dropped = await turn_book_snapshots(connection, now, before)
            self._turned = now.date()
            if dropped:
                log.info("book snapshots dropped", partition=self._exchange.partition, days=dropped)
