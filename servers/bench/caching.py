"""P13: how many reads of public market data the market data server's cache answers, beside half of P1's load.

Twenty readers ask what pages ask for: the last minutes and trades, statistics, and now and then an older page. What is answered
from the views in memory (books, tickers, markets) would count as hits without exception, and is left out.
"""

import asyncio
import random
import re
from typing import Final

import grpc
import httpx

from servers.bench.errors import BenchError
from servers.bench.figures import Figure
from servers.bench.lag import beside
from servers.bench.rounds import Bench
from servers.bench.traffic import SYMBOL
from servers.bench.venue import CALL_S
from servers.transport.caller import channel_to
from venue.marketdata.v1 import marketdata_pb2 as pb
from venue.marketdata.v1 import marketdata_pb2_grpc
from venue.type.v1 import type_pb2

READERS: Final = 20
PAUSE_S: Final = 0.02
DEMO: Final = type_pb2.ENVIRONMENT_DEMO
READS: Final = re.compile(r'^venue_cache_reads_total{cache="(\w+)",outcome="(\w+)"} ([0-9.e+]+)$', re.MULTILINE)


async def counted(url: str) -> tuple[float, float]:
    """Reads that a cache answered (waiting with somebody else included), and all; views are left out."""
    async with httpx.AsyncClient() as client:
        found = READS.findall((await client.get(url)).text)
    reads = [(outcome, float(count)) for cache, outcome, count in found if cache != "view"]
    return sum(count for outcome, count in reads if outcome != "miss"), sum(count for _, count in reads)


async def read(stub: "marketdata_pb2_grpc.MarketDataServiceAsyncStub", seed: int, ended: asyncio.Event) -> None:
    """One reader. Raises BenchError."""
    source = random.Random(seed)
    candles = pb.ListCandlesRequest(symbol=SYMBOL, environment=DEMO, interval=pb.CANDLE_INTERVAL_1M)
    trades = pb.ListTradesRequest(symbol=SYMBOL, environment=DEMO)
    statistics = pb.GetMarketStatisticsRequest(symbol=SYMBOL, environment=DEMO)
    try:
        while not ended.is_set():
            kind = source.random()
            if kind < 0.4:
                await stub.ListCandles(candles, timeout=CALL_S)
            elif kind < 0.75:
                await stub.ListTrades(trades, timeout=CALL_S)
            elif kind < 0.95:
                await stub.GetMarketStatistics(statistics, timeout=CALL_S)
            else:
                first = await stub.ListTrades(trades, timeout=CALL_S)
                if first.next_page_token:
                    older = pb.ListTradesRequest(symbol=SYMBOL, environment=DEMO, page_token=first.next_page_token)
                    await stub.ListTrades(older, timeout=CALL_S)
            await asyncio.sleep(PAUSE_S)
    except grpc.aio.AioRpcError as error:
        raise BenchError(f"a read failed: {error.details()}") from None


async def measure(bench: Bench, figure: Figure, rate: float) -> None:
    """One round; `rate` is P1's. Raises BenchError."""
    own, ended = bench.venue.own, asyncio.Event()
    url = f"http://127.0.0.1:{own.environment['VENUE_MARKETDATA_METRICS_PORT']}/metrics"

    async def readers() -> list[float]:
        async with channel_to(own.marketdata) as channel:
            stub: marketdata_pb2_grpc.MarketDataServiceAsyncStub = marketdata_pb2_grpc.MarketDataServiceStub(channel)
            answered, asked = await counted(url)
            await asyncio.gather(*(read(stub, seed, ended) for seed in range(READERS)))
            answered_then, asked_then = await counted(url)
        if asked_then <= asked:
            raise BenchError("nothing was read")
        return [100 * (answered_then - answered) / (asked_then - asked)]

    figure.ours.extend(await beside(bench, rate / 2, asyncio.ensure_future(readers()), ended))
