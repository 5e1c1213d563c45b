"""What is due for one endpoint, attempted: an account's messages one after the other, those of a few accounts at once.

An endpoint has a lane of its own, so none waits for another. One that fails has its lane narrowed to a message at a time and
slowed down, and shares places with others that fail and with no healthy one.
"""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from db.crash_points import passing
from db.sealing import SealBroken, Sealer
from db.session import Pool
from db.webhook_deliveries import DEAD, PENDING, SUCCEEDED
from db.webhook_endpoints import secret_place
from db.webhook_work import Due, Target, find_target, list_due, record
from servers.webhook.measures import WebhookMeasures
from servers.webhook.posting import Answer, Poster
from servers.webhook.schedule import LIFE_S, wait_s
from servers.webhook.signing import headers

log = structlog.get_logger()
PAGE: Final = 100
ACCOUNTS_AT_ONCE: Final = 4
# Attempts under way in all: to endpoints that work, and to those that do not.
HEALTHY_MAX: Final = 256
FAILING_MAX: Final = 128
# From the third failure in a row on an endpoint is asked less often: after 1, 2, 4 ... 60 s.
OPENS_AFTER: Final = 3
PAUSE_MAX_S: Final = 60.0

Gone = Callable[[str, str], Awaitable[None]]
"""Disables an endpoint (id, url) that said that it is gone, and tells its user."""


class Places:
    """How many attempts may be under way, told apart by whether their endpoints work."""

    def __init__(self) -> None:
        self.healthy = asyncio.Semaphore(HEALTHY_MAX)
        self.failing = asyncio.Semaphore(FAILING_MAX)


class Lane:
    """One endpoint's."""

    def __init__(
        self,
        endpoint_id: str,
        pool: Pool,
        sealer: Sealer,
        poster: Poster,
        places: Places,
        measures: WebhookMeasures,
        gone: Gone,
    ) -> None:
        self._endpoint_id = endpoint_id
        self._pool, self._sealer, self._poster = pool, sealer, poster
        self._places, self._measures, self._gone = places, measures, gone
        self._failures = 0
        self._retry_at = 0.0
        self._is_gone = False
        self._random = random.Random()  # noqa: S311  # nosec B311  jitter, no secret

    @property
    def is_resting(self) -> bool:
        """Whether the endpoint is given time to recover."""
        return time.monotonic() < self._retry_at

    async def run(self) -> None:
        """Until nothing is due, or the endpoint rests. Raises psycopg.OperationalError."""
        while not self.is_resting:
            async with self._pool.connection() as connection:
                target = await find_target(connection, self._endpoint_id)
                due = await list_due(connection, self._endpoint_id, PAGE) if target is not None else []
            if target is None or not due:
                return
            self._is_gone = False
            await self._attempt_all(target, due)

    async def _attempt_all(self, target: Target, due: Sequence[Due]) -> None:
        try:
            known = [
                self._sealer.open(secret_place(name), envelope).decode() for name, envelope in target.secrets
            ]  # fmt: skip
        except SealBroken as error:
            log.error("webhook secret does not open", endpoint_id=self._endpoint_id, cause=str(error))
            self._failed()
            return
        by_account: dict[str, list[Due]] = defaultdict(list)
        for each in due:
            by_account[each.account_id].append(each)
        room = asyncio.Semaphore(1 if self._failures else ACCOUNTS_AT_ONCE)

        async def one_by_one(messages: Sequence[Due]) -> None:
            async with room:
                for message in messages:
                    if self.is_resting:
                        return
                    # What comes later of the account waits for it; tests are of no account.
                    if not await self._attempt(target, known, message) and (message.account_id or self._is_gone):
                        return

        async with asyncio.TaskGroup() as tasks:
            for messages in by_account.values():
                tasks.create_task(one_by_one(messages))

    async def _attempt(self, target: Target, known: Sequence[str], due: Due) -> bool:
        """Returns whether the message was taken."""
        async with self._places.failing if self._failures else self._places.healthy:
            passing("webhook-sending")
            began = time.monotonic()
            signed = headers(known, due.message_id, int(time.time()), due.body)
            answer = await self._poster.post(target.url, signed, due.body)
        passing("webhook-sent")
        self._measures.attempted(answer, time.monotonic() - began)
        if answer.is_taken:
            self._failures = 0
        else:
            self._failed(answer.retry_after_s)
        await self._record(due, answer)
        passing("webhook-recorded")
        if answer.is_gone:
            self._is_gone = True
            await self._disable(target)
        return answer.is_taken

    async def _record(self, due: Due, answer: Answer) -> None:
        pause_s = None if answer.is_gone else wait_s(due.attempts + 1, answer.retry_after_s, self._random)
        if pause_s is not None and due.age_s + pause_s > LIFE_S:
            # It has waited behind others for as long as a message is tried.
            pause_s = None
        state = SUCCEEDED if answer.is_taken else DEAD if pause_s is None else PENDING
        async with self._pool.connection() as connection:
            await record(
                connection,
                self._endpoint_id,
                due,
                state,
                status=answer.status,
                error=answer.error,
                wait_s=pause_s or 0.0,
            )
        if state == DEAD:
            self._measures.dead.inc()
            log.warning(
                "webhook message given up", endpoint_id=self._endpoint_id, message_id=due.message_id, cause=answer.error
            )

    async def _disable(self, target: Target) -> None:
        log.info("webhook endpoint is gone", endpoint_id=self._endpoint_id)
        await self._gone(self._endpoint_id, target.url)

    def _failed(self, asked_s: float = 0.0) -> None:
        """`asked_s`: how long the endpoint wants to be left alone; so long, up to a minute, no other message goes there."""
        self._failures += 1
        pause_s = min(PAUSE_MAX_S, asked_s)
        if self._failures >= OPENS_AFTER:
            planned = min(PAUSE_MAX_S, 2.0 ** (self._failures - OPENS_AFTER))
            pause_s = max(pause_s, planned * self._random.uniform(0.5, 1.0))
        if pause_s:
            self._retry_at = time.monotonic() + pause_s
