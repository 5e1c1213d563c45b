"""Leader and standby as two processes: the standby serves within seconds, and nobody who was told something misses anything."""

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from db.events import list_events
from db.session import connect
from servers.transport.caller import channel_to
from tests.chaos.checker import check, projected
from tests.chaos.clients import SYMBOL, Load, load, sign_up
from tests.chaos.driver import FAR_MARKET, Child, Venue
from tests.chaos.movers import Mover, moving
from tests.chaos.sessions import SessionTrader
from tests.servers import free_port
from venue.engine.v1 import engine_pb2
from venue.marketdata.v1 import marketdata_pb2, marketdata_pb2_grpc
from venue.order.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc
from venue.type.v1 import type_pb2

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
            await asyncio.gather(*(session.quiet() for session in traders))
            for session in traders:
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


@pytest.mark.timeout(900)
async def test_a_take_over_with_many_open_orders(
    venue: Venue, seed: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if not request.config.getoption("--long"):
        pytest.skip("100,000 orders take a minute to place: make chaos-long")
    ports = {**venue.ports, "order": free_port()}
    standby = venue.process("order", tmp_path / "standby.log", ports)
    await asyncio.to_thread(standby.start)
    await says(standby, "standing by", 3)
    api, order, other = (f"127.0.0.1:{port}" for port in (venue.ports["api"], venue.ports["order"], ports["order"]))
    try:
        await place_many(api, order, 100_000)
        async with load(api, order, venue.record, traders=2, seed=seed) as at_work:
            await asyncio.sleep(2)
            killed = time.monotonic()
            await asyncio.to_thread(venue.order.end, signal.SIGKILL)
            for trader in at_work.traders:
                trader.reach(other)
            took = await at_work.tally.until_served(killed)
        print(f"take-over with 100,000 open orders: {took:.2f} s")
        assert at_work.tally.faults == []
        assert took < TAKE_OVER_S
    finally:
        await asyncio.to_thread(standby.end, signal.SIGTERM)


async def place_many(api: str, order: str, count: int) -> None:
    """Orders that rest, a thousand an account."""
    async with channel_to(order) as channel:
        stub: Any = order_service_pb2_grpc.OrderServiceStub(channel)
        for _ in range(count // 1_000):
            metadata, account_id = await sign_up(api)
            for first in range(0, 1_000, 100):
                orders = [
                    order_service_pb2.PlaceOrderRequest(
                        account_id=account_id,
                        symbol=SYMBOL,
                        side=type_pb2.SIDE_BUY,
                        type=order_pb2.ORDER_TYPE_LIMIT,
                        time_in_force=order_pb2.TIME_IN_FORCE_GTC,
                        quantity="0.0001",
                        price=f"{3_000 + n / 100:.2f}",
                    )
                    for n in range(first, first + 100)
                ]
                answer = await stub.PlaceOrders(order_service_pb2.PlaceOrdersRequest(orders=orders), metadata=metadata)
                assert {result.placed.order.status for result in answer.results} == {order_pb2.ORDER_STATUS_OPEN}


@pytest.mark.timeout(300)
async def test_two_processes_forward_orders_and_carry_transfers(venue: Venue, seed: int, tmp_path: Path) -> None:
    moments, figures = random.Random(seed), []
    ports = {**venue.ports, "order": free_port()}
    near = venue.process("order", tmp_path / "near.log", ports, leads="[1, 2]")
    far = venue.process("order", tmp_path / "far.log", venue.ports, leads="[3]")
    await asyncio.to_thread(venue.order.end, signal.SIGTERM)
    for child, leads in ((near, 2), (far, 1)):
        child.start()
        await says(child, '"leading"', leads)
    # Every order goes to the process that does not lead its partition.
    api, wrong = (f"127.0.0.1:{venue.ports[name]}" for name in ("api", "order"))
    try:
        async with load(api, wrong, venue.record, traders=3, seed=seed) as at_work, moving(api, seed) as movers:
            for child in (near, far, near):
                await asyncio.sleep(moments.uniform(0.3, 1.2))
                killed = time.monotonic()
                await asyncio.to_thread(child.end, signal.SIGKILL)
                child.start()
                figures.append(await at_work.tally.until_served(killed))
        moved = [transfer for mover in movers for transfer in mover.made]
        print(f"one of two processes killed: served after {figures} s; {len(moved)} transfers")
        assert at_work.tally.faults == []
        for mover in movers:
            await mover.settle()
            assert await mover.balances() == mover.expected()
        print(await check(venue, at_work.traders))
        assert await in_transit(venue) == []
        assert {transfer.from_account_id.startswith("demo-3-") for transfer in moved} == {True, False}
        await a_market_beside_the_first(venue, movers[0], f"127.0.0.1:{ports['order']}", tmp_path)
    finally:
        for child in (near, far):
            await asyncio.to_thread(child.end, signal.SIGTERM)


async def a_market_beside_the_first(venue: Venue, mover: Mover, order: str, folder: Path) -> None:
    """An order in the market of the other partition shows in its book, beside the markets of the first."""
    ports = {**venue.ports, "marketdata": free_port()}
    process = venue.process("marketdata", folder / "marketdata.log", ports)
    process.start()
    try:
        async with channel_to(order) as channel:
            placed = await order_service_pb2_grpc.OrderServiceStub(channel).PlaceOrder(
                order_service_pb2.PlaceOrderRequest(
                    account_id=mover.accounts[1],
                    symbol=FAR_MARKET,
                    side=type_pb2.SIDE_BUY,
                    type=order_pb2.ORDER_TYPE_LIMIT,
                    time_in_force=order_pb2.TIME_IN_FORCE_GTC,
                    quantity="1",
                    price="149.5",
                ),
                metadata=mover.metadata,
            )
        assert placed.order.order_id.startswith("3-")
        await says(process, '"ready"')
        async with channel_to(f"127.0.0.1:{ports['marketdata']}") as channel:
            stub: Any = marketdata_pb2_grpc.MarketDataServiceStub(channel)
            listed = await stub.ListMarkets(marketdata_pb2.ListMarketsRequest(), metadata=mover.metadata)
            assert {SYMBOL, FAR_MARKET} <= {market.symbol for market in listed.markets}
            request = marketdata_pb2.GetOrderBookRequest(symbol=FAR_MARKET, min_position=placed.position)
            book = await stub.GetOrderBook(request, metadata=mover.metadata)
            assert [(level.price, level.quantity) for level in book.bids] == [("149.5", "1")]
    finally:
        await asyncio.to_thread(process.end, signal.SIGTERM)


async def in_transit(venue: Venue) -> list[object]:
    """Assets of which one partition says to have sent what the other does not say to have received, and what is pending."""
    async with await connect(venue.database_url, application_name="checker") as connection:
        cursor = await connection.execute(
            "SELECT asset, sum(available) FROM balances WHERE account_id LIKE 'transit:%%' GROUP BY asset"
            " HAVING sum(available) <> 0 UNION ALL"
            " SELECT transfer_id, amount FROM transfers WHERE state = 1",
            [],
        )
        return list(await cursor.fetchall())
