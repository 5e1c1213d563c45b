"""A leader on a fresh database, a projector, and a market data server that is asked over gRPC."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import grpc
import pytest
from prometheus_client import CollectorRegistry

from db.revocations import Revocations
from db.session import ENGINE, SERVICES, connect, open_pool
from db.streams import open_bus
from servers.domain.terms import Environment
from servers.engine.client import Engine, Engines
from servers.engine.markets import Markets
from servers.engine.measures import ReplicaMeasures
from servers.engine.replica import Replica
from servers.marketdata.market_data import MarketData
from servers.marketdata.peers import Peers
from servers.marketdata.series import Bounds
from servers.marketdata.servicer import MarketDataServicer
from servers.transport.guard import Guard
from servers.transport.identity import TokenVerifier
from servers.transport.limits import Limits
from servers.transport.paging import PageTokens
from servers.transport.server import build_server
from servers.transport.telemetry import Metrics
from tests.integration.marketdata.stand import LeaderEngine, Stand, WitnessedLeader
from tests.integration.replica.conftest import load_tables
from venue.marketdata.v1 import marketdata_pb2, marketdata_pb2_grpc

SERVICE = marketdata_pb2.DESCRIPTOR.services_by_name["MarketDataService"]
Open = Callable[..., AbstractAsyncContextManager[Stand]]


async def no_keys() -> dict[str, list[object]]:
    return {"keys": []}


async def no_sessions() -> Revocations:
    return Revocations()


@asynccontextmanager
async def running(*works: asyncio.Task[None]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)


async def follow(data: MarketData, started: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as tasks:
        await data.start(tasks, 2.0)
        started.set()


@pytest.fixture
async def leader(database_url: str) -> AsyncIterator[WitnessedLeader]:
    async with await connect(database_url, application_name="test leader", role=ENGINE) as connection:
        made = WitnessedLeader(connection, seed=11)
        # Within the 24 hours of tickers, and behind the clock however far the test's commands carry it.
        made.time_us = time.time_ns() // 1000 - 12 * 3_600_000_000
        await made.begin()
        yield made


@asynccontextmanager
async def projector(database_url: str, redis_url: str) -> AsyncIterator[Replica]:
    bus = open_bus(redis_url)
    base = await load_tables(database_url)
    replica = Replica(base, database_url, bus, None, ReplicaMeasures(CollectorRegistry()))
    async with running(asyncio.create_task(replica.run())):
        yield replica
    await bus.aclose()


@pytest.fixture
async def projecting(database_url: str, redis_url: str, leader: WitnessedLeader) -> AsyncIterator[Replica]:
    """The projector, as long as the test runs."""
    async with projector(database_url, redis_url) as replica:
        yield replica


@pytest.fixture
def open_stand(database_url: str, redis_url: str, leader: WitnessedLeader) -> Open:
    """Opens a market data server; arguments are MarketData's."""

    @asynccontextmanager
    async def opened(
        redis_address: str = redis_url,
        *,
        engine_away: bool = False,
        peers: Sequence[str] = (),
        **settings: float | Bounds,
    ) -> AsyncIterator[Stand]:
        engine, bus = LeaderEngine(leader), open_bus(redis_address)
        engine.away = engine_away
        engines: Engines[Engine] = Engines({Environment.DEMO: engine})
        pool = await open_pool(database_url, application_name="test marketdata", role=SERVICES)
        values = {"book_window_s": 0.02} | settings
        data = MarketData(
            engines,
            bus,
            pool,
            Markets(pool),
            default_environment=Environment.DEMO,
            **values,  # type: ignore[arg-type]
        )
        verifier = TokenVerifier(no_keys, no_sessions)
        guard = Guard(verifier, Limits(), Metrics(CollectorRegistry()))
        others = Peers(peers, "among servers")
        server = build_server([(SERVICE, MarketDataServicer(data, PageTokens(b"key"), others))], guard)
        port = server.add_insecure_port("127.0.0.1:0")
        started = asyncio.Event()
        async with running(following := asyncio.create_task(follow(data, started))):
            waiting = asyncio.create_task(started.wait())
            await asyncio.wait([waiting, following], return_when=asyncio.FIRST_COMPLETED)
            assert not following.done(), following
            await server.start()
            async with others, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                stub = marketdata_pb2_grpc.MarketDataServiceStub(channel)
                yield Stand(leader, engine, data, stub, f"127.0.0.1:{port}")
            await server.stop(0.2)
        with suppress(TimeoutError):
            await pool.close()
        await bus.aclose()

    return opened


@pytest.fixture
async def stand(open_stand: Open, projecting: Replica) -> AsyncIterator[Stand]:
    async with open_stand() as opened:
        yield opened
