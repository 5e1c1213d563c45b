"""The wiring diagram: which servers run in which process, and what each is given.

Every builder is an async context manager (see main.py): entered, the process serves; left, it has drained.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeAlias

import grpc
from google.protobuf.json_format import MessageToDict
from redis.asyncio import Redis

from db import session, users
from db.session import SERVICES, Pool
from db.streams import open_bus
from servers.account.bus_feed import BusFeed
from servers.account.servicer import AccountServicer
from servers.auth.keys import SigningKeys
from servers.auth.mail import Mailbox
from servers.auth.passwords import Passwords
from servers.auth.seed_users import read as read_logins
from servers.auth.seed_users import seed_users
from servers.auth.servicer import AuthRules, AuthServicer
from servers.auth.tokens import RefreshTokens
from servers.bot.maker import Addresses, Instrument
from servers.bot.maker import run as quote
from servers.config import Settings
from servers.domain.errors import PartUnavailable
from servers.domain.terms import Environment, MarketState
from servers.engine.catalogue import LISTINGS, missing
from servers.engine.client import Engines, RemoteEngine
from servers.engine.fence import Fence
from servers.engine.leadership import Leader, Terms
from servers.engine.local import LocalEngine
from servers.engine.markets import Markets
from servers.engine.measures import ReplicaMeasures
from servers.engine.replica import run as project
from servers.engine.servicer import EngineServicer
from servers.marketdata.market_data import MarketData
from servers.marketdata.servicer import MarketDataServicer
from servers.order.servicer import OrderServicer
from servers.transport.guard import Guard
from servers.transport.identity import TokenVerifier
from servers.transport.limits import GENEROUS, Limits, Rate
from servers.transport.paging import PageTokens
from servers.transport.server import Server, Service, build_server
from servers.transport.telemetry import Metrics
from venue.account.v1 import account_pb2
from venue.auth.v1 import auth_pb2, auth_pb2_grpc
from venue.engine.v1 import engine_pb2
from venue.marketdata.v1 import marketdata_pb2
from venue.option.v1 import access_pb2
from venue.order.v1 import order_service_pb2

MAKER: Final = "maker@venue.local"
TAKER: Final = "demo@venue.local"


@dataclass(frozen=True, slots=True)
class Process:
    """What every builder is given."""

    settings: Settings
    metrics: Metrics
    tasks: asyncio.TaskGroup


Builder: TypeAlias = Callable[[Process], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def pool_of(settings: Settings, name: str) -> AsyncIterator[Pool]:
    """Reads for the services; nothing decided here is written by it."""
    pool = await session.open_pool(settings.database, application_name=f"venue {name}", role=SERVICES)
    try:
        yield pool
    finally:
        await pool.close()


@asynccontextmanager
async def guard_of(process: Process, pool: Pool) -> AsyncIterator[Guard]:
    """The guard of a process: keys from the auth server, revoked sessions from its table, limits from the settings."""
    settings = process.settings
    channel = grpc.aio.insecure_channel(f"{settings.host}:{settings.api_port}")
    stub = auth_pb2_grpc.AuthServiceStub(channel)

    async def keys() -> Mapping[str, Any]:
        try:
            return MessageToDict(await stub.GetJwks(auth_pb2.GetJwksRequest(), timeout=2))
        except grpc.aio.AioRpcError as error:
            raise PartUnavailable(f"the auth server ({error.code().name})") from None

    verifier = TokenVerifier(keys, lambda: users.revoked_sessions(pool))
    await verifier.start()
    try:
        yield Guard(verifier, limits_of(settings), process.metrics)
    finally:
        await verifier.stop()
        await channel.close()


def limits_of(settings: Settings) -> Limits:
    """The transport's own limits, and those that the deployment sets instead."""
    numbers = access_pb2.Bucket.DESCRIPTOR.values_by_name
    rates = {numbers[f"BUCKET_{name}"].number: Rate(*given) for name, given in settings.rates.items()}
    return Limits({**GENEROUS, **rates}, in_flight_max=settings.in_flight_max, streams_max=settings.streams_max)


def page_tokens(settings: Settings) -> PageTokens:
    """Page tokens under the key that every process of the venue has."""
    return PageTokens(settings.state.secret("page-tokens").encode())


@asynccontextmanager
async def serving(
    process: Process, name: str, services: Sequence[Service], guard: Guard, *, internal: bool = False
) -> AsyncIterator[Server]:
    """A started server on the process's port, drained at the end."""
    settings = process.settings
    server = build_server(services, guard, internal=internal)
    server.add_insecure_port(f"{settings.host}:{settings.port(name)}")
    await server.start()
    try:
        yield server
    finally:
        await server.stop(settings.grace_s)


@asynccontextmanager
async def order(process: Process) -> AsyncIterator[None]:
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
    async with pool_of(settings, "order") as pool, guard_of(process, pool) as guard:
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


@asynccontextmanager
async def remote_engines(settings: Settings, pool: Pool) -> AsyncIterator[Engines[RemoteEngine]]:
    """The partitions as other processes reach them."""
    engines = {number: RemoteEngine(number, pool) for number in settings.partitions}
    try:
        yield Engines({int(Environment[name]): engines[number] for number, name in settings.partitions.items()})
    finally:
        for engine in engines.values():
            await engine.close()


@asynccontextmanager
async def auth(settings: Settings) -> AsyncIterator[AuthServicer]:
    """AuthService with the secrets of the state folder, and the first users of an embedded venue."""
    state = settings.state
    database = session.engine(settings.database, application_name="venue auth", role=SERVICES)
    passwords = Passwords(pepper=state.secret("pepper"), cost=settings.bcrypt_cost, workers=settings.auth_workers)
    try:
        if settings.seed_users:
            await seed_users(database, passwords, state.logins)
        yield AuthServicer(
            engine=database,
            passwords=passwords,
            keys=SigningKeys(state.root / "secrets"),
            refresh_tokens=RefreshTokens(secret=state.secret("refresh-tokens")),
            mailbox=Mailbox(state.root / "mailbox"),
            rules=AuthRules(
                public_url=settings.public_url or settings.gateway_url,
                access_life_s=settings.access_ttl_s,
                session_life_s=timedelta(days=settings.refresh_ttl_days).total_seconds(),
                login_requires_verified=settings.login_requires_verified,
            ),
        )
    finally:
        passwords.close()
        await database.dispose()


@asynccontextmanager
async def replica(process: Process) -> AsyncIterator[None]:
    """The projectors of all partitions, and health on a port of their own."""
    settings = process.settings
    async with (
        pool_of(settings, "replica") as pool,
        guard_of(process, pool) as guard,
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
            )
        )
        async with serving(process, "replica", [], guard):
            yield
        projecting.cancel()


@asynccontextmanager
async def bot(process: Process) -> AsyncIterator[None]:
    """The market maker of the demo books."""
    settings = process.settings
    addresses = Addresses(f"{settings.host}:{settings.order_port}", f"{settings.host}:{settings.api_port}")
    while not (known := read_logins(settings.state.logins)):
        # The api process makes the first users.
        await asyncio.sleep(0.1)
    logins = {email: known[email] for email in (MAKER, TAKER)}
    instruments = [
        Instrument(listing.symbol, listing.tick_size, listing.lot_size, listing.seed_price)
        for listing in LISTINGS
        if listing.state == MarketState.OPEN and listing.symbol.split("-")[0] in ("BTC", "ETH")
    ]
    quoting = process.tasks.create_task(quote(addresses, logins, instruments, seed=1))
    yield
    quoting.cancel()


@asynccontextmanager
async def bus_of(settings: Settings) -> AsyncIterator[Redis]:
    """The bus that the replica writes."""
    bus = open_bus(settings.redis)
    try:
        yield bus
    finally:
        await bus.aclose()


@asynccontextmanager
async def marketdata(process: Process) -> AsyncIterator[None]:
    """MarketDataService."""
    settings = process.settings
    async with (
        pool_of(settings, "marketdata") as pool,
        guard_of(process, pool) as guard,
        remote_engines(settings, pool) as engines,
        bus_of(settings) as bus,
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
        servicer = MarketDataServicer(data, page_tokens(settings))
        services = [(marketdata_pb2.DESCRIPTOR.services_by_name["MarketDataService"], servicer)]
        async with serving(process, "marketdata", services, guard):
            yield


@asynccontextmanager
async def api(process: Process) -> AsyncIterator[None]:
    """AuthService and AccountService."""
    settings = process.settings
    # The first users are made before anybody hears that the server is there: the bot logs in as one of them.
    async with (
        pool_of(settings, "api") as pool,
        auth(settings) as auth_servicer,
        guard_of(process, pool) as guard,
        remote_engines(settings, pool) as engines,
        bus_of(settings) as bus,
    ):
        feeds = {number: BusFeed(bus, pool, number) for number in settings.partitions}
        feeding = [process.tasks.create_task(feed.run()) for feed in feeds.values()]
        accounts = AccountServicer(
            engines,
            feeds,
            pool,
            Fence(pool),
            Markets(pool),
            page_tokens(settings),
            accounts_max=settings.accounts_max,
            silence_s=settings.heartbeat_s,
        )
        services = [
            (auth_pb2.DESCRIPTOR.services_by_name["AuthService"], auth_servicer),
            (account_pb2.DESCRIPTOR.services_by_name["AccountService"], accounts),
        ]
        async with serving(process, "api", services, guard):
            yield
        for task in feeding:
            task.cancel()


BUILDERS: Mapping[str, Builder] = {"order": order, "replica": replica, "marketdata": marketdata, "api": api, "bot": bot}
