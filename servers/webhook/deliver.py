"""The worker: makes messages of events, and has those that are due attempted. One works at a time, whoever holds the lock.

A lock is a connection's: whoever loses the database stops, and another one begins. Should two work for a moment all the same, the
cursor lets one of them make each message, and an endpoint is told one twice at worst.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import psycopg
import structlog

from db.sealing import Sealer
from db.session import SERVICES, Connection, Pool, connect
from db.webhook_work import FORGET, forget_done, is_only_worker, list_busy
from servers.webhook.lane import Gone, Lane, Places
from servers.webhook.make_messages import Maker
from servers.webhook.measures import WebhookMeasures
from servers.webhook.posting import Poster

log = structlog.get_logger()
LOOK_S: Final = 0.2
# Between two looks where nobody listens: whoever begins to is told from then on, and of what happened since.
UNHEARD_S: Final = 1.0
LOCK_S: Final = 1.0
BACK_OFF_S: Final = 1.0
FORGET_S: Final = 600.0
# Lanes that are idle are kept for what they know of their endpoint, up to so many.
LANES_MAX: Final = 10_000

Step = Callable[[], Awaitable[bool]]


class Worker:
    def __init__(
        self,
        url: str,
        pool: Pool,
        partitions: Sequence[int],
        sealer: Sealer,
        poster: Poster,
        measures: WebhookMeasures,
        gone: Gone,
    ) -> None:
        self._url, self._pool = url, pool
        self._maker = Maker(pool, partitions)
        self._sealer, self._poster, self._measures, self._gone = sealer, poster, measures, gone
        self._places = Places()
        self._lanes: dict[str, Lane] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                connection = await connect(self._url, application_name="venue webhooks", role=SERVICES)
                async with connection:
                    await self._work_while_held(connection)
            except psycopg.OperationalError as error:
                log.warning("webhooks wait for the database", cause=str(error).splitlines()[0])
            self._measures.works.set(0)
            await asyncio.sleep(BACK_OFF_S)

    async def _work_while_held(self, connection: Connection) -> None:
        """Raises psycopg.OperationalError once the connection is lost."""
        while not await is_only_worker(connection):  # noqa: ASYNC110
            await asyncio.sleep(LOCK_S)  # nobody tells us that another one's connection ended
        log.info("webhooks are delivered here")
        self._measures.works.set(1)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._hold(connection))
                tasks.create_task(self._repeat(self._maker.step, self._look_s))
                tasks.create_task(self._repeat(self._forget, lambda: FORGET_S))
                tasks.create_task(self._repeat(lambda: self._dispatch(tasks), self._look_s))
        except* psycopg.OperationalError as errors:
            raise errors.exceptions[0] from None
        finally:
            self._running.clear()

    async def _hold(self, connection: Connection) -> None:
        while True:
            await connection.execute("SELECT 1")
            await asyncio.sleep(LOCK_S)

    def _look_s(self) -> float:
        return LOOK_S if self._maker.is_heard else UNHEARD_S

    async def _repeat(self, step: Step, every_s: Callable[[], float]) -> None:
        """A step again and again, at once where there is more to do, whether the database is there or not."""
        while True:
            more = False
            try:
                more = await step()
            except psycopg.OperationalError as error:
                log.warning("webhooks not read yet", cause=str(error).splitlines()[0])
            if not more:
                await asyncio.sleep(every_s())

    async def _dispatch(self, tasks: asyncio.TaskGroup) -> bool:
        """Begin a lane for every endpoint that something is due for and that has none running."""
        async with self._pool.connection() as connection:
            busy = await list_busy(connection)
        for endpoint_id in busy:
            lane = self._lane(endpoint_id)
            if endpoint_id not in self._running and not lane.is_resting:
                self._running[endpoint_id] = tasks.create_task(self._run(endpoint_id, lane))
        self._measures.lanes.set(len(busy))
        return False

    async def _run(self, endpoint_id: str, lane: Lane) -> None:
        try:
            await lane.run()
        except* psycopg.OperationalError as errors:
            log.warning("webhook lane waits for the database", endpoint_id=endpoint_id, count=len(errors.exceptions))
        finally:
            self._running.pop(endpoint_id, None)

    def _lane(self, endpoint_id: str) -> Lane:
        lane = self._lanes.get(endpoint_id)
        if lane is None:
            if len(self._lanes) >= LANES_MAX:
                self._lanes = {name: found for name, found in self._lanes.items() if name in self._running}
            made = Lane(endpoint_id, self._pool, self._sealer, self._poster, self._places, self._measures, self._gone)
            lane = self._lanes[endpoint_id] = made
        return lane

    async def _forget(self) -> bool:
        async with self._pool.connection() as connection:
            return await forget_done(connection) == FORGET
