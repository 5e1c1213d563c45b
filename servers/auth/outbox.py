"""Letters on their way: written and stored beside the call that asked for them, so its answer takes as long whether there is one.

What waits is bounded and lies in memory until it is stored, which takes a moment: a letter that a crash takes then is asked for
again by whoever misses it. One that is not taken is tried again, each time after twice as long.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import structlog

from db.outgoing import Letter
from servers.auth.mail import LetterBox, LetterNotTaken
from servers.domain.errors import Overloaded, PartUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WAITING_MAX: Final = 1_000
SENDERS: Final = 4
TRIES: Final = 6
FIRST_WAIT_S: Final = 1.0
DRAIN_S: Final = 3.0
RETRY_AFTER_S: Final = 5.0

Writing = Callable[[], Awaitable[Letter | None]]
"""Writes the letter when its turn has come; None where there is none to send. May raise PartUnavailable: it is tried again."""

log = structlog.get_logger()


class Outbox:
    """Hands letters on, a few at a time."""

    def __init__(self, box: LetterBox, *, first_wait_s: float = FIRST_WAIT_S) -> None:
        self._box = box
        self._first_wait_s = first_wait_s
        self._waiting: asyncio.Queue[Writing] = asyncio.Queue(WAITING_MAX)

    def check_room(self) -> None:
        """Raises Overloaded where another letter would not be taken. Asked before a deed that ends with one."""
        if self._waiting.full():
            raise Overloaded(RETRY_AFTER_S)

    def post(self, letter: Letter) -> None:
        """Send a letter. Raises Overloaded."""

        async def written() -> Letter:
            return letter

        self.write(written)

    def write(self, writing: Writing) -> None:
        """Have a letter written and sent. Raises Overloaded."""
        try:
            self._waiting.put_nowait(writing)
        except asyncio.QueueFull:
            raise Overloaded(RETRY_AFTER_S) from None

    async def empty(self) -> None:
        """Until every letter was handed on or given up."""
        await self._waiting.join()

    @asynccontextmanager
    async def sending(self) -> "AsyncIterator[None]":
        """Sends while the body runs, and for a moment after it what still waits."""
        senders = [asyncio.create_task(self._send_all()) for _ in range(SENDERS)]
        try:
            yield
        finally:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.empty(), DRAIN_S)
            if not self._waiting.empty():
                log.error("mails not sent", count=self._waiting.qsize())
            for sender in senders:
                sender.cancel()
            await asyncio.gather(*senders, return_exceptions=True)

    async def _send_all(self) -> None:
        while True:
            writing = await self._waiting.get()
            try:
                await self._send(writing)
            finally:
                self._waiting.task_done()

    async def _send(self, writing: Writing) -> None:
        for turn in range(TRIES):
            try:
                letter = await writing()
                if letter is not None:
                    await self._box.send(letter)
                return
            except (LetterNotTaken, PartUnavailable) as error:
                log.warning("mail not sent yet", cause=str(error), turn=turn + 1)
            await asyncio.sleep(self._first_wait_s * 2.0**turn)
        log.error("mail given up")
