"""The task that writes cuts into the tables, one at a time, for as long as it takes."""

import asyncio
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Final

import psycopg
import structlog

from db.crash_points import passing
from db.partitions import ensure_partitions
from db.projecting import Cut, is_written, open_projection, write_cut
from db.session import Connection
from servers.engine.projection import TableChanges

log = structlog.get_logger()
# A cut costs some milliseconds however little is in it, so under load cuts are begun less often: after a cut of few commands the
# next may follow at once, after one of many it waits until as much again has come together, at most so long.
PACE_S: Final = 0.15
PACE_A_COMMAND_S: Final = 0.002
BACK_OFF_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0)


def pace_s(commands: int) -> float:
    """How long after the beginning of a cut of so many commands the next one may begin."""
    return min(PACE_S, commands * PACE_A_COMMAND_S)


class TableWriter:
    """Writes what changes into the tables. `sequence` is where they stand, `room` is set while the backlog is in bounds."""

    def __init__(self, url: str, partition: int, changes: TableChanges, sequence: int, backlog_max: int) -> None:
        self.sequence = sequence
        self.room = asyncio.Event()
        self.room.set()
        self._url = url
        self._partition = partition
        self._changes = changes
        self._backlog_max = backlog_max
        self._connection: Connection | None = None
        self._ranges_made: date | None = None

    def watch(self) -> None:
        """Let the reader of the journal go on, or hold it back, by what is collected."""
        if self._changes.commands > self._backlog_max:
            self.room.clear()
        else:
            self.room.set()

    async def run(self) -> None:
        """Until cancelled. Raises ProjectionMovedError, psycopg.Error other than a lost connection."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self._changes.wait()
                started = loop.time()
                cut = self._changes.take()
                self.watch()
                await self._write(cut)
                self.sequence = cut.sequence
                await asyncio.sleep(max(0.0, started + pace_s(cut.sequence - cut.before) - loop.time()))
        finally:
            await self._hang_up()

    async def _write(self, cut: Cut) -> None:
        """Write a cut, over as many connections as it takes."""
        for attempt in range(1 << 62):
            try:
                if self._connection is None:
                    self._connection = await open_projection(self._url, self._partition)
                    if await is_written(self._connection, cut):
                        return
                await self._make_room(self._connection)
                passing("before-projection")
                await write_cut(self._connection, cut)
                passing("after-projection")
            except psycopg.OperationalError as error:
                log.warning("tables not written yet", partition=self._partition, attempt=attempt, cause=str(error))
                await self._hang_up()
                await asyncio.sleep(BACK_OFF_S[min(attempt, len(BACK_OFF_S) - 1)])
            else:
                return

    async def _make_room(self, connection: Connection) -> None:
        """Once a day: the ranges of the months to come."""
        now = datetime.now(UTC)
        if self._ranges_made != now.date():
            await ensure_partitions(connection, now)
            self._ranges_made = now.date()

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                await connection.close()
