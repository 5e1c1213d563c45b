"""Processes killed under load: nothing that was acknowledged is lost, nothing is done twice, and it goes on by itself."""

import asyncio
import itertools
import random
import signal
import statistics
import time
from contextlib import AbstractAsyncContextManager

import pytest
from redis.asyncio import Redis

from db.crash_points import POINTS
from db.streams import find_published, open_bus, read_markets
from tests.chaos.checker import PARTITIONS, check
from tests.chaos.clients import Load, load
from tests.chaos.driver import Venue
from venue.engine.v1 import engine_pb2

TRADERS = 6
LONG_S = 3_600
ONCE_A_LIFE = {"after-take-over", "after-recovery"}


def loaded(venue: Venue, seed: int) -> AbstractAsyncContextManager[Load]:
    api, order = (f"127.0.0.1:{venue.ports[name]}" for name in ("api", "order"))
    return load(api, order, venue.record, traders=TRADERS, seed=seed)


async def kill(venue: Venue, name: str) -> None:
    child = venue.processes[name]
    await asyncio.to_thread(child.end, signal.SIGKILL)
    child.start()


async def kill_at(venue: Venue, name: str, point: str, count: int) -> float:
    """Kill a process; its successor ends itself the so-manieth time it comes to a point: returns when. A third starts."""
    venue.crash_points(name).write_text(f"{point} {count}")
    await kill(venue, name)
    child = venue.processes[name]
    await asyncio.to_thread(child.wait)
    killed = time.monotonic()
    assert not venue.crash_points(name).exists()
    child.start()
    return killed


async def published(bus: Redis) -> int:
    """Commands of all partitions that are on the bus."""
    return sum([await find_published(bus, partition) or 0 for partition in PARTITIONS])


def report(what: str, figures: list[float], at_work: Load) -> None:
    tally = at_work.tally
    print(
        f"{what}: {len(figures)} times; from kill to served p50 {statistics.median(figures):.2f} s,"
        f" max {max(figures):.2f} s; {tally.acknowledged} acknowledged, {tally.repeats} repeats"
    )


@pytest.mark.timeout(LONG_S)
async def test_the_order_process_killed_at_random_moments_and_between_any_two_steps(
    venue: Venue, seed: int, request: pytest.FixtureRequest
) -> None:
    moments = random.Random(seed)
    figures = []
    async with loaded(venue, seed) as at_work:
        kills, points = 0, itertools.cycle(POINTS["order"])
        while kills < (200 if request.config.getoption("--long") else 25):
            await asyncio.sleep(moments.uniform(0.05, 0.8))
            if moments.random() < 0.5:
                point = next(points)
                passings = 1 if point in ONCE_A_LIFE else moments.randrange(1, 60)
                killed = await kill_at(venue, "order", point, passings)
                kills += 2
            else:
                killed = time.monotonic()
                await kill(venue, "order")
                kills += 1
            figures.append(await at_work.tally.until_served(killed))
    report(f"order process killed {kills} times", figures, at_work)
    assert at_work.tally.faults == []
    print(await check(venue, at_work.traders))


async def test_the_replica_killed_at_random_moments_and_in_the_middle_of_writing(venue: Venue, seed: int) -> None:
    moments = random.Random(seed)
    async with loaded(venue, seed) as at_work:
        for point in ("", *POINTS["replica"]):
            await asyncio.sleep(moments.uniform(0.1, 1.5))
            if point:
                await kill_at(venue, "replica", point, moments.randrange(1, 20))
            else:
                await kill(venue, "replica")
            await at_work.tally.until_served(time.monotonic(), 2.0)
    assert at_work.tally.faults == []
    assert at_work.tally.repeats == 0
    print(await check(venue, at_work.traders))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL], ids=["fast", "immediate", "killed"])
async def test_postgresql_restarted_under_load(venue: Venue, seed: int, how: signal.Signals) -> None:
    figures = []
    async with loaded(venue, seed) as at_work:
        for _ in range(3):
            await asyncio.sleep(0.7)
            killed = time.monotonic()
            await asyncio.to_thread(venue.postgres.end, how)
            # An order sent while it is away may still be told of one that came before: wait for one that came after.
            await asyncio.to_thread(venue.start_postgres)
            await at_work.tally.until_served(time.monotonic(), 20)
            figures.append(time.monotonic() - killed)
    report(f"PostgreSQL {how.name}", figures, at_work)
    assert at_work.tally.faults == []
    assert all(child.runs for child in venue.processes.values())
    print(await check(venue, at_work.traders))


async def test_the_bus_is_lost_and_comes_back(venue: Venue, seed: int) -> None:
    async with loaded(venue, seed) as at_work:
        await asyncio.sleep(0.5)
        await asyncio.to_thread(venue.valkey.end, signal.SIGKILL)
        await at_work.tally.until_served(time.monotonic(), 2.0)
        await asyncio.sleep(1.5)
        await asyncio.to_thread(venue.start_valkey)
        await asyncio.sleep(1.0)
        bus = open_bus(venue.redis_url)
        await bus.flushall()
        await asyncio.sleep(1.0)
        await at_work.tally.until_served(time.monotonic(), 2.0)
    # No order depends on it.
    assert (at_work.tally.faults, at_work.tally.repeats) == ([], 0)
    verdict = await check(venue, at_work.traders)
    print(verdict)
    async with asyncio.timeout(20):
        while await published(bus) < verdict.commands:  # noqa: ASYNC110  # another process writes it
            await asyncio.sleep(0.05)
    entries = await read_markets(bus, 2, {"ETH-USD": "0"}, block_ms=100, entries_max=10_000)
    await bus.aclose()
    records = [engine_pb2.MarketRecord.FromString(record) for _, _, record in entries]
    # The loss is noticed by what is published into it, announced by what comes next, and from there on nothing is missing.
    assert any(record.reset for record in records[:2])
    assert all(
        later.reset or later.previous_sequence == former.sequence for former, later in itertools.pairwise(records)
    )
    assert venue.replica.runs
