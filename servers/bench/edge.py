"""P11 and P12: what Envoy adds to a call, and the memory of a stream on which nothing happens."""

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Final

import grpc

from servers.bench import traffic
from servers.bench.errors import BenchError
from servers.bench.load import Client, Load, start
from servers.bench.venue import CALL_S, Own
from servers.transport.caller import channel_to
from venue.marketdata.v1 import marketdata_pb2, marketdata_pb2_grpc
from venue.type.v1 import type_pb2

# Far from any limit: not how many calls there can be is asked, but how long one takes.
CALLS_A_SECOND: Final = 100.0
TURNS: Final = 3
CHANNELS: Final = 10
SETTLE_S: Final = 1.0
# Opened before it is measured: the first streams also load what all of them share.
FIRST: Final = 20
BOOK: Final = "/venue.marketdata.v1.MarketDataService/GetOrderBook"
NO_HTTP1: Final = "P11 was not measured: REST needs h2load (nghttp2) as load client"


async def p50_ms(client: Client, load: Load, folder: Path) -> float:
    """Raises BenchError."""
    answers = await (await start(client, [load], folder)).answers()
    if not answers:
        raise BenchError(f"nothing was answered at {load.path}")
    return median(answer.took_us for answer in answers) / 1000


async def through_envoy(client: Client, own: Own, seconds: float, folder: Path) -> float:
    """What the gateway adds to the median of a read, in milliseconds. Raises BenchError."""
    request = marketdata_pb2.GetOrderBookRequest(symbol=traffic.SYMBOL, environment=type_pb2.ENVIRONMENT_DEMO)
    body = traffic.write(folder, "book", traffic.framed(request.SerializeToString()))
    path = f"/v1/markets/{traffic.SYMBOL}/book?environment=ENVIRONMENT_DEMO"
    direct = Load(address=own.marketdata, path=BOOK, body=body, callers=1, seconds=seconds, rate=CALLS_A_SECOND)
    rest = Load(address=own.gateway, path=path, body=None, callers=1, seconds=seconds, rate=CALLS_A_SECOND, grpc=False)
    added = []
    for _ in range(TURNS):
        alone = await p50_ms(client, direct, folder)
        added.append(await p50_ms(client, rest, folder) - alone)
    return median(added)


def resident_bytes(pid: int) -> int:
    """What a process has in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def idle_streams(own: Own, count: int) -> float:
    """Bytes of the process that serves them, for each of so many subscriptions to a book. Raises BenchError."""
    pid = int(own.pid_file("marketdata").read_text().split()[0])
    request = marketdata_pb2.SubscribeRequest(
        environment=type_pb2.ENVIRONMENT_DEMO, symbols=[traffic.SYMBOL], channels=[marketdata_pb2.CHANNEL_BOOK]
    )
    async with AsyncExitStack() as held:
        channels = [await held.enter_async_context(channel_to(own.marketdata)) for _ in range(CHANNELS)]
        calls = []

        async def open_one(number: int) -> None:
            call = marketdata_pb2_grpc.MarketDataServiceStub(channels[number % CHANNELS]).Subscribe(request)
            calls.append(call)
            try:
                async with asyncio.timeout(CALL_S):
                    # The greeting, and the book.
                    for _ in range(2):
                        await call.read()
            except (grpc.aio.AioRpcError, TimeoutError) as error:
                raise BenchError(f"a stream was not opened: {error!r}") from None

        for number in range(FIRST):
            await open_one(number)
        await asyncio.sleep(SETTLE_S)
        before = resident_bytes(pid)
        for number in range(count):
            await open_one(number)
        await asyncio.sleep(SETTLE_S)
        used = resident_bytes(pid) - before
        for call in calls:
            call.cancel()
    return used / count
