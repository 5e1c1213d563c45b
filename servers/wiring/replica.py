"""Process `replica`: the journal into tables and bus."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from servers.domain.terms import Environment
from servers.engine import retention
from servers.engine.book_snapshots import Keeping
from servers.engine.measures import ReplicaMeasures
from servers.engine.replica import finish
from servers.engine.replica import run as project
from servers.engine.retention import Retention
from servers.wiring.parts import Process, guard_of, keys_of, pool_of, remote_engines, serving

# Of the ten seconds that the supervisor gives a process; the order process has stopped by then.
LAST_ROWS_S: Final = 5.0


@asynccontextmanager
async def build(process: Process) -> AsyncIterator[None]:
    """The projectors of all partitions, and health on a port of their own."""
    settings = process.settings
    async with (
        pool_of(settings, "replica") as pool,
        guard_of(process, pool, keys_of(settings)) as guard,
        remote_engines(settings, pool) as engines,
    ):
        projecting = process.tasks.create_task(
            project(
                {number: Environment[name] for number, name in settings.partitions.items()},
                settings.database,
                settings.redis,
                settings.request_memory,
                lambda partition: engines.for_partition(partition).tail,
                ReplicaMeasures(),
                Keeping(settings.book_snapshot_s, settings.book_snapshots_days),
            )
        )
        kept = Retention(
            settings.requests_days,
            settings.transfer_requests_days,
            settings.account_events_days,
            settings.journal_days,
            settings.request_memory,
        )
        letting_go = [
            process.tasks.create_task(retention.run(settings.partitions, settings.database, kept)),
            process.tasks.create_task(retention.run_ticks(settings.database, settings.price_ticks_hours)),
        ]
        async with serving(process, "replica", [], guard):
            yield
        await finish(pool, settings.partitions, LAST_ROWS_S)
        projecting.cancel()
        for task in letting_go:
            task.cancel()
