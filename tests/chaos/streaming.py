"""Servers of market data and the gateway before them, beside the driver's venue; and a client that goes on wherever it can."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

import grpc

from servers.bench.edge import resident_bytes
from servers.cli import configure_gateway
from servers.config import Settings
from servers.embedded import envoy, health
from tests.chaos.driver import READY_S, Child, Venue, program, serves
from tests.servers import free_port
from venue.marketdata.v1 import marketdata_pb2 as pb
from venue.marketdata.v1 import marketdata_pb2_grpc
from venue_sdk.market import MarketState

ROOT: Final = Path(__file__).resolve().parents[2]
CHANNELS: Final = (pb.CHANNEL_TRADES, pb.CHANNEL_BOOK, pb.CHANNEL_TICKER, pb.CHANNEL_CANDLES, pb.CHANNEL_STATUS)
RETRY_S: Final = 0.1
# All the streams of a test come from one address.
MANY: Final = {"streams_max": "20000", "rates": '{"STREAM": [20000, 20000]}'}
STREAMS_A_CONNECTION: Final = 90


class Streaming:
    """Two processes of market data behind Envoy."""

    def __init__(self, venue: Venue, folder: Path) -> None:
        self.venue = venue
        ports = [free_port(), free_port()]
        self.addresses = [f"127.0.0.1:{port}" for port in ports]
        self.servers = []
        for at, port in enumerate(ports):
            others = f'["{self.addresses[1 - at]}"]'
            known = {**venue.ports, "marketdata": port}
            log = folder / f"marketdata-{at}.log"
            changes = {"marketdata_others": others, "instance": f"-{at + 1}", "heartbeat_s": "3", **MANY}
            self.servers.append(venue.process("marketdata", log, known, **changes))
        self.gateway = f"127.0.0.1:{free_port()}"
        self.admin_port = free_port()
        settings = Settings.model_validate(
            {
                "state_dir": folder / "gateway",
                "gateway_port": int(self.gateway.rpartition(":")[2]),
                "envoy_admin_port": self.admin_port,
                "marketdata_port": ports[0],
                "marketdata_more": [(ports[1], free_port())],
                **{f"{name}_port": venue.ports[name] for name in ("order", "api")},
            }
        )
        configure_gateway(settings)
        self.envoy = Child("envoy", folder / "envoy.log", program(lambda: envoy.command(None, settings.state)))
        self._envoys_pid = settings.state.pid_file("envoy")

    def mend(self) -> None:
        """Start what does not run, and wait until all of it serves."""
        for server, address in zip(self.servers, self.addresses, strict=True):
            if not server.runs:
                server.start()
            port = int(address.rpartition(":")[2])
            self.venue.wait(lambda port=port: serves(port), server)  # type: ignore[misc]
        if not self.envoy.runs:
            self.envoy.start()
        self.venue.wait(lambda: health.answers(f"http://{self.gateway}/healthz"), self.envoy)

    def resident_bytes(self) -> int:
        """What Envoy and the servers have in memory. The child that was started for Envoy is only its keeper."""
        return sum(map(resident_bytes, (int(self._envoys_pid.read_text()), *(server.pid for server in self.servers))))

    def end(self) -> None:
        for child in (self.envoy, *self.servers):
            if child.runs:
                child.end(signal.SIGTERM)


@contextmanager
def streaming(venue: Venue, folder: Path) -> Iterator[Streaming]:
    """Started, and ended at the end."""
    made = Streaming(venue, folder)
    try:
        made.mend()
        yield made
    finally:
        made.end()


class Listener:
    """A client of one market's channels that opens another stream whenever one ends, and asks to go on where that was."""

    def __init__(self, target: str, symbol: str) -> None:
        self.symbol = symbol
        self.state = MarketState(0)
        self.trades: list[int] = []
        self.streams = 0
        # Whether the present stream has said something.
        self.connected = False
        self.ended: list[str] = []
        # How long goodbyes asked to wait before the next stream.
        self.asked_s: list[float] = []
        self._target = target

    async def listen(self) -> None:
        """For ever. Raises StreamBrokenError where something was missed without a word."""
        async with grpc.aio.insecure_channel(self._target) as channel:
            stub = marketdata_pb2_grpc.MarketDataServiceStub(channel)
            while True:
                request = pb.SubscribeRequest(
                    symbols=[self.symbol], channels=CHANNELS, resume_after=self.state.position, joined=True
                )
                self.streams += 1
                pause_s = RETRY_S
                try:
                    async for message in stub.Subscribe(request, timeout=600):
                        self.connected = True
                        for change in self.state.take(message):
                            self.trades += [int(one.trade_id.partition("-t")[2]) for one in change.trades]
                        if message.HasField("goodbye"):
                            self.ended.append(message.goodbye.reason)
                            self.asked_s.append(message.goodbye.retry_after.ToNanoseconds() / 1e9)
                            pause_s = self.asked_s[-1]
                except grpc.aio.AioRpcError as error:
                    # The gateway resets what it has no end of any more, which gRPC calls INTERNAL.
                    if error.code() not in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL}:
                        raise
                    self.ended.append(error.code().name)
                self.connected = False
                await asyncio.sleep(pause_s)


@asynccontextmanager
async def crowd(
    target: str, request: pb.SubscribeRequest, count: int, awaited: str = ""
) -> AsyncIterator[list["grpc.aio.UnaryStreamCall[pb.SubscribeRequest, pb.SubscribeResponse]"]]:
    """So many streams of one request, opened at once, each read up to its first snapshot; they drop at once at the end.

    Where a trade is `awaited` each is read until that was told, once, and nothing of trades may have been lost.
    """
    options = (("grpc.use_local_subchannel_pool", 1),)
    channels = [grpc.aio.insecure_channel(target, options) for _ in range(-(-count // STREAMS_A_CONNECTION))]
    stubs = [marketdata_pb2_grpc.MarketDataServiceStub(channel) for channel in channels]
    calls = [stubs[at % len(stubs)].Subscribe(request) for at in range(count)]

    async def begin(call: "grpc.aio.UnaryStreamCall[pb.SubscribeRequest, pb.SubscribeResponse]") -> None:
        kinds, trades = [], list[str]()
        while (awaited not in trades) if awaited else "snapshot" not in kinds:
            message = await call.read()
            assert isinstance(message, pb.SubscribeResponse), message
            kinds.append(message.WhichOneof("frame"))
            trades += [one.trade_id for one in message.event.trades.trades]
            assert not message.snapshot.HasField("trades") or not awaited, "trades were lost"
        # With a snapshot of the book, which is not kept; and once each.
        assert kinds[0] == "ready"
        assert set(kinds) <= {"ready", "event", "gap", "snapshot"}, kinds
        assert trades == [awaited] * bool(awaited)

    try:
        await asyncio.gather(*(begin(call) for call in calls))
        yield calls
    finally:
        await asyncio.gather(*(channel.close() for channel in channels))


@asynccontextmanager
async def listening(listeners: list[Listener]) -> AsyncIterator[None]:
    """All of them at work while the body runs, once each has a book."""
    tasks = [asyncio.create_task(one.listen()) for one in listeners]
    try:
        async with asyncio.timeout(READY_S):
            while not all(one.symbol in one.state.books for one in listeners):  # noqa: ASYNC110  # clients' states
                await asyncio.sleep(0.02)
        yield
        for task in tasks:
            assert not task.done(), task
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def market_of(address: str, symbol: str) -> tuple[pb.GetOrderBookResponse, list[int]]:
    """The best fifty levels, and the numbers of all trades, oldest first, as a server has them."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = marketdata_pb2_grpc.MarketDataServiceStub(channel)
        book = await stub.GetOrderBook(pb.GetOrderBookRequest(symbol=symbol))
        trades: list[int] = []
        request = pb.ListTradesRequest(symbol=symbol, page_size=500)
        while True:
            page = await stub.ListTrades(request)
            trades += [int(one.trade_id.partition("-t")[2]) for one in page.trades]
            if not page.next_page_token:
                return book, trades[::-1]
            request.page_token = page.next_page_token
