"""What several processes are made of.

Every builder is an async context manager: entered, the process serves; left, it has drained.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from typing import Any, Final, TypeAlias, TypeVar

import grpc
from google.protobuf.json_format import MessageToDict
from redis.asyncio import Redis

from db import session
from db.counters import open_counters
from db.key_lookups import find_key, touch_keys
from db.nonces import Nonces
from db.revocations import revocations
from db.sealing import Sealer, api_key_secret
from db.session import SERVICES, Pool
from db.shared_limits import TIMEOUT_S, SharedLimits
from db.streams import open_bus
from servers.config import Settings
from servers.domain.errors import PartUnavailable
from servers.domain.terms import Environment
from servers.engine.client import Engine, Engines
from servers.engine.remote import RemoteEngine
from servers.transport.api_keys import ApiKeys
from servers.transport.caller import channel_to
from servers.transport.guard import Guard
from servers.transport.identity import FIRST_KEY_S, KeySource, TokenVerifier
from servers.transport.limits import GENEROUS, Limits, Rate
from servers.transport.paging import PageTokens
from servers.transport.replays import Replays
from servers.transport.server import Server, Service, build_server
from servers.transport.sharing import Store
from servers.transport.telemetry import Metrics
from venue.auth.v1 import auth_pb2, auth_pb2_grpc
from venue.option.v1 import access_pb2

EngineT = TypeVar("EngineT", bound=Engine)
# What the clocks of servers and database may differ.
CLOCKS_S: Final = 60
# How long an end waits to write down which keys were used: the tables may be gone.
LAST_WORD_S: Final = 1.0


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


def keys_of(settings: Settings) -> KeySource:
    """The public keys as the auth server publishes them."""

    async def keys() -> Mapping[str, Any]:
        # A channel for each time, once a minute: while a process has one its server takes the longer way (transport/events.py).
        async with channel_to(f"{settings.host}:{settings.api_port}", settings.papers()) as channel:
            stub = auth_pb2_grpc.AuthServiceStub(channel)
            try:
                return MessageToDict(await stub.GetJwks(auth_pb2.GetJwksRequest(), timeout=2))
            except grpc.aio.AioRpcError as error:
                raise PartUnavailable(f"the auth server ({error.code().name})") from None

    return keys


@asynccontextmanager
async def guard_of(
    process: Process,
    pool: Pool,
    keys: KeySource,
    kyc_levels: Callable[[str], Awaitable[int]] | None = None,
    first_key_s: float = FIRST_KEY_S,
) -> AsyncIterator[Guard]:
    """The guard of a process: keys, revoked sessions from the tables, limits from the settings.

    Waits `first_key_s` for the first key: a server that says it serves should know its callers. Without one it serves all the
    same, since other servers need it.
    """
    settings = process.settings
    verifier = TokenVerifier(keys, lambda: revocations(pool, revocations_kept(settings)))
    redis = open_counters(settings.redis, TIMEOUT_S)
    api_keys = ApiKeys(
        verifier,
        partial(find_key, pool),
        partial(touch_keys, pool),
        opened=partial(opened_secret, cache(lambda: Sealer(settings.read_field_keys))),
        replays=Replays(Nonces(redis)),
    )
    touching = process.tasks.create_task(api_keys.run())
    try:
        await verifier.start(first_key_s)
        yield Guard(
            verifier,
            limits_of(settings, Store(SharedLimits(redis))),
            process.metrics,
            internal_key=internal_key(settings),
            gateway_key=settings.state.secret("gateway"),
            api_keys=api_keys,
            kyc_levels=kyc_levels,
        )
    finally:
        touching.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORD_S):
                await api_keys.write_used()
        await verifier.stop()
        await redis.aclose()


def opened_secret(sealer: Callable[[], Sealer], api_key_id: str, envelope: bytes) -> bytes:
    """The secret of a key that signs. Raises SealBroken."""
    return sealer().open(api_key_secret(api_key_id), envelope)


def revocations_kept(settings: Settings) -> timedelta:
    """How long a session that was ended is remembered: until its last access token is over for everybody."""
    return timedelta(seconds=settings.access_ttl_s + CLOCKS_S)


def limits_of(settings: Settings, store: Store) -> Limits:
    """The transport's own limits, and those that the deployment sets instead."""
    each_minute = settings.anonymous_rate
    numbers = access_pb2.Bucket.DESCRIPTOR.values_by_name
    rates = {numbers[f"BUCKET_{name}"].number: Rate(*given) for name, given in settings.rates.items()}
    return Limits(
        {**GENEROUS, **rates},
        anonymous=Rate(each_minute / 60, each_minute),
        store=store,
        in_flight_max=settings.in_flight_max,
        streams_max=settings.streams_max,
    )


def internal_key(settings: Settings) -> str:
    """What the servers of this venue know each other by."""
    return settings.state.secret("internal")


def page_tokens(settings: Settings) -> PageTokens:
    """Page tokens under the key that every process of the venue has."""
    return PageTokens(settings.state.secret("page-tokens").encode())


@asynccontextmanager
async def serving(
    process: Process,
    name: str,
    services: Sequence[Service],
    guard: Guard,
    *,
    internal: bool = False,
    mirrored: Sequence[str] = (),
    options: Sequence[tuple[str, int]] = (),
) -> AsyncIterator[Server]:
    """A started server on the process's port, drained at the end."""
    settings = process.settings
    server = build_server(services, guard, internal=internal, mirrored=mirrored, options=options)
    server.add_port(f"{settings.host}:{settings.port(name)}", settings.papers())
    await server.start()
    try:
        yield server
    finally:
        await server.stop(settings.grace_s)


@asynccontextmanager
async def remote_engines(
    settings: Settings, pool: Pool, idle_s: float | None = None
) -> AsyncIterator[Engines[RemoteEngine]]:
    """The partitions as other processes reach them, by lines that are left where nobody uses them for so long."""
    key, papers = internal_key(settings), settings.papers()
    engines = engines_of(settings, lambda number: RemoteEngine(number, pool, key, papers, idle_s))
    try:
        yield engines
    finally:
        for engine in engines.all:
            await engine.close()


def engines_of(settings: Settings, make: Callable[[int], EngineT]) -> Engines[EngineT]:
    """An engine for each partition, the first one of an environment for what names no other."""
    made = {number: make(number) for number in settings.partitions}
    return Engines(
        {int(Environment[name]): made[number] for number, name in sorted(settings.partitions.items(), reverse=True)},
        made.values(),
        {(int(Environment[name]), symbol): number for (name, symbol), number in settings.moved.items()},
    )


@asynccontextmanager
async def bus_of(settings: Settings) -> AsyncIterator[Redis]:
    """The bus that the replica writes."""
    bus = open_bus(settings.redis)
    try:
        yield bus
    finally:
        await bus.aclose()
