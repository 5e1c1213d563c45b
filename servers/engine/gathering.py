"""Which callers share a row: those of one moment, and while the thread is busy those of the next moments too."""

import asyncio
from collections.abc import Callable
from typing import Final

from servers.engine.batch import Batch
from servers.engine.effort import Effort

# A row costs more than what it carries. While the thread is busy for more than a share of its time, a row that has something of a
# session or a batch is begun so long after the last one at the earliest, unless all who shared the last one, or came while it
# was written, are there again, or there are commands enough. Who waits gains by it: there is less to do before his turn (decision
# 28). Callers who wait for each answer gain nothing by it since gRPC takes less of the thread (decision 36).
BUSY: Final = 0.5
BUSY_S: Final = 0.008
FULL: Final = 0.6
FULL_S: Final = 0.016
ENOUGH: Final = 256
# Of a row with one caller, while whose writing nobody came: the next of his has no other to share it with either.
ALONE: Final = 1


class Gathering:
    """The wait before a row is written; `forming` gives the batch that will be the row."""

    __slots__ = ("_begun", "_effort", "_expected", "_forming", "_wait")

    def __init__(self, forming: Callable[[], Batch]) -> None:
        self._forming = forming
        self._effort = Effort()
        # When the last row was begun, how many callers may be there again for the next, and what ends the wait for them.
        self._begun = 0.0
        self._expected = 0
        self._wait: asyncio.Future[None] | None = None

    async def gather(self) -> None:
        """Until the row is to be begun."""
        if self._expected != ALONE:
            await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        left_s = self._begun + self._apart_s() - loop.time()
        if left_s > 0 and self._forming().gathers and not self._is_enough():
            self._wait = loop.create_future()
            timer = loop.call_later(left_s, self._let_go)
            try:
                await self._wait
            finally:
                timer.cancel()
                self._wait = None
        self._begun = loop.time()
        self._expected = self._forming().callers

    def came(self) -> None:
        """Somebody has joined the batch."""
        if self._wait is not None and self._is_enough():
            self._let_go()

    def written(self) -> None:
        """The row is there: its callers may come again, beside those who came meanwhile."""
        self._expected += self._forming().callers

    def _apart_s(self) -> float:
        share = self._effort.look()
        return 0.0 if share <= BUSY else BUSY_S if share <= FULL else FULL_S

    def _is_enough(self) -> bool:
        forming = self._forming()
        return forming.callers >= self._expected or len(forming.commands) >= ENOUGH

    def _let_go(self) -> None:
        if self._wait is not None and not self._wait.done():
            self._wait.set_result(None)
