"""Process `notify`: every message that leaves the venue."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from db.sealing import Sealer
from servers.webhook.addresses import Guard
from servers.webhook.deliver import Worker
from servers.webhook.measures import WebhookMeasures
from servers.webhook.posting import Poster
from servers.wiring.parts import Process, pool_of


@asynccontextmanager
async def build(process: Process) -> AsyncIterator[None]:
    """The worker that delivers webhooks. Of several such processes one delivers."""
    settings = process.settings
    async with (
        pool_of(settings, "notify") as pool,
        Poster(Guard(loopback=settings.webhook_loopback)) as poster,
    ):
        worker = Worker(
            settings.database,
            pool,
            list(settings.partitions),
            Sealer(settings.read_field_keys),
            poster,
            WebhookMeasures(process.metrics.registry),
            tell_gone,
        )
        delivering = process.tasks.create_task(worker.run())
        try:
            yield
        finally:
            delivering.cancel()
            with suppress(asyncio.CancelledError):
                await delivering


async def tell_gone(user_id: str, endpoint_id: str, url: str) -> None:
    """Nobody is told yet but by the state of the endpoint."""
