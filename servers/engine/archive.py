"""A partition's journal as a book to look things up in: who asked for what, and what the answer was."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import psycopg

from db import journal
from db.requests import find_request
from db.session import Connection, Pool
from servers.domain.errors import PartUnavailable
from servers.engine.answers import replayed
from venue.engine.v1 import engine_pb2 as pb


class Author(NamedTuple):
    """Who placed an order."""

    user_id: str
    account_id: str


class Archive:
    """Reads what is committed, whoever leads."""

    def __init__(self, partition: int, pool: Pool) -> None:
        self._partition = partition
        self._pool = pool

    @asynccontextmanager
    async def tables(self) -> AsyncIterator[Connection]:
        """A connection for reading. Raises PartUnavailable."""
        try:
            async with self._pool.connection() as connection:
                yield connection
        except psycopg.OperationalError as error:
            raise PartUnavailable("the database") from error

    async def rows(self, after_sequence: int, limit: int) -> list[journal.JournalRow]:
        """The rows that end after a sequence."""
        async with self.tables() as connection:
            return await journal.read_after(connection, self._partition, after_sequence, limit)

    async def outcome(self, user_id: str, request_id: str, sequence: int) -> tuple[str, bytes] | None:
        """Kind of command and answer of a user's request; `sequence` is what the leader's memory said, 0: nothing."""
        if sequence:
            return await self.journaled(sequence)
        async with self.tables() as connection:
            found = await find_request(connection, self._partition, user_id, request_id.lower())
        return None if found is None else await self.journaled(found.sequence)

    async def journaled(self, sequence: int) -> tuple[str, bytes] | None:
        """Kind of command and answer (marked as replayed) of a committed sequence; None where the journal was let go of."""
        row = await self._row(sequence)
        if row is None:
            return None
        index = sequence - row.first_sequence
        command = pb.CommandBatch.FromString(row.commands).commands[index]
        kind = command.WhichOneof("body") or ""
        return kind, replayed(kind, pb.AnswerBatch.FromString(row.answers).answers[index])

    async def answer(self, sequence: int) -> bytes:
        """What the caller of a committed sequence was told. Raises PartUnavailable where the journal was let go of."""
        row = await self._row(sequence)
        if row is None:
            raise PartUnavailable("the record of this request")
        return pb.AnswerBatch.FromString(row.answers).answers[sequence - row.first_sequence]

    async def author(self, sequence: int) -> Author | None:
        """Whose command at a sequence made an order (accepted or not); None if it made none, or there is no such."""
        row = await self._row(sequence)
        if row is None:
            return None
        command = pb.CommandBatch.FromString(row.commands).commands[sequence - row.first_sequence]
        match command.WhichOneof("body"):
            case "place_order":
                return Author(command.user_id, command.place_order.account_id)
            case "replace_order":
                return Author(command.user_id, command.replace_order.order.account_id)
            case "place_oco":
                return Author(command.user_id, command.place_oco.orders[0].account_id)
        return None

    async def _row(self, sequence: int) -> journal.JournalRow | None:
        """The row that a sequence is in. The next one that is kept is another's."""
        rows = await self.rows(sequence - 1, 1)
        return rows[0] if rows and rows[0].first_sequence <= sequence else None
