"""A machine that follows the journal of a partition: how a leader starts, and what the projector is.

It executes the same commands as the leader and compares digests. Where they differ the partition is halted before anything is
written: loud, and safe. Its two writers, tables and bus, have positions of their own; neither waits for the other.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import aclosing, suppress
from typing import Final

import psycopg
import structlog
from redis.asyncio import Redis

from db import projections
from db.journal import find_partition, halt
from db.projecting import ProjectionMovedError
from db.session import PROJECTOR, Pool, connect
from db.snapshot import SnapshotTornError
from db.streams import open_bus
from servers.domain.ledger import InvariantBreach
from servers.domain.terms import Environment
from servers.engine.book_snapshots import NOTHING_KEPT, BookKeeper, Keeping
from servers.engine.effects import Mark, effects
from servers.engine.follower import Follower, Tail
from servers.engine.measures import ReplicaMeasures
from servers.engine.projection import TableChanges
from servers.engine.projector import TableWriter
from servers.engine.publication import BusChanges
from servers.engine.publisher import BusWriter
from servers.engine.recovery import Recovered, recover, recover_tables
from servers.engine.replay import Diverged, JournalCorrupt, Replay, Row, RulesUnknown

__all__ = ["Diverged", "JournalCorrupt", "Recovered", "Replica", "RulesUnknown", "finish", "recover", "run"]

log = structlog.get_logger()
TABLES_BACKLOG_MAX: Final = 20_000
BUS_BACKLOG_MAX: Final = 50_000
# After so many commands the writers have a turn, if none was had while the next rows were waited for.
TURN: Final = 64
POLL_S: Final = 0.01
BACK_OFF_S: Final = (0.1, 0.25, 0.5, 1.0, 2.0)


class Replica:
    """One partition's projector, from the projected sequence on."""

    def __init__(
        self,
        base: Recovered,
        url: str,
        bus: Redis,
        tail: Tail | None,
        measures: ReplicaMeasures,
        bus_backlog_max: int = BUS_BACKLOG_MAX,
        keeping: Keeping = NOTHING_KEPT,
    ) -> None:
        self.replay = Replay(base.exchange, base.chain)
        partition = base.exchange.partition
        self._tables = TableChanges(base.exchange, base.chain)
        self._bus = BusChanges(base.exchange, bus_backlog_max)
        self.tables = TableWriter(url, partition, self._tables, base.sequence, TABLES_BACKLOG_MAX)
        self.bus = BusWriter(bus, partition, self._bus)
        self._follower = Follower(url, self.replay, tail)
        self._measures = measures
        self._books = BookKeeper(base.exchange, url, keeping)

    async def run(self) -> None:
        """Until cancelled. Raises what stops one of its three tasks: see Replay, Follower and TableWriter."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read())
                tasks.create_task(self.tables.run())
                tasks.create_task(self.bus.run())
                tasks.create_task(self._measure())
                tasks.create_task(self._books.run())
        except ExceptionGroup as failed:
            stops = failed.subgroup((JournalCorrupt, RulesUnknown, ProjectionMovedError, psycopg.Error))
            if stops is None:
                raise
            # One is enough to know: the others ended because of it.
            raise stops.exceptions[0] from failed

    async def _read(self) -> None:
        try:
            rested = self.replay.sequence
            async with aclosing(self._follower.rows()) as rows:
                async for row in rows:
                    self.apply(row)
                    self.tables.watch()
                    await self.tables.room.wait()
                    # Rows of few commands come many at once, and a writer that ran after each would write each by itself.
                    if self.replay.sequence - rested >= TURN:
                        rested = self.replay.sequence
                        await asyncio.sleep(0)
        except RulesUnknown:
            # Nothing of an older version may be left for the program that knows the newer one.
            while self.tables.sequence < self.replay.sequence:  # noqa: ASYNC110  # a position, not an event
                await asyncio.sleep(POLL_S)
            raise

    def apply(self, row: Row) -> None:
        """Execute a row and hand what it caused to both writers. Raises JournalCorrupt, Diverged, RulesUnknown."""
        exchange = self.replay.exchange
        for command, events in self.replay.execute(row):
            caused = effects(exchange, command.sequence, command.time, events)
            self._tables.add(caused)
            self._bus.add(caused)
        mark = Mark(row.last_sequence, exchange.clock.epoch, row.digest, row.chain)
        self._tables.seal(mark)
        self._bus.seal(mark)

    async def _measure(self) -> None:
        partition = self.replay.exchange.partition
        while True:
            self._measures.tell(partition, self.replay.sequence, self.tables.sequence, self.bus.sequence)
            await asyncio.sleep(0.25)


async def finish(pool: Pool, partitions: Collection[int], limit_s: float) -> None:
    """Wait until the tables have all of the journal, as a program that knows other rules needs them; so long at most."""
    behind: dict[int, int] = {}
    with suppress(psycopg.Error, TimeoutError):
        async with asyncio.timeout(limit_s), pool.connection() as connection:
            while True:
                behind = {
                    number: await projections.behind(connection, number, projections.TABLES) for number in partitions
                }
                if not any(behind.values()):
                    return
                await asyncio.sleep(POLL_S)
    log.warning("stopped before the tables had all of the journal", behind=behind)


async def run(
    partitions: Mapping[int, Environment],
    url: str,
    redis_url: str,
    request_memory: int,
    tail: Callable[[int], Tail] | None,
    measures: ReplicaMeasures,
    keeping: Keeping = NOTHING_KEPT,
) -> None:
    """The projectors of several partitions, each started again after what may pass; `tail` gives a partition's Tail.

    One that is halted does not stop the others. Raises what halted the first one when none is left, and an ExceptionGroup with
    RulesUnknown when the process must restart into a newer program.
    """
    bus = open_bus(redis_url)
    try:
        async with asyncio.TaskGroup() as tasks:
            serving = [
                tasks.create_task(
                    _supervise(
                        partition, environment, url, bus, request_memory, tail and tail(partition), measures, keeping
                    )
                )
                for partition, environment in partitions.items()
            ]
    finally:
        await bus.aclose()
    raise serving[0].result()


async def _supervise(
    partition: int,
    environment: Environment,
    url: str,
    bus: Redis,
    request_memory: int,
    tail: Tail | None,
    measures: ReplicaMeasures,
    keeping: Keeping,
) -> RuntimeError | InvariantBreach:
    """Until the partition is halted: returns why. Raises RulesUnknown."""
    attempt = 0
    loop = asyncio.get_running_loop()
    while True:
        started = loop.time()
        try:
            base = await _start(partition, environment, url, request_memory)
            log.info("projecting", partition=partition, sequence=base.sequence)
            await Replica(base, url, bus, tail, measures, keeping=keeping).run()
        except (JournalCorrupt, SnapshotTornError, InvariantBreach) as error:
            log.critical("partition halted", partition=partition, cause=str(error))
            measures.halted(partition)
            await _halt(url, partition, str(error))
            return error
        except (psycopg.Error, ProjectionMovedError, LookupError) as error:
            log.warning("projector starts again", partition=partition, cause=str(error))
            attempt = 0 if loop.time() - started > 10 else attempt + 1
            await asyncio.sleep(BACK_OFF_S[min(attempt, len(BACK_OFF_S) - 1)])


async def _start(partition: int, environment: Environment, url: str, request_memory: int) -> Recovered:
    """The machine as of the projected sequence. Raises LookupError: no leader has made the partition yet."""
    connection = await connect(url, application_name=f"venue replica {partition}", role=PROJECTOR)
    async with connection:
        if await find_partition(connection, partition) is None:
            raise LookupError(f"no partition {partition} yet")
        return await recover_tables(connection, partition, environment, request_memory)


async def _halt(url: str, partition: int, reason: str) -> None:
    """Stop the leader's next append, however long it takes to tell the database."""
    while True:
        try:
            connection = await connect(url, application_name=f"venue replica {partition}", role=PROJECTOR)
            async with connection:
                await halt(connection, partition, reason)
                return
        except psycopg.OperationalError as error:
            log.critical("partition not halted yet", partition=partition, cause=str(error))
            await asyncio.sleep(BACK_OFF_S[-1])
