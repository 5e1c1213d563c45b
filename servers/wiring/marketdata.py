"""Process `marketdata`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from servers.domain.terms import Environment
from servers.engine.markets import Markets
from servers.marketdata.market_data import MarketData
from servers.marketdata.peers import Peers
from servers.marketdata.response_cache import CacheMeasures
from servers.marketdata.servicer import MarketDataServicer
from servers.wiring.parts import (
    Process,
    bus_of,
    guard_of,
    internal_key,
    keys_of,
    page_tokens,
    pool_of,
    remote_engines,
    serving,
)
from venue.marketdata.v1 import marketdata_pb2

# Ten thousand clients that come back at once are more than gRPC by itself lets wait (1,000, at most 3,000): the others would be
# told CANCELLED. The gateway holds back what is more than this.
STORM: Final = (("grpc.server.max_pending_requests", 12_000), ("grpc.server.max_pending_requests_hard_limit", 24_000))


@asynccontextmanager
async def build(process: Process) -> AsyncIterator[None]:
    """MarketDataService."""
    settings = process.settings
    async with (
        pool_of(settings, "marketdata") as pool,
        guard_of(process, pool, keys_of(settings)) as guard,
        remote_engines(settings, pool) as engines,
        bus_of(settings) as bus,
        Peers(settings.marketdata_others, internal_key(settings), settings.papers()) as peers,
    ):
        data = MarketData(
            engines,
            bus,
            pool,
            Markets(pool),
            default_environment=int(Environment[settings.default_environment]),
            book_window_s=settings.book_window_s,
            silence_s=settings.heartbeat_s,
        )
        await data.start(process.tasks)
        servicer = MarketDataServicer(data, page_tokens(settings), peers, CacheMeasures(process.metrics.registry))
        process.tasks.create_task(servicer.warm_up())
        services = [(marketdata_pb2.DESCRIPTOR.services_by_name["MarketDataService"], servicer)]
        async with serving(process, "marketdata", services, guard, options=STORM):
            yield
