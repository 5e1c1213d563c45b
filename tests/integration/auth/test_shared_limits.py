"""Limits that several servers count together (AUT-8): what one let through another does not let through again."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from db.counters import open_counters
from db.shared_limits import SharedLimits
from servers.domain.errors import VenueError
from servers.transport.call import GATEWAY_KEY
from servers.transport.errors import from_call
from servers.transport.guard import Guard
from servers.transport.identity import TokenVerifier
from servers.transport.limits import GENEROUS, Bucket, Limits, Rate
from servers.transport.refusals import RateLimited
from servers.transport.server import build_server
from servers.transport.sharing import Store
from servers.transport.telemetry import Metrics
from venue.auth.v1 import auth_pb2 as pb
from venue.auth.v1 import auth_pb2_grpc
from venue.option.v1 import access_pb2

KEY = "gateway"
ADDRESS = "203.0.113.7"
AN_HOUR = 1 / 3600


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    # Servers on a busy machine would count by themselves for a while.
    client = open_counters(redis_url, 20.0)
    yield client
    await client.aclose()


class Public:
    async def GetJwks(self, request: pb.GetJwksRequest, call: object) -> pb.GetJwksResponse:
        return pb.GetJwksResponse()


async def keys() -> dict[str, Any]:
    return {"keys": []}


async def test_aut8_a_hundred_calls_a_minute_of_one_address_hold_over_two_servers(redis: Redis) -> None:
    async with AsyncExitStack() as held:
        stubs = []
        for _ in range(2):
            limits = Limits(anonymous=Rate(100 / 60, 100), store=Store(SharedLimits(redis)))
            guard = Guard(TokenVerifier(keys), limits, Metrics(CollectorRegistry()), gateway_key=KEY)
            server = build_server([(pb.DESCRIPTOR.services_by_name["AuthService"], Public())], guard)
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            held.push_async_callback(server.stop, 0.5)
            channel = await held.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
            stubs.append(auth_pb2_grpc.AuthServiceStub(channel))
        begun_s = time.monotonic()
        by_gateway = ((GATEWAY_KEY, KEY), ("x-forwarded-for", ADDRESS))
        asked = [
            stubs[number % 2].GetJwks(pb.GetJwksRequest(), metadata=by_gateway, wait_for_ready=True)
            for number in range(160)
        ]
        told = await asyncio.gather(*asked, return_exceptions=True)
        refilled = (time.monotonic() - begun_s) * 100 / 60
        taken = sum(isinstance(each, pb.GetJwksResponse) for each in told)
        assert 100 <= taken <= 101 + refilled
        refused = next(each for each in told if isinstance(each, grpc.aio.AioRpcError))
        error = from_call(refused)
        assert isinstance(error, RateLimited)
        assert (error.code, error.reason) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
        assert 0 < error.retry_after_s < 60
        # Another address has a limit of its own, and who is inside has none.
        await stubs[0].GetJwks(pb.GetJwksRequest(), metadata=((GATEWAY_KEY, KEY), ("x-forwarded-for", "203.0.113.8")))
        await asyncio.gather(*(stub.GetJwks(pb.GetJwksRequest()) for stub in stubs * 60))


def buckets(redis: Redis, name: str, rate: Rate, count: int = 2) -> list[Bucket]:
    """The same limit in so many processes."""
    return [Bucket(name, rate, Store(SharedLimits(redis))) for _ in range(count)]


async def taken(bucket: Bucket, caller: str, calls: int) -> int:
    count = 0
    for _ in range(calls):
        try:
            await bucket.count(caller)
        except RateLimited:
            continue
        count += 1
    return count


async def test_aut8_thirty_calls_of_an_administrator_hold_over_three_servers(redis: Redis) -> None:
    assert GENEROUS[access_pb2.BUCKET_ADMIN] == Rate(0.5, 30)
    begun_s = time.monotonic()
    counts = await asyncio.gather(*(taken(each, "boss", 30) for each in buckets(redis, "ADMIN", Rate(0.5, 30), 3)))
    assert 30 <= sum(counts) <= 31 + (time.monotonic() - begun_s) / 2
    # A server that knows nothing of the caller yet asks what is left.
    use = await buckets(redis, "ADMIN", Rate(0.5, 30), 1)[0].look("boss")
    assert use.limit == 30
    assert use.reset_s > 60 - 2 - (time.monotonic() - begun_s)
    assert use.remaining <= 2 + (time.monotonic() - begun_s) / 2


async def test_aut8_a_wide_limit_is_taken_in_shares_and_never_twice(redis: Redis) -> None:
    one, two = buckets(redis, "READ", Rate(1000, 1000))
    await redis.config_resetstat()
    assert sum(await asyncio.gather(taken(one, "ada", 400), taken(two, "ada", 400))) == 800
    # Most calls asked nobody.
    assert (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"] < 100
    begun_s = time.monotonic()
    counts = await asyncio.gather(taken(one, "bea", 1500), taken(two, "bea", 1500))
    assert 900 <= sum(counts) <= 1000 + 1000 * (time.monotonic() - begun_s) + 2 * 50


async def test_aut8_who_calls_often_at_once_has_all_of_a_wide_limit(redis: Redis) -> None:
    (one,) = buckets(redis, "STREAM", Rate(1000, 1000), 1)
    await redis.config_resetstat()
    assert sum(await asyncio.gather(*(taken(one, "cid", 1) for _ in range(950)))) == 950
    assert (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"] < 100


async def test_aut8_calls_that_nobody_took_cost_nothing(redis: Redis) -> None:
    one, two = buckets(redis, "LOGIN", Rate(AN_HOUR, 10))
    assert await taken(one, "ada", 10) == 10
    assert await taken(two, "ada", 20) == 0
    assert await taken(one, "bea", 3) == 3
    # What the second server refused it did not count for itself.
    await redis.flushall()
    assert await taken(two, "ada", 20) == 10
    # And the first one remembers what it let through, whatever Redis forgot.
    assert await taken(one, "ada", 20) == 0


async def test_aut8_without_redis_each_server_counts_by_itself() -> None:
    async with open_counters("redis://127.0.0.1:1", 0.1) as nowhere:
        one, two = buckets(nowhere, "ADMIN", Rate(AN_HOUR, 30))
        assert [await taken(each, "boss", 50) for each in (one, two)] == [30, 30]
        with pytest.raises(VenueError) as refused:
            await one.count("boss")
        assert refused.value.reason == "RATE_LIMITED"
