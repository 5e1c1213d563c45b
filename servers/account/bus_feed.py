"""Account events for the streams of a process that leads nothing: from the bus, one read for all accounts of a partition.

The bus is a copy that may be away or have forgotten entries, so the tables are looked at too: seldom while the bus answers,
often while it does not. An account's cursor is the last event that its followers were given; nothing is given twice.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

import psycopg
import structlog
from redis.asyncio import Redis

from db.accounts import last_events
from db.cancellation import end_if_cancelled
from db.events import list_events
from db.session import Connection, Pool
from db.streams import AccountEntry, BusError, read_accounts
from servers.engine.feed import Feed, Follower
from servers.engine.missed import Past
from servers.engine.ring import AccountFrame

log = structlog.get_logger()
# How long a read waits for entries; a new account joins with the next read.
WAIT_S: Final = 0.1
# A bus that does not answer a read for so long counts as away, and is asked again after RETRY_S.
PATIENCE_S: Final = 1.0
RETRY_S: Final = 1.0
# How often the tables are looked at: while the bus is away, and while it answers.
POLL_S: Final = 0.25
SWEEP_S: Final = 2.0
ROWS_MAX: Final = 500


class Followed(NamedTuple):
    """A follower that gets every event after `sequence`."""

    follower: Follower
    sequence: int


class BusFeed:
    """The followed accounts of one partition."""

    def __init__(self, bus: Redis, pool: Pool, partition: int) -> None:
        self._bus = bus
        self._pool = pool
        self._partition = partition
        self._feed = Feed()
        self._cursors: dict[str, int] = {}
        self._wanted = asyncio.Event()
        self._away = False
        self._bus_at = 0.0
        self._tables_at = 0.0

    def follow(self, account_id: str, sequence: int) -> Followed:
        """Follow an account whose last event had a sequence; `leave` when done.

        Where others follow it already the sequence may be a later one, and what lies between is for the caller to read.
        """
        follower = self._feed.follow(account_id)
        self._wanted.set()
        return Followed(follower, self._cursors.setdefault(account_id, sequence))

    def leave(self, follower: Follower) -> None:
        """Stop following."""
        self._feed.leave(follower)
        if follower.account_id not in self._feed.followers:
            self._cursors.pop(follower.account_id, None)
        if not self._cursors:
            self._wanted.clear()

    def missed(self, past: Past, account_id: str, after: int, until: int) -> AsyncIterator[AccountFrame]:
        """Events of an account from wherever they are kept. Raises GapError."""
        return past.missed(self._feed.ring, self._partition, account_id, after, until)

    async def run(self) -> None:
        """Feed followers until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            end_if_cancelled()
            await self._wanted.wait()
            if loop.time() >= self._bus_at:
                await self._read_bus()
            if loop.time() >= self._tables_at:
                await self._read_tables()
                self._tables_at = loop.time() + (POLL_S if self._away else SWEEP_S)
            if self._away:
                await asyncio.sleep(POLL_S)

    async def _read_bus(self) -> None:
        asked = dict(self._cursors)
        try:
            async with asyncio.timeout(PATIENCE_S):
                entries = await read_accounts(self._bus, self._partition, asked, WAIT_S)
        except (BusError, OSError) as error:
            if not self._away:
                log.warning("bus away; account streams read the tables", partition=self._partition, cause=str(error))
            self._away = True
            self._bus_at = asyncio.get_running_loop().time() + RETRY_S
            self._tables_at = 0.0
            return
        if self._away:
            log.info("bus back", partition=self._partition)
            self._away = False
        for entry in entries:
            self._give(asked[entry.account_id], entry)

    async def _read_tables(self) -> None:
        """What the bus has not told, and never will if it forgot it."""
        try:
            async with self._pool.connection() as connection:
                last = await last_events(connection, self._partition, list(self._cursors))
                for account_id, sequence in last.items():
                    await self._catch_up(connection, account_id, sequence)
        except psycopg.OperationalError as error:
            log.warning("tables not readable for account streams", partition=self._partition, cause=str(error))

    async def _catch_up(self, connection: Connection, account_id: str, until: int) -> None:
        after = self._cursors.get(account_id, until)
        while after < until:
            rows = await list_events(
                connection, self._partition, account_id, after_sequence=after, until_sequence=until, limit=ROWS_MAX
            )
            for row in rows:
                self._give(after, AccountEntry(account_id, row.sequence, row.previous_sequence, row.payload))
            after = rows[-1].sequence if rows else until

    def _give(self, asked: int, entry: AccountEntry) -> None:
        """Give followers an entry that was read behind the sequence `asked`."""
        cursor = self._cursors.get(entry.account_id)
        # All may have left while the read was under way, and others joined who begin before it: the next read is theirs.
        if cursor is None or not asked <= cursor < entry.sequence:
            return
        self._cursors[entry.account_id] = entry.sequence
        self._feed.publish([AccountFrame(entry.account_id, entry.sequence, entry.previous_sequence, entry.record)])
