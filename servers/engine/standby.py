"""A machine kept as new as the journal while another process leads: what a take-over goes on with.

It is a replica that publishes nothing: the same rows, executed and compared in the same way. Where it finds the journal wrong it
halts the partition, as the projector does.
"""

import asyncio
from contextlib import aclosing, suppress
from typing import Final

import psycopg
import structlog

from db.journal import halt
from db.session import ENGINE, Connection, connect
from db.snapshot import SnapshotTornError
from servers.domain.exchange import Exchange
from servers.domain.ledger import InvariantBreach
from servers.domain.terms import Environment
from servers.engine.follower import Follower, Tail
from servers.engine.recovery import Recovered, catch_up, recover, recover_tables
from servers.engine.replay import Diverged, JournalCorrupt, Replay, RulesUnknown

log = structlog.get_logger()
RETRY_S: Final = 1.0


class Standby:
    """Follows one partition's journal from `start` on, and hands its machine over once."""

    def __init__(
        self, url: str, partition: int, environment: Environment, request_memory: int, tail: Tail | None
    ) -> None:
        self._url = url
        self._partition = partition
        self._environment = environment
        self._request_memory = request_memory
        self._tail = tail
        self._replay: Replay | None = None
        self._task: asyncio.Task[None] | None = None
        # Set once it is known whether the tables could be loaded.
        self._tried = asyncio.Event()

    @property
    def sequence(self) -> int:
        """The last command executed; 0 while nothing is loaded."""
        return 0 if self._replay is None else self._replay.sequence

    @property
    def machine(self) -> Exchange | None:
        """The machine as of that command."""
        return None if self._replay is None else self._replay.exchange

    @property
    def is_loading(self) -> bool:
        """Whether it has begun to load the tables, and does not know yet whether it can."""
        return self._task is not None and not self._tried.is_set()

    def start(self) -> None:
        """Begin to follow, if it does not yet."""
        if self._task is None:
            self._tried.clear()
            self._task = asyncio.ensure_future(self._run())

    async def stop(self) -> None:
        """Follow no more; between two rows, so the machine stays whole."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def hand_over(self, connection: Connection) -> Recovered:
        """The machine as of the journal's end; nothing follows it any more. Raises as recovery.recover does."""
        if self._task is not None:
            # It may just be loading them: to begin anew would take longer.
            await self._tried.wait()
        await self.stop()
        replay, self._replay = self._replay, None
        if replay is None:
            return await recover(connection, self._partition, self._environment, self._request_memory)
        before = replay.sequence
        recovered = await catch_up(connection, self._partition, replay)
        log.info("taking over warm", partition=self._partition, sequence=before, rest=recovered.sequence - before)
        return recovered

    async def _run(self) -> None:
        while True:
            try:
                await self._follow()
            except (psycopg.Error, RulesUnknown, SnapshotTornError, InvariantBreach) as error:
                # A take-over starts from the tables then, and says what is wrong with them.
                log.warning("standby starts again", partition=self._partition, cause=str(error))
            except JournalCorrupt as error:
                log.critical("standby cannot follow", partition=self._partition, cause=str(error))
                if isinstance(error, Diverged):
                    await self._halt(str(error))
            self._replay = None
            self._tried.set()
            await asyncio.sleep(RETRY_S)

    async def _follow(self) -> None:
        name = f"venue standby {self._partition}"
        async with await connect(self._url, application_name=name, role=ENGINE) as connection:
            base = await recover_tables(connection, self._partition, self._environment, self._request_memory)
        replay = self._replay = Replay(base.exchange, base.chain)
        self._tried.set()
        log.info("standing by", partition=self._partition, sequence=base.sequence)
        async with aclosing(Follower(self._url, replay, self._tail).rows()) as rows:
            async for row in rows:
                replay.skip(row)
                await asyncio.sleep(0)

    async def _halt(self, reason: str) -> None:
        with suppress(psycopg.OperationalError):
            name = f"venue standby {self._partition}"
            async with await connect(self._url, application_name=name, role=ENGINE) as connection:
                await halt(connection, self._partition, reason)
