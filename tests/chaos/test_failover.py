"""Leader and standby as two processes: the standby serves within seconds, and nobody who was told something misses anything."""

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from db.events import list_events
from db.session import connect
from tests.chaos.checker import check, projected
from tests.chaos.clients import Load, load, sign_up
from tests.chaos.driver import Child, Venue
from tests.chaos.sessions import SessionTrader
from tests.servers import free_port
from venue.engine.v1 import engine_pb2
from venue.order.v1 import order_pb2

TAKE_OVER_S = 5.0
DEMO = 2


async def says(child: Child, words: str, times: int = 1) -> None:
    """Until a process's log has the words so often."""
    async with asyncio.timeout(60):
        while child.log.read_text(errors="replace").count(words) < times:  # noqa: ASYNC110  # another process's state
            await asyncio.sleep(0.05)


@asynccontextmanager
async def sessions(venue: Venue, at_work: Load, targets: list[str], seed: int) -> AsyncIterator[list[SessionTrader]]:
    """Traders on session streams while the body runs."""
    stop = asyncio.Event()
    signed = [await sign_up(f"127.0.0.1:{venue.ports['api']}") for _ in range(3)]
    made = [
        SessionTrader(targets[n % 2 :] + targets[: n % 2], metadata, account, at_work.tally, seed + 100 + n)
        for n, (metadata, account) in enumerate(signed)
    ]
    tasks = [asyncio.ensure_future(trader.trade(stop)) for trader in made]
    try:
        yield made
    finally:
        stop.set()
        async with asyncio.timeout(30):
            await asyncio.gather(*tasks)


async def recorded(venue: Venue, trader: SessionTrader) -> list[order_pb2.OrderUpdate]:
    """What the record of events has of the trader's account from where its first session began."""
    await projected(venue, DEMO)
    async with await connect(venue.database_url, application_name="checker") as connection:
        rows = await list_events(
            connection,
            DEMO,
            trader.account_id,
            after_sequence=trader.began,
            until_sequence=trader.last,
            limit=1_000_000,
        )
    return [update for row in rows for update in engine_pb2.AccountRecord.FromString(row.payload).orders]


@pytest.mark.timeout(300)
async def test_a_standby_takes_over_and_sessions_miss_nothing(venue: Venue, seed: int, tmp_path: Path) -> None:
    moments, figures = random.Random(seed), []
    ports = {**venue.ports, "order": free_port()}
    first, second = venue.order, venue.process("order", tmp_path / "standby.log", ports)
    targets = [f"127.0.0.1:{venue.ports['order']}", f"127.0.0.1:{ports['order']}"]
    started = first.log.read_text(errors="replace").count("standing by")
    await asyncio.to_thread(second.start)
    await says(second, "standing by", 2)
    try:
        async with load(f"127.0.0.1:{venue.ports['api']}", targets[0], venue.record, traders=2, seed=seed) as at_work:
            async with sessions(venue, at_work, targets, seed) as traders:
                await asyncio.sleep(moments.uniform(0.5, 1.5))
                killed = time.monotonic()
                await asyncio.to_thread(first.end, signal.SIGKILL)
                for trader in at_work.traders:
                    trader.reach(targets[1])
                figures.append(await at_work.tally.until_served(killed))
                # Back again the first one stands by in its turn, and gets the lead when the second one stops as planned.
                first.start()
                await says(first, "standing by", started + 2)
                stopped = time.monotonic()
                await asyncio.to_thread(second.end, signal.SIGTERM)
                for trader in at_work.traders:
                    trader.reach(targets[0])
                figures.append(await at_work.tally.until_served(stopped))
                await asyncio.sleep(0.5)
            for session in traders:
                await session.quiet()
                assert session.faults == []
                assert session.resumed >= 2
        print(f"take-over, then hand-over: {figures} s; {at_work.tally.acknowledged} acknowledged")
        assert at_work.tally.faults == []
        assert max(figures) < TAKE_OVER_S
        for session in traders:
            assert session.updates == await recorded(venue, session)
        print(await check(venue, at_work.traders))
    finally:
        if second.runs:
            await asyncio.to_thread(second.end, signal.SIGTERM)


@pytest.mark.timeout(300)
async def test_orders_at_the_wrong_process_are_executed_once_by_the_right_one(
    venue: Venue, seed: int, tmp_path: Path
) -> None:
    moments, figures = random.Random(seed), []
    ports = {**venue.ports, "order": free_port()}
    wrong = venue.process("order", tmp_path / "live.log", venue.ports, leads="[1]")
    right = venue.process("order", tmp_path / "demo.log", ports, leads="[2]")
    await asyncio.to_thread(venue.order.end, signal.SIGTERM)
    for child in (wrong, right):
        child.start()
        await says(child, '"leading"')
    api, order = (f"127.0.0.1:{venue.ports[name]}" for name in ("api", "order"))
    try:
        async with load(api, order, venue.record, traders=4, seed=seed) as at_work:
            for child in (right, wrong):
                await asyncio.sleep(moments.uniform(0.5, 1.5))
                killed = time.monotonic()
                await asyncio.to_thread(child.end, signal.SIGKILL)
                child.start()
                figures.append(await at_work.tally.until_served(killed))
        print(f"a process of two killed: served again after {figures} s; {at_work.tally.acknowledged} acknowledged")
        assert at_work.tally.faults == []
        print(await check(venue, at_work.traders))
    finally:
        for child in (wrong, right):
            await asyncio.to_thread(child.end, signal.SIGTERM)
