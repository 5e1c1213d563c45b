"""Mails on their way: written and sent beside the call that asked for them, so its answer takes as long whether there is one.

What waits is bounded and lies in memory: a mail that a crash takes is asked for again by whoever misses it. A mail that is not
taken is tried again, each time after twice as long.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import structlog

from servers.auth.mail import Mail, MailNotTaken, MailProvider
from servers.domain.errors import Overloaded, PartUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WAITING_MAX: Final = 1_000
SENDERS: Final = 4
TRIES: Final = 6
FIRST_WAIT_S: Final = 1.0
DRAIN_S: Final = 3.0
RETRY_AFTER_S: Final = 5.0

Letter = Callable[[], Awaitable[Mail | None]]
"""Writes the mail when its turn has come; None where there is none to send. May raise PartUnavailable: it is tried again."""

log = structlog.get_logger()


class Outbox:
    """Hands mails to a provider, a few at a time."""

    def __init__(self, provider: MailProvider, *, first_wait_s: float = FIRST_WAIT_S) -> None:
        self._provider = provider
        self._first_wait_s = first_wait_s
        self._waiting: asyncio.Queue[Letter] = asyncio.Queue(WAITING_MAX)

    def check_room(self) -> None:
        """Raises Overloaded where another mail would not be taken. Asked before a deed that ends with one."""
        if self._waiting.full():
            raise Overloaded(RETRY_AFTER_S)

    def post(self, mail: Mail) -> None:
        """Send a mail. Raises Overloaded."""

        async def written() -> Mail:
            return mail

        self.write(written)

    def write(self, letter: Letter) -> None:
        """Have a mail written and sent. Raises Overloaded."""
        try:
            self._waiting.put_nowait(letter)
        except asyncio.QueueFull:
            raise Overloaded(RETRY_AFTER_S) from None

    async def empty(self) -> None:
        """Until every mail was sent or given up."""
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
            letter = await self._waiting.get()
            try:
                await self._send(letter)
            finally:
                self._waiting.task_done()

    async def _send(self, letter: Letter) -> None:
        for turn in range(TRIES):
            try:
                mail = await letter()
                if mail is not None:
                    await self._provider.send(mail)
                return
            except (MailNotTaken, PartUnavailable) as error:
                if isinstance(error, MailNotTaken) and error.lasting:
                    log.error("mail refused", cause=str(error))
                    return
                log.warning("mail not sent yet", cause=str(error), turn=turn + 1)
            await asyncio.sleep(self._first_wait_s * 2.0**turn)
        log.error("mail given up")
