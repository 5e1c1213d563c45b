"""Process `order`: the leaders of all partitions and what is closest to them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from servers.domain.terms import Environment
from servers.engine.catalogue import missing
from servers.engine.client import Engines
from servers.engine.fence import Fence
from servers.engine.leadership import Leader, Terms
from servers.engine.local import LocalEngine
from servers.engine.markets import Markets
from servers.engine.servicer import EngineServicer
from servers.order.servicer import OrderServicer
from servers.wiring.parts import Process, guard_of, keys_of, page_tokens, pool_of, serving
from venue.engine.v1 import engine_pb2
from venue.order.v1 import order_service_pb2


@asynccontextmanager
async def build(process: Process) -> AsyncIterator[None]:
    """OrderService, EngineService and the sequencers of all partitions."""
    settings = process.settings
    terms = Terms(
        database_url=settings.database,
        address=f"{settings.host}:{settings.order_port}",
        lease_s=settings.lease_s,
        batch_max=settings.batch_max,
        queue_max=settings.queue_max,
        request_memory=settings.request_memory,
        projector_lag_max=settings.projector_lag_max,
    )
    async with (
        pool_of(settings, "order") as pool,
        keys_of(settings) as keys,
        guard_of(process, pool, keys) as guard,
    ):
        engines = {number: LocalEngine(number, pool) for number in settings.partitions}
        leaders = [
            Leader(Environment[environment], engines[number], pool, terms, missing)
            for number, environment in settings.partitions.items()
        ]
        leading = [process.tasks.create_task(leader.run()) for leader in leaders]
        routes = Engines({int(Environment[name]): engines[number] for number, name in settings.partitions.items()})
        orders = OrderServicer(
            routes, pool, Fence(pool), Markets(pool), page_tokens(settings), guard.limits, settings.heartbeat_s
        )
        services = [
            (order_service_pb2.DESCRIPTOR.services_by_name["OrderService"], orders),
            (engine_pb2.DESCRIPTOR.services_by_name["EngineService"], EngineServicer(engines)),
        ]
        async with serving(process, "order", services, guard, internal=True):
            yield
        await asyncio.gather(*(leader.stop() for leader in leaders))
        await asyncio.gather(*leading)
