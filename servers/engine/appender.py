"""The leader's one way to the journal: append, retry, read back, or learn that somebody else leads."""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from db import journal
from db.cancellation import end_if_cancelled
from db.journal import JournalRow
from db.session import AWAY, Connection

log = structlog.get_logger()
BACK_OFF_S: Final = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
# How much earlier than the database we think our lease has ended.
MARGIN_S: Final = 0.25


class FencedError(Exception):
    """Another leader has the partition, or it is halted: nothing can be appended any more."""


class Appender:
    """Appends rows of one partition under one epoch, one at a time."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        connection: Connection,
        partition: int,
        epoch: int,
        lease_s: float,
        since: float,
    ) -> None:
        self._connect = connect
        self._connection = connection
        self.partition = partition
        self.epoch = epoch
        self.lease_s = lease_s
        # `since`: the monotonic time before the lease was asked for.
        self._lease_until = since + lease_s - MARGIN_S

    @property
    def leads(self) -> bool:
        """True while the lease surely runs: what memory says is then the truth."""
        return time.monotonic() < self._lease_until

    async def append(self, row: JournalRow) -> None:
        """Make a row durable, however often the database goes away meanwhile. Raises FencedError."""
        attempt = 0
        while True:
            started = time.monotonic()
            try:
                if attempt and await self._is_there(row):
                    return
                if await journal.append(self._connection, row, self.lease_s) or await self._is_there(row):
                    self._lease_until = started + self.lease_s - MARGIN_S
                    return
            except AWAY as error:
                # The outcome is unknown: connect again and look before trying again.
                log.warning("journal away", partition=self.partition, attempt=attempt, cause=str(error))
                await self._reconnect(attempt)
                attempt += 1
                continue
            raise FencedError(f"partition {self.partition}: epoch {self.epoch} may not append {row.first_sequence}")

    async def _is_there(self, row: JournalRow) -> bool:
        found = await journal.read_row(self._connection, self.partition, row.first_sequence)
        return found is not None and found.epoch == row.epoch and found.chain == row.chain

    async def renew(self) -> None:
        """Prolong the lease while there is nothing to append. Raises FencedError."""
        started = time.monotonic()
        try:
            renewed = await journal.renew(self._connection, self.partition, self.epoch, self.lease_s)
        except AWAY as error:
            log.warning("journal away", partition=self.partition, cause=str(error))
            await self._reconnect(0)
            return
        if not renewed:
            raise FencedError(f"partition {self.partition}: epoch {self.epoch} is over, or halted")
        self._lease_until = started + self.lease_s - MARGIN_S

    async def release(self) -> None:
        """End the lease at once: a planned stop. A database that is away lets it run out."""
        try:
            await journal.release(self._connection, self.partition, self.epoch)
        except AWAY as error:
            log.warning("lease not released", partition=self.partition, cause=str(error))
        finally:
            await self._connection.close()

    async def halt(self, reason: str) -> None:
        """Stop the partition for good, however often the database goes away meanwhile: a person has to look."""
        for attempt in itertools.count():
            try:
                await journal.halt(self._connection, self.partition, reason)
            except AWAY as error:
                log.warning("journal away", partition=self.partition, attempt=attempt, cause=str(error))
                await self._reconnect(attempt)
            else:
                return

    async def _reconnect(self, attempt: int) -> None:
        end_if_cancelled()
        await self._connection.close()
        back_off = BACK_OFF_S[min(attempt, len(BACK_OFF_S) - 1)]
        await asyncio.sleep(back_off * random.uniform(0.5, 1.0))  # noqa: S311  # jitter, not a secret
        try:
            self._connection = await self._connect()
        except AWAY as error:
            log.warning("journal not reached", partition=self.partition, cause=str(error))
