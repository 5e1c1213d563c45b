"""The rows of a partition's journal in order, for ever: from the leader's Tail while one answers, else from the table."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from typing import Final, cast

import psycopg
import structlog

from db.cancellation import end_if_cancelled
from db.journal import read_after
from db.session import ENGINE, Connection, connect
from servers.domain.errors import VenueError
from servers.engine.replay import JournalCorrupt, Replay, Row
from venue.engine.v1 import engine_pb2

log = structlog.get_logger()
# The leader's committed batches after a sequence, each with those that came with it. Raises VenueError when no leader answers.
Tail = Callable[[int], AsyncIterator[engine_pb2.TailResponse]]

ROWS_A_READ: Final = 64
POLL_S: Final = 0.05
# A Tail that is silent for this long may be that of a leader that was replaced: the table knows.
SILENCE_S: Final = 1.0
BACK_OFF_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0)


class Follower:
    """Reads ahead of a replay; the rows it gives follow what the replay has executed when it is asked for the next."""

    def __init__(self, url: str, replay: Replay, tail: Tail | None) -> None:
        self._url = url
        self._replay = replay
        self._tail = tail
        self._connection: Connection | None = None

    async def rows(self) -> AsyncGenerator[Row]:
        """Rows that are whole. Raises JournalCorrupt (the table's row is not), RulesUnknown, psycopg.Error."""
        attempt = 0
        try:
            while True:
                end_if_cancelled()
                try:
                    found = await self._read()
                    attempt = 0
                except psycopg.OperationalError as error:
                    log.warning("journal not readable yet", partition=self._partition, cause=str(error))
                    await self._hang_up()
                    await asyncio.sleep(BACK_OFF_S[min(attempt, len(BACK_OFF_S) - 1)])
                    attempt += 1
                    found = []
                for row in found:
                    self._replay.check(row)
                    yield row
                if not found:
                    async with aclosing(self._follow()) as followed:
                        async for row in followed:
                            yield row
        finally:
            await self._hang_up()

    @property
    def _partition(self) -> int:
        return self._replay.exchange.partition

    async def _read(self) -> list[Row]:
        if self._connection is None:
            name = f"venue replica {self._partition}"
            self._connection = await connect(self._url, application_name=name, role=ENGINE)
        found = await read_after(self._connection, self._partition, self._replay.sequence, ROWS_A_READ)
        return cast("list[Row]", found)

    async def _follow(self) -> AsyncGenerator[Row]:
        """Rows of the leader's Tail until it ends, falls silent, or gives one that the table has to confirm."""
        if self._tail is None:
            await asyncio.sleep(POLL_S)
            return
        tail = self._tail(self._replay.sequence)
        try:
            while True:
                async with asyncio.timeout(SILENCE_S):
                    first = await anext(tail)
                for row in (first, *first.following):
                    self._replay.check(row)
                    yield row
        except (StopAsyncIteration, VenueError):
            await asyncio.sleep(POLL_S)
        except JournalCorrupt as error:
            log.warning("a row of the leader's tail is read again from the table", cause=str(error))
        except TimeoutError:
            return
        finally:
            if isinstance(tail, AsyncGenerator):
                await tail.aclose()

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                await connection.close()
