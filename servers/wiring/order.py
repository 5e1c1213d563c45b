"""Process `order`: the leaders of its partitions, or those who wait to lead them, and what is closest to them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial

from db.session import Pool
from servers.domain.terms import Environment
from servers.engine.catalogue import missing
from servers.engine.client import Engines
from servers.engine.fence import Fence
from servers.engine.leadership import Leader, Terms
from servers.engine.local import LocalEngine
from servers.engine.markets import Markets
from servers.engine.measures import measure_halts, measure_queues
from servers.engine.missed import Past
from servers.engine.pace import Pace
from servers.engine.remote import RemoteEngine
from servers.engine.servicer import EngineServicer
from servers.engine.trading import RoutedEngine
from servers.engine.transit import Transit
from servers.order.servicer import OrderServicer
from servers.transport.limits import Rate
from servers.transport.server import Server
from servers.wiring.parts import (
    Process,
    bus_of,
    engines_of,
    guard_of,
    keys_of,
    page_tokens,
    pool_of,
    remote_engines,
    serving,
)
from venue.engine.v1 import engine_pb2
from venue.order.v1 import order_service_pb2

# How long a start waits for a leader before it says that it serves: a lease of one that was killed runs two seconds.
LEADING_S = 5.0
# How long streams may take to say goodbye while others wait for the next leader, and how long afterwards those who come late
# still find somebody who tells them that nobody leads here.
GOODBYE_S = 0.5
LATE_S = 0.5
# A line to another leader that nobody uses for so long is left: without one the process serves faster (transport/events.py).
LINE_IDLE_S = 5.0
# What a leader that was told to stop may still take: its lease given back, its connections closed.
ENDING_S = 2.0


@asynccontextmanager
async def leading(
    process: Process, engines: Mapping[int, LocalEngine], others: Engines[RemoteEngine], pool: Pool
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """The leaders of the engines; entered once each partition is led, here or by another process, or some time has passed.

    Gives what stops them: everything executed is committed and told, their leases are given back.
    """
    settings = process.settings
    terms = Terms(
        database_url=settings.database,
        address=f"{settings.host}:{settings.order_port}",
        lease_s=settings.lease_s,
        batch_max=settings.batch_max,
        queue_max=settings.queue_max,
        request_memory=settings.request_memory,
        projector_lag_max=settings.projector_lag_max,
        index_stale_s=settings.index_stale_s,
    )
    leaders = [
        Leader(
            Environment[settings.partitions[number]],
            engine,
            pool,
            terms,
            partial(missing, lists=partial(settings.lists, number)),
            others.for_partition(number).tail,
        )
        for number, engine in engines.items()
    ]
    measure_halts(dict(zip(engines, leaders, strict=True)), process.metrics.registry)
    tasks = [process.tasks.create_task(leader.run()) for leader in leaders]

    async def stop() -> None:
        await asyncio.gather(*(leader.stop() for leader in leaders))
        done, late = await asyncio.wait(tasks, timeout=ENDING_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        for task in done:
            if not task.cancelled():
                task.result()

    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(LEADING_S):
                await asyncio.gather(*(leader.led.wait() for leader in leaders))
        yield stop
    finally:
        await stop()


async def hand_over(server: Server, stop_leaders: Callable[[], Awaitable[None]]) -> None:
    """Stop leading while the server still answers: whoever asks is told that nothing was done, and finds the next leader."""
    await server.retire(GOODBYE_S)
    await stop_leaders()
    await asyncio.sleep(LATE_S)


@asynccontextmanager
async def build(process: Process) -> AsyncIterator[None]:
    """OrderService for all partitions; EngineService and the sequencers of those that the process leads."""
    settings = process.settings
    async with AsyncExitStack() as held:
        pool = await held.enter_async_context(pool_of(settings, "order"))
        others = await held.enter_async_context(remote_engines(settings, pool, LINE_IDLE_S))
        rates = {name: Rate(*given) for name, given in settings.order_rates.items()}
        engines = {number: LocalEngine(number, pool, Pace(rates)) for number in settings.led}
        measure_queues(engines, process.metrics.registry)
        stop_leaders = await held.enter_async_context(leading(process, engines, others, pool))
        # It leads by now, or may at any time: other servers need it before it knows who calls, as do callers with API keys.
        guard = await held.enter_async_context(guard_of(process, pool, keys_of(settings), first_key_s=0.0))
        guard.limits.of_accounts = lambda user_id, account_id: [
            use for engine in engines.values() for use in engine.uses(user_id, account_id)
        ]
        routes = engines_of(settings, lambda n: RoutedEngine(engines.get(n), others.for_partition(n)))
        carrying = [process.tasks.create_task(Transit(engine, routes).run()) for engine in engines.values()]
        past = Past(pool, Fence(pool), await held.enter_async_context(bus_of(settings)))
        orders = OrderServicer(routes, past, Markets(pool), page_tokens(settings), guard.limits, settings.heartbeat_s)
        services = [
            (order_service_pb2.DESCRIPTOR.services_by_name["OrderService"], orders),
            (engine_pb2.DESCRIPTOR.services_by_name["EngineService"], EngineServicer(engines)),
        ]
        server = await held.enter_async_context(serving(process, "order", services, guard, internal=True))
        held.push_async_callback(hand_over, server, stop_leaders)
        yield
        for task in carrying:
            task.cancel()
