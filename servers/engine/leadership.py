"""From waiting to leading: take the lease, recover the machine from tables and journal, serve, give the lease back.

A new epoch is committed before the journal's tail is read, so whatever a late leader still appends cannot come behind it.
"""

import asyncio
import math
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Final, TypeVar

import psycopg
import structlog

from db import journal, projections
from db.crash_points import passing
from db.session import AWAY, ENGINE, Connection, Pool, connect
from db.snapshot import SnapshotTornError
from servers.domain.exchange import RULES_VERSION, Exchange
from servers.domain.ledger import InvariantBreach
from servers.domain.terms import Environment
from servers.engine.appender import Appender, FencedError
from servers.engine.clock import VenueClock
from servers.engine.follower import Tail
from servers.engine.local import LocalEngine
from servers.engine.recovery import Recovered, recover
from servers.engine.replay import JournalCorrupt, RulesUnknown
from servers.engine.sequencer import Sequencer
from servers.engine.stale_index import watch_index
from servers.engine.standby import Standby
from venue.engine.v1 import engine_pb2 as pb

log = structlog.get_logger()
Result = TypeVar("Result")
WAIT_S: Final = 0.25
LOADING_S: Final = 0.05
BROKEN_S: Final = 5.0
TICK_S: Final = 0.05
LAG_CHECK_S: Final = 1.0
# What a planned stop waits for a database that is away; the supervisor gives the whole process ten seconds.
LAST_COMMIT_S: Final = 3.0


class GivenUpError(Exception):
    """A planned stop did not find the database for its last commit: its outcome is unknown, and callers were told so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a partition is led: where its journal is, and the bounds of batch, queue, memory and lag (commands)."""

    database_url: str
    address: str
    lease_s: float
    batch_max: int
    queue_max: int
    request_memory: int
    projector_lag_max: int
    # How long an index price holds without being set again; 0: for ever.
    index_stale_s: float = 0.0


class Leader:
    """Leads one partition, or waits to."""

    def __init__(
        self,
        environment: Environment,
        engine: LocalEngine,
        pool: Pool,
        terms: Terms,
        missing: Callable[[Exchange], Sequence[pb.Command]],
        tail: Tail | None = None,
    ) -> None:
        """`missing`: what the catalogue defines and a machine lacks; `tail`: the leader's, for the time of waiting."""
        self.engine = engine
        # Set once this process has led, or has seen that another one does, or that none can.
        self.led = asyncio.Event()
        # As it was seen last: while this process leads, and while the database is away, nothing is seen.
        self.halted = False
        self._partition = engine.partition
        self._environment = environment
        self._pool = pool
        self._terms = terms
        self._missing = missing
        self._holder = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
        self._stopping = asyncio.Event()
        self._committing: asyncio.Future[None] | None = None
        self.standby = Standby(terms.database_url, engine.partition, environment, terms.request_memory, tail)

    async def run(self) -> None:
        """Wait as a standby, lead, and after whatever ended it wait again, until stopped.

        A partition that is halted, or whose journal is not what it should be, waits for a person; the others go on.
        """
        try:
            while not self._stopping.is_set():
                try:
                    await self._lead()
                except FencedError as error:
                    log.error("does not lead any more", partition=self._partition, cause=str(error))
                except GivenUpError:
                    log.error("stopped without the last commit; its outcome is unknown", partition=self._partition)
                except AWAY as error:
                    log.warning("database away; waiting", partition=self._partition, cause=str(error))
                except (JournalCorrupt, RulesUnknown, SnapshotTornError, InvariantBreach) as error:
                    log.critical("the partition cannot start", partition=self._partition, cause=str(error))
                    await self._pause(BROKEN_S)
                finally:
                    self.engine.sequencer = None
                    self.engine.leads.clear()
                await self._pause(WAIT_S)
        finally:
            await self.standby.stop()

    async def _lead(self) -> None:
        async with AsyncExitStack() as unless_taken:
            connection = await unless_taken.enter_async_context(await self._connect())
            await journal.ensure_partition(connection, self._partition, int(self._environment))
            taken = await self._wait_for_lease(connection)
            if taken is None:
                return
            unless_taken.pop_all()
        epoch, since = taken
        passing("after-take-over")
        clock = VenueClock()
        appender = Appender(self._connect, connection, self._partition, epoch, self._terms.lease_s, since)
        try:
            recovered = await self._keeping(appender, self._take_up())
            sequencer = Sequencer(
                recovered.exchange,
                recovered.chain,
                appender,
                self._reload,
                clock,
                batch_max=self._terms.batch_max,
                queue_max=self._terms.queue_max,
            )
            passing("after-recovery")
            await sequencer.begin(self._missing(recovered.exchange))
            if self._stopping.is_set():
                # Told to while it was not there yet to be stopped.
                return
            self.engine.sequencer = sequencer
            self.engine.leads.set()
            self.led.set()
            log.info("leading", partition=self._partition, epoch=epoch, sequence=recovered.sequence)
            await self._serve(sequencer, clock)
        finally:
            await appender.release()

    async def stop(self) -> None:
        """Stop leading, everything executed committed, the lease given back.

        Where the database stays away nothing more is committed: who waits is told that the outcome is unknown.
        """
        self._stopping.set()
        if self.engine.sequencer is None:
            return
        try:
            async with asyncio.timeout(LAST_COMMIT_S):
                await self.engine.sequencer.stop()
        except TimeoutError:
            if self._committing is not None:
                self._committing.cancel()

    async def _serve(self, sequencer: Sequencer, clock: VenueClock) -> None:
        """Until the sequencer ends.

        Raises FencedError, GivenUpError, and what ends a watcher: without it time would stand still.
        """
        committing = self._committing = asyncio.ensure_future(sequencer.run())
        watchers = {
            asyncio.ensure_future(self._tick(sequencer, clock)),
            asyncio.ensure_future(self._watch_lag(sequencer)),
        }
        if self._terms.index_stale_s:
            watchers.add(asyncio.ensure_future(watch_index(sequencer, clock, self._terms.index_stale_s)))
        try:
            done, _ = await asyncio.wait({committing, *watchers}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if task.cancelled():
                    raise GivenUpError
                task.result()
        finally:
            for task in (committing, *watchers):
                task.cancel()
            await asyncio.wait({committing, *watchers})
            sequencer.abandon()

    async def _connect(self) -> Connection:
        return await connect(self._terms.database_url, application_name=f"venue journal {self._partition}", role=ENGINE)

    async def _take_up(self) -> Recovered:
        connection = await self._connect()
        try:
            return await self.standby.hand_over(connection)
        finally:
            await connection.close()

    async def _recover(self) -> Recovered:
        connection = await self._connect()
        try:
            return await recover(connection, self._partition, self._environment, self._terms.request_memory)
        finally:
            await connection.close()

    async def _reload(self) -> Exchange:
        return (await self._recover()).exchange

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _wait_for_lease(self, connection: Connection) -> tuple[int, float] | None:
        """The new epoch and when (monotonic) it was asked for, or None when stopped before there was one."""
        terms, told, until = self._terms, "", math.inf
        while not self._stopping.is_set():
            state = await journal.partition_row(connection, self._partition)
            # A lease that runs may be that of a process that was killed. One that was prolonged since is not. (What is left of
            # it would not tell: it is the same at each look where both beat alike.)
            if state.lease_until > until:
                self.led.set()
            until = state.lease_until
            self.halted = bool(state.halted_reason)
            bar = _bar(state)
            if bar:
                # It will not be led, here or elsewhere, until a person has looked.
                self.led.set()
            else:
                self.standby.start()
                # With the lease it could only go on loading, while another one that stands by may lead at once.
                if not self.standby.is_loading:
                    since = time.monotonic()
                    epoch = await journal.take_over(
                        connection, self._partition, self._holder, terms.address, terms.lease_s
                    )
                    if epoch is not None:
                        return epoch, since
            why = bar or "another process leads"
            if why != told and (bar or state.lease_left_s > 0):
                log.warning("waiting to lead", partition=self._partition, why=why)
                told = why
            await self._pause(LOADING_S if self.standby.is_loading else WAIT_S)
        return None

    @staticmethod
    async def _keeping(appender: Appender, work: Awaitable[Result]) -> Result:
        """Do something long and keep the lease meanwhile."""
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=appender.lease_s / 4)
                await appender.renew()
            return task.result()
        finally:
            task.cancel()

    async def _tick(self, sequencer: Sequencer, clock: VenueClock) -> None:
        """Let time pass in an idle machine, and watch the wall clock."""
        while True:
            await asyncio.sleep(TICK_S)
            if clock.check():
                log.critical("the wall clock jumped; timers are suspended", partition=self._partition)
            sequencer.tick()

    async def _watch_lag(self, sequencer: Sequencer) -> None:
        """Shed new orders while the projector is too far behind."""
        while True:
            await asyncio.sleep(LAG_CHECK_S)
            try:
                async with self._pool.connection() as connection:
                    projected = await projections.find_projection(connection, self._partition, projections.TABLES)
            except psycopg.OperationalError:
                continue
            lag = sequencer.tail.sequence - (projected.sequence if projected is not None else 0)
            if (lag > self._terms.projector_lag_max) != sequencer.shedding:
                sequencer.shedding = not sequencer.shedding
                log.warning("shedding new orders", partition=self._partition, lag=lag, shedding=sequencer.shedding)


def _bar(state: journal.PartitionState) -> str:
    """Why this program may not lead a partition at all."""
    if state.halted_reason:
        return f"halted: {state.halted_reason}"
    # Its rows would say that they are of rules that it does not know.
    return f"led by a newer program, under rules {state.rules_version}" if state.rules_version > RULES_VERSION else ""
