"""The last committed rows, for replicas that follow: what memory has comes from here, older rows from the table."""

import asyncio
from collections import deque
from typing import Final

from db.journal import JournalRow

ROWS_MAX: Final = 4_096
BYTES_MAX: Final = 64 * 1024 * 1024


class Tail:
    """A ring of rows in order, and a bell that rings at each new one."""

    __slots__ = ("_bell", "_bytes", "_rows", "sequence")

    def __init__(self, sequence: int) -> None:
        # The last sequence that is committed.
        self.sequence = sequence
        self._rows: deque[JournalRow] = deque()
        self._bytes = 0
        self._bell = asyncio.Event()

    def push(self, row: JournalRow) -> None:
        """Add a committed row."""
        self.sequence = row.last_sequence
        self._rows.append(row)
        self._bytes += len(row.commands)
        while len(self._rows) > ROWS_MAX or self._bytes > BYTES_MAX:
            self._bytes -= len(self._rows.popleft().commands)
        self.ring()

    def ring(self) -> None:
        """Wake everybody who waits."""
        self._bell.set()
        self._bell = asyncio.Event()

    def after(self, sequence: int, limit: int) -> list[JournalRow] | None:
        """At most so many rows after a sequence, none if there are none yet; None if memory does not reach back so far."""
        if sequence >= self.sequence:
            return []
        if not self._rows or self._rows[0].first_sequence > sequence + 1:
            return None
        found: list[JournalRow] = []
        for row in reversed(self._rows):
            if row.last_sequence <= sequence:
                break
            found.append(row)
        found.reverse()
        return found[:limit]

    async def wait(self) -> None:
        """Until the next row is committed."""
        await self._bell.wait()
