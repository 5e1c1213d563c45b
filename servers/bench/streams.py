"""P7: what one process of market data tells how many at once, and what ten thousand streams cost and how soon they are back.

The many are h2load's, in a process of their own, which throws away what it gets; a few readers here count and look at the clock.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import grpc
import httpx

from servers.bench import traffic
from servers.bench.edge import resident_bytes
from servers.bench.errors import BenchError
from servers.bench.figures import Figure
from servers.bench.lag import quantile
from servers.bench.load import GRPC_HEADERS, start
from servers.bench.rounds import BATCH_CALLERS, Bench, entry
from servers.bench.venue import Own
from servers.transport.caller import channel_to
from venue.marketdata.v1 import marketdata_pb2 as pb
from venue.type.v1 import type_pb2

SUBSCRIBE: Final = "/venue.marketdata.v1.MarketDataService/Subscribe"
NO_H2LOAD: Final = "P7 was not measured: it needs h2load (nghttp2) as load client"
# Orders a second behind the figures, in batches: half of them trade. P7a is told as many as may be, P7b no fewer than its floor.
ORDERS_A_SECOND: Final = 4_000
CALM_ORDERS_A_SECOND: Final = 2_000
TOLD_MIN: Final = 300_000
READERS: Final = 3
SUBSCRIBERS: Final = 500
STREAMS_A_CONNECTION: Final = 100
OPEN_S: Final = 60.0
SETTLE_S: Final = 2.0
QUIET: Final = "SOL-USD"
FIGURES: Final = ("P7a", "P7b", "P7c", "P7d")


@dataclass(slots=True)
class Reader:
    """One subscriber that counts. An update is a trade, or a level of the book as it has become.

    While it is heard it looks at the clock and keeps the bytes: what they say is read when nobody is waiting.
    """

    heard: list[tuple[float, bytes]] = field(default_factory=list)
    broken: str = ""

    async def read(self, address: str, request: pb.SubscribeRequest) -> None:
        async with channel_to(address) as channel:
            try:
                call: Any = channel.unary_stream(SUBSCRIBE, pb.SubscribeRequest.SerializeToString)(request)
                async for raw in call:
                    self.heard.append((time.time(), raw))
                self.broken = "the stream ended"
            except grpc.aio.AioRpcError as error:
                self.broken = error.details() or "the stream was cut"

    def told(self) -> tuple[int, list[float]]:
        """How many updates, and how late each frame of them was, in milliseconds after it was made."""
        updates, late_ms = 0, []
        for heard_s, raw in self.heard:
            message = pb.SubscribeResponse.FromString(raw)
            for frame in message.frames or [message]:
                if frame.HasField("event"):
                    event = frame.event
                    updates += len(event.trades.trades) + len(event.book.bids) + len(event.book.asks)
                    late_ms.append((heard_s - frame.server_time.ToNanoseconds() / 1e9) * 1000)
                elif frame.HasField("gap") or frame.HasField("goodbye"):
                    self.broken = str(frame)
        return updates, late_ms


@asynccontextmanager
async def subscribed(
    program: str,
    address: str,
    body: Path,
    count: int,
    a_connection: int = STREAMS_A_CONNECTION,
    options: Sequence[str] = (),
) -> AsyncIterator["asyncio.subprocess.Process"]:
    """So many streams of another process, which is killed at the end: all of them drop at once. `options` are of h2load."""
    connections = max(1, -(-count // a_connection))
    given = ["-c", str(connections), "-m", str(a_connection), "-n", str(count), "-d", str(body), *options]
    for header in GRPC_HEADERS:
        given += ["-H", header]
    process = await asyncio.create_subprocess_exec(
        program, *given, f"http://{address}{SUBSCRIBE}", stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def streams_of(own: Own) -> tuple[int, int]:
    """How many subscriptions the process of market data says are open, and how many it has served since it began."""
    address = f"http://127.0.0.1:{own.environment['VENUE_MARKETDATA_METRICS_PORT']}/metrics"
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        text = (await client.get(address)).text
    lines = [line for line in text.splitlines() if "MarketDataService/Subscribe" in line]
    is_open, ended = (
        sum(int(float(line.rpartition(" ")[2])) for line in lines if line.startswith(name + "{"))
        for name in ("venue_streams_open", "venue_rpc_total")
    )
    return is_open, is_open + ended


async def open_streams(own: Own) -> int:
    return (await streams_of(own))[0]


async def opened(own: Own, count: int, served: int = 0) -> float:
    """Seconds until so many are open, and `served` were in all: streams of a client that has gone are not taken for new ones.

    Raises BenchError.
    """
    begun = time.monotonic()
    while (now := await streams_of(own)) < (count, 0) or now[1] < served:
        if time.monotonic() - begun > OPEN_S:
            raise BenchError(f"only {now[0]} of {count} streams were opened in {OPEN_S:.0f} s")
        await asyncio.sleep(0.1)
    return time.monotonic() - begun


def request(symbol: str, *channels: pb.Channel.ValueType, resume_after: str = "") -> pb.SubscribeRequest:
    return pb.SubscribeRequest(
        environment=type_pb2.ENVIRONMENT_DEMO,
        symbols=[symbol],
        channels=channels,
        joined=True,
        resume_after=resume_after,
    )


async def fan_out(bench: Bench, singles: dict[str, Figure], count: int) -> None:
    """P7a and P7b, each under a load of its own. Raises BenchError."""
    told, _ = await watched(bench, count, ORDERS_A_SECOND)
    singles["P7a"].ours.append(told)
    told, late_ms = await watched(bench, count, CALM_ORDERS_A_SECOND)
    # On a machine that cannot send so much the figure would be of something else: it is left out, and the page says so.
    if told >= TOLD_MIN * min(1.0, count / SUBSCRIBERS):
        singles["P7b"].ours.append(quantile(late_ms, 0.99))


async def watched(bench: Bench, count: int, orders_a_second: int) -> tuple[float, list[float]]:
    """Updates a second to so many, and how late frames were, sorted. Raises BenchError."""
    own = bench.venue.own
    wanted = request(traffic.SYMBOL, pb.CHANNEL_BOOK, pb.CHANNEL_TRADES)
    body = traffic.write(bench.folder, "subscribe", traffic.framed(wanted.SerializeToString()))
    batches = entry(bench.venue.sides, "batches", BATCH_CALLERS, bench.folder)
    rate = orders_a_second / traffic.BATCH / len(batches.both)
    seconds = bench.seconds + 2 * SETTLE_S
    loads = [replace(load, address=bench.venue.address, seconds=seconds, rate=rate) for load in batches.both]
    readers = [Reader() for _ in range(READERS)]
    async with subscribed(bench.client.program, own.marketdata, body, count - READERS):
        tasks = [asyncio.create_task(reader.read(own.marketdata, wanted)) for reader in readers]
        await opened(own, count)
        running = await start(bench.client, loads, bench.folder)
        try:
            await asyncio.sleep(SETTLE_S)
            for reader in readers:
                reader.heard = []
            begun = time.monotonic()
            await asyncio.sleep(bench.seconds)
            heard = [Reader(reader.heard) for reader in readers]
            took = time.monotonic() - begun
            for reader in readers:
                reader.heard = []
            await running.answers()
        finally:
            running.kill()
        still = await open_streams(own)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    told = [each.told() for each in heard]
    broken = [reader.broken for reader in (*readers, *heard) if reader.broken]
    if broken or still < count:
        raise BenchError(f"streams did not keep up: {still} of {count} are open, {broken}")
    await bench.venue.settle()
    await bench.venue.clear()
    late_ms = sorted(ms for _, late in told for ms in late)
    return sum(updates for updates, _ in told) / READERS * count / took, late_ms


async def many(bench: Bench, singles: dict[str, Figure], count: int) -> None:
    """P7c and P7d, through the gateway. Raises BenchError."""
    own = bench.venue.own
    pids = [int(own.pid_file(name).read_text().split()[0]) for name in ("envoy", "marketdata")]
    wanted = request(QUIET, pb.CHANNEL_BOOK)
    body = traffic.write(bench.folder, "idle", traffic.framed(wanted.SerializeToString()))
    program = bench.client.program
    async with subscribed(program, own.gateway, body, count):
        await opened(own, count)
        await asyncio.sleep(SETTLE_S)
        singles["P7c"].ours.append(sum(resident_bytes(pid) for pid in pids) / 1e6)
    # All of them drop, and come back at once.
    _, served = await streams_of(own)
    async with subscribed(program, own.gateway, body, count):
        dropped = time.monotonic()
        await opened(own, count, served + count)
        singles["P7d"].ours.append(time.monotonic() - dropped)
