"""P10: how far the tables are behind the journal under load, and how long reads take beside half of it."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import grpc

from db import session
from servers.bench import traffic
from servers.bench.errors import BenchError
from servers.bench.figures import Figure
from servers.bench.rounds import CALLERS, Bench, entry, paced
from servers.bench.venue import CALL_S, PARTITION
from servers.transport.caller import channel_to
from venue.marketdata.v1 import marketdata_pb2, marketdata_pb2_grpc
from venue.order.v1 import order_service_pb2, order_service_pb2_grpc
from venue.type.v1 import type_pb2

LOOK_S: Final = 0.004
READ_PAUSE_S: Final = 0.01
POSITIONS: Final = """
SELECT p.last_sequence, j.sequence FROM partitions p JOIN projections j USING (partition)
WHERE partition = %s AND j.reader = 'tables'
"""
# When it was looked (seconds, monotonic), what was committed then, and what the tables had.
Look = tuple[float, int, int]


async def look(database: str, ended: asyncio.Event) -> list[Look]:
    """Positions every few milliseconds until the end, and on until the tables have all that was committed then."""
    looks: list[Look] = []
    connection = await session.connect(database, application_name="venue bench lag")
    async with connection:
        while not ended.is_set() or looks[-1][1] > looks[-1][2]:
            found = await (await connection.execute(POSITIONS, [PARTITION], prepare=True)).fetchone()
            if found is None:
                raise BenchError("nothing was projected yet")
            looks.append((time.monotonic(), found[0], found[1]))
            await asyncio.sleep(LOOK_S)
    return looks


def lags_ms(looks: Sequence[Look]) -> list[float]:
    """For each look at which something new was committed: how long until the tables had it; sorted."""
    found: list[float] = []
    at, before = 0, -1
    for seen_s, committed, _ in looks:
        if committed <= before:
            continue
        before = committed
        while at < len(looks) and looks[at][2] < committed:
            at += 1
        if at == len(looks):
            break
        found.append(max(0.0, looks[at][0] - seen_s) * 1000)
    return sorted(found)


def quantile(values: Sequence[float], share: float) -> float:
    """Raises BenchError: there are none."""
    if not values:
        raise BenchError("nothing was seen while it was measured")
    return values[min(int(len(values) * share), len(values) - 1)]


async def read(bench: Bench, ended: asyncio.Event) -> list[float]:
    """How long reads took (milliseconds, sorted), one after the other, until the end."""
    side = bench.venue.sides[0]
    request = replace_price(traffic.order(side.accounts[0], side.side))
    took: list[float] = []
    async with channel_to(bench.venue.address) as orders, channel_to(bench.venue.own.marketdata) as marketdata:
        order = order_service_pb2_grpc.OrderServiceStub(orders)
        market = marketdata_pb2_grpc.MarketDataServiceStub(marketdata)
        placed = await order.PlaceOrder(request, metadata=side.metadata, timeout=CALL_S)
        order_id = order_service_pb2.GetOrderRequest(order_id=placed.order.order_id)
        book = marketdata_pb2.GetOrderBookRequest(symbol=traffic.SYMBOL, environment=type_pb2.ENVIRONMENT_DEMO)
        trades = marketdata_pb2.ListTradesRequest(symbol=traffic.SYMBOL, environment=type_pb2.ENVIRONMENT_DEMO)
        while not ended.is_set():
            for call in (
                order.GetOrder(order_id, metadata=side.metadata, timeout=CALL_S),
                market.GetOrderBook(book, timeout=CALL_S),
                market.ListTrades(trades, timeout=CALL_S),
            ):
                begun_s = time.perf_counter()
                try:
                    await call
                except grpc.aio.AioRpcError as error:
                    raise BenchError(f"a read failed: {error.details()}") from None
                took.append((time.perf_counter() - begun_s) * 1000)
                await asyncio.sleep(READ_PAUSE_S)
    return sorted(took)


def replace_price(order: order_service_pb2.PlaceOrderRequest) -> order_service_pb2.PlaceOrderRequest:
    """The order at a price at which it rests."""
    order.price = "100.00"
    return order


async def beside(
    bench: Bench, rate: float | None, work: "asyncio.Future[list[float]]", ended: asyncio.Event
) -> list[float]:
    """The result of work that goes on beside P1's load (all of it, or so many orders a second) and ends with it."""
    unary = entry(bench.venue.sides, "unary", CALLERS, bench.folder)
    loads = unary.both if rate is None else paced(unary, rate)
    try:
        await bench.load([replace(load) for load in loads], bench.venue, bench.seconds, 1)
    finally:
        ended.set()
        result = await work
    return result


async def measure(bench: Bench, figures: dict[str, Figure], rate: float) -> None:
    """One round; `rate` is P1's. Raises BenchError."""
    ended = asyncio.Event()

    async def lag() -> list[float]:
        return lags_ms(await look(bench.venue.own.database, ended))

    figures["P10a"].ours.append(quantile(await beside(bench, None, asyncio.ensure_future(lag()), ended), 0.99))
    ended.clear()
    reads = await beside(bench, rate / 2, asyncio.ensure_future(read(bench, ended)), ended)
    figures["P10b"].ours.append(quantile(reads, 0.95))
