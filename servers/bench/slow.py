"""F30 and F33: what readers who stop reading, and thousands who drop at once, do to everybody else.

Healthy readers look at the clock, beside readers who have stopped and without them, in turns within one load. A reader who stops
is a process that sleeps with its connections open and little room in them: after a moment nothing more can be written to it.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from math import sqrt
from typing import Final

from servers.bench import traffic
from servers.bench.errors import BenchError
from servers.bench.figures import Figure, Goal, Measure
from servers.bench.lag import quantile
from servers.bench.load import Load, start
from servers.bench.rounds import CALLERS, Bench, entry, paced
from servers.bench.streams import OPEN_S, QUIET, SETTLE_S, Reader, open_streams, opened, request, subscribed
from servers.bench.venue import Own
from venue.marketdata.v1 import marketdata_pb2 as pb

HEALTHY: Final = 12
STOPPED: Final = 200
STREAMS_A_CONNECTION: Final = 10
# Bits of a window of HTTP/2: as small as the client can have it.
WINDOW_BITS: Final = 16
# Each by itself and durable, so that something is told in nearly every window.
ORDERS_A_SECOND: Final = 300.0
WINDOW_MS: Final = 20
# By then a connection of ten streams is full of what was told meanwhile, several times over.
STALLED_S: Final = 1.5
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
    """F30: so many pairs, each with a calm time before and after it. Raises BenchError."""
    own = bench.venue.own
    wanted = busy()
    seconds = turns * (2 * bench.seconds + 2 * STALLED_S + LATE_S)
    async with healthy(own.marketdata, wanted) as readers:
        await opened(own, HEALTHY)
        async with ordering(bench, seconds):
            await asyncio.sleep(SETTLE_S)
            calm = quantile(await heard_ms(readers, bench.seconds), 0.99)
            for _ in range(turns):
                before = calm
                async with stopped(bench, wanted, count):
                    beside = quantile(await heard_ms(readers, bench.seconds), 0.99)
                await until_open(own, HEALTHY)
                await asyncio.sleep(STALLED_S)
                calm = quantile(await heard_ms(readers, bench.seconds), 0.99)
                figure.add(beside, sqrt(before * calm))
    await bench.venue.settle()
    await bench.venue.clear()


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
async def stopped(bench: Bench, wanted: pb.SubscribeRequest, count: int) -> AsyncIterator[None]:
    """So many more streams, whose reader has stopped; nothing more can be written to them when the body begins."""
    own = bench.venue.own
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
