"""F30 and F33: what readers who stop reading, and thousands who drop at once, do to everybody else.

Two processes of market data serve as many readers who look at the clock, at the same time and of the same market; others who have
stopped are first with the one, then with the other. So whatever else the machine does is in both figures. A reader who stops is a
process that sleeps with its connections open and little room in them: after a moment nothing more can be written to it.
"""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from typing import Final

import grpc

from servers.bench import traffic
from servers.bench.errors import BenchError
from servers.bench.figures import Figure, Goal, Measure
from servers.bench.lag import quantile
from servers.bench.load import Load, start
from servers.bench.rounds import CALLERS, Bench, entry, paced
from servers.bench.streams import OPEN_S, QUIET, SETTLE_S, Reader, open_streams, opened, request, subscribed
from servers.bench.venue import Own, free_ports
from servers.transport.caller import channel_to
from venue.marketdata.v1 import marketdata_pb2 as pb
from venue.marketdata.v1 import marketdata_pb2_grpc

HEALTHY: Final = 12
STOPPED: Final = 200
STREAMS_A_CONNECTION: Final = 10
# Bits of a window of HTTP/2: as small as the client can have it.
WINDOW_BITS: Final = 16
# Each by itself and durable, so that something is told in nearly every window.
ORDERS_A_SECOND: Final = 300.0
WINDOW_MS: Final = 20
# By then a connection's window is full, and so are the 64 KB that gRPC keeps of each stream: at some 30 KB a second after two or
# three seconds. Until then a reader who has stopped costs what one costs who reads.
STALLED_S: Final = 5.0
LATE_S: Final = 30.0


def slow_measures() -> list[Measure]:
    """F30, without a figure yet."""
    what = f"delay p99 beside {STOPPED} who stopped reading"
    return [Measure("F30", what, "calm", "ms", Goal(1.1, 1.05, low_is_good=True))]


@asynccontextmanager
async def healthy(address: str, wanted: pb.SubscribeRequest) -> AsyncIterator[list[Reader]]:
    """HEALTHY readers of this process; `broken` of one says why its stream has ended."""
    readers = [Reader() for _ in range(HEALTHY)]
    tasks = [asyncio.create_task(reader.read(address, wanted)) for reader in readers]
    try:
        yield readers
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def heard_ms(readers: Sequence[Reader], seconds: float) -> list[float]:
    """How late frames were at all readers within so many seconds, sorted. Raises BenchError: one missed something, or was cut."""
    for reader in readers:
        reader.heard = []
    await asyncio.sleep(seconds)
    heard = [Reader(reader.heard) for reader in readers]
    for reader in readers:
        reader.heard = []
    late_ms = sorted(ms for each in heard for ms in each.told()[1])
    broken = [each.broken for each in (*readers, *heard) if each.broken]
    if broken:
        raise BenchError(f"a reader who did read was cut, or missed something: {broken[0]}")
    return late_ms


async def until_open(own: Own, count: int) -> None:
    """Until no more than so many streams are open. Raises BenchError."""
    async with asyncio.timeout(LATE_S):
        while await open_streams(own) > count:  # noqa: ASYNC110  # another process's state
            await asyncio.sleep(0.1)


async def measure(bench: Bench, figure: Measure, count: int, turns: int) -> None:
    """F30: so many turns with readers who have stopped at the one process, and as many at the other. Raises BenchError."""
    wanted, beside, calm = busy(), list[float](), list[float]()
    seconds = 2 * turns * (bench.seconds + STALLED_S + LATE_S)
    async with another(bench.venue.own) as other:
        owns = (bench.venue.own, other)
        async with AsyncExitStack() as held:
            readers = [await held.enter_async_context(healthy(own.marketdata, wanted)) for own in owns]
            for own in owns:
                await opened(own, HEALTHY)
            await held.enter_async_context(ordering(bench, seconds))
            await asyncio.sleep(SETTLE_S)
            for turn in range(2 * turns):
                at = turn % 2
                async with stopped(bench, owns[at], wanted, count):
                    late_ms = await asyncio.gather(*(heard_ms(each, bench.seconds) for each in readers))
                await until_open(owns[at], HEALTHY)
                beside += late_ms[at]
                calm += late_ms[1 - at]
    figure.add(quantile(sorted(beside), 0.99), quantile(sorted(calm), 0.99))
    await bench.venue.settle()
    await bench.venue.clear()


@asynccontextmanager
async def another(own: Own) -> AsyncIterator[Own]:
    """Another process of market data of the same venue, which the gateway does not know. Raises BenchError."""
    port, metrics_port = free_ports(2)
    told = {"MARKETDATA_PORT": port, "MARKETDATA_METRICS_PORT": metrics_port, "INSTANCE": "-2"}
    environment = own.environment | {f"VENUE_{name}": str(value) for name, value in told.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "servers.main", "marketdata", env=environment, stdout=DEVNULL, stderr=DEVNULL
    )
    made = replace(own, marketdata=f"{own.marketdata.rpartition(':')[0]}:{port}", environment=environment)
    try:
        await serving(made, process)
        yield made
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def serving(own: Own, process: asyncio.subprocess.Process) -> None:
    """Raises BenchError where it does not come to that."""
    async with channel_to(own.marketdata) as channel:
        stub = marketdata_pb2_grpc.MarketDataServiceStub(channel)
        end = time.monotonic() + LATE_S
        while process.returncode is None and time.monotonic() < end:
            with suppress(grpc.aio.AioRpcError):
                await stub.GetMarket(pb.GetMarketRequest(symbol=traffic.SYMBOL), timeout=LATE_S)
                return
            await asyncio.sleep(0.1)
    raise BenchError("a second process of market data did not serve")


def busy() -> pb.SubscribeRequest:
    """A market on which much happens."""
    wanted = request(traffic.SYMBOL, pb.CHANNEL_BOOK, pb.CHANNEL_TRADES)
    wanted.window.FromMilliseconds(WINDOW_MS)
    return wanted


@asynccontextmanager
async def ordering(bench: Bench, seconds: float) -> AsyncIterator[None]:
    """Orders while the body runs, at most for so long."""
    loads: list[Load] = paced(entry(bench.venue.sides, "unary", CALLERS, bench.folder), ORDERS_A_SECOND)
    running = await start(
        bench.client, [replace(load, address=bench.venue.address, seconds=seconds) for load in loads], bench.folder
    )
    try:
        yield
        if running.ended:
            raise BenchError("the orders behind F30 ended before it was measured")
    finally:
        running.kill()


@asynccontextmanager
async def stopped(bench: Bench, own: Own, wanted: pb.SubscribeRequest, count: int) -> AsyncIterator[None]:
    """So many more streams, whose reader has stopped; nothing more can be written to them when the body begins."""
    body = traffic.write(bench.folder, "stopped", traffic.framed(wanted.SerializeToString()))
    narrow = ("-w", str(WINDOW_BITS), "-W", str(WINDOW_BITS))
    many = subscribed(
        bench.client.program, own.marketdata, body, count, a_connection=STREAMS_A_CONNECTION, options=narrow
    )
    async with many as process:
        await opened(own, HEALTHY + count)
        os.kill(process.pid, signal.SIGSTOP)
        await asyncio.sleep(STALLED_S)
        yield
        if process.returncode is not None or await open_streams(own) < HEALTHY + count:
            raise BenchError("readers that had stopped were not there all the time")


async def drop(bench: Bench, figure: Figure, count: int) -> None:
    """F33: so many others drop at once, all through the gateway. Raises BenchError."""
    own = bench.venue.own
    quiet = request(QUIET, pb.CHANNEL_BOOK)
    body = traffic.write(bench.folder, "drop", traffic.framed(quiet.SerializeToString()))
    async with healthy(own.gateway, busy()) as readers, ordering(bench, 4 * OPEN_S):
        await opened(own, HEALTHY)
        async with subscribed(bench.client.program, own.gateway, body, count):
            await opened(own, HEALTHY + count)
        await until_open(own, HEALTHY)
        await asyncio.sleep(SETTLE_S)
        # Who hears nothing more is as good as cut.
        since_s = time.time() - SETTLE_S
        for reader in readers:
            reader.told()
            if not reader.heard or reader.heard[-1][0] < since_s:
                reader.broken = reader.broken or "silent"
        figure.ours.append(sum(bool(reader.broken) for reader in readers))
    await bench.venue.settle()
    await bench.venue.clear()
