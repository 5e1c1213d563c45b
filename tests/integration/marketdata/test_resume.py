"""Going on after another stream's position: what was missed comes once, what is not kept is announced, nonsense is refused."""

import asyncio
from contextlib import suppress

import grpc
import pytest

from servers.engine.replica import Replica
from tests.integration.marketdata.conftest import Open
from tests.integration.marketdata.stand import ALL, Stand, WitnessedLeader, next_frame, next_of_session, until
from tests.integration.replica.leader import MARKETS, PARTITION
from tests.unit.transport.conftest import refusal_of
from venue.engine.v1 import engine_pb2
from venue.marketdata.v1 import marketdata_pb2 as pb
from venue_sdk.market import MarketState

BOOK, TRADES = pb.CHANNEL_BOOK, pb.CHANNEL_TRADES


class Listener:
    """A client that keeps its state over streams; `heard` are the trades of all markets, each as often as it was told."""

    def __init__(self) -> None:
        self.state = MarketState(0)
        self.heard: list[str] = []
        self.frames: list[pb.SubscribeResponse] = []

    async def listen(self, stand: Stand, request: pb.SubscribeRequest) -> None:
        request.resume_after = self.state.position
        self.frames = []
        call = stand.stub.Subscribe(request)
        try:
            async for message in call:
                self.frames += message.frames or [message]
                for change in self.state.take(message):
                    self.heard += [trade.trade_id for trade in change.trades]
        finally:
            call.cancel()

    @property
    def kinds(self) -> list[str]:
        return [frame.WhichOneof("frame") or "" for frame in self.frames]


async def stopped(task: "asyncio.Task[None]") -> None:
    assert not task.done(), task
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def trades_of(stand: Stand) -> list[str]:
    return [f"{PARTITION}-t{number}" for number in range(1, stand.leader.exchange.clock.trade_number + 1)]


def remember(monkeypatch: pytest.MonkeyPatch, trades: int) -> None:
    """Let servers that start from now on have so many trades of a market in memory."""
    for module in ("view", "past", "resume"):
        monkeypatch.setattr(f"servers.marketdata.{module}.TRADES_MAX", trades)


@pytest.mark.parametrize("remembered", [500, 30])
async def test_trades_missed_by_a_client_come_once_from_memory_and_from_the_tables(
    open_stand: Open, projecting: Replica, remembered: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(monkeypatch, remembered)
    request = pb.SubscribeRequest(symbols=MARKETS, channels=[TRADES], joined=True)
    listener = Listener()
    async with open_stand(silence_s=0.2) as stand:
        listening = asyncio.create_task(listener.listen(stand, request))
        await until(lambda: listener.kinds.count("snapshot") == 2)
        await stand.leader.run(20)
        await until(lambda: len(listener.heard) == stand.leader.exchange.clock.trade_number)
        await until(lambda: listener.state.position == stand.data.fan_out.sources(2).taken())
        await stopped(listening)
    # Meanwhile this server is gone, and another one knows nothing of it.
    await stand.leader.run(20)
    await until(lambda: projecting.tables.sequence == stand.leader.exchange.clock.sequence)
    async with open_stand(silence_s=0.2) as stand:
        listening = asyncio.create_task(listener.listen(stand, request))
        await until(lambda: len(listener.heard) >= stand.leader.exchange.clock.trade_number)
        await stand.leader.run(5)
        await until(lambda: len(listener.heard) >= stand.leader.exchange.clock.trade_number)
        await stopped(listening)
    assert listener.frames[0].ready.resumed
    assert set(listener.kinds) <= {"ready", "event", "heartbeat"}
    numbers = [int(trade.partition("-t")[2]) for trade in listener.heard]
    assert sorted(numbers) == list(range(1, stand.leader.exchange.clock.trade_number + 1))
    held = max(len(view.trades) for view in stand.data.tail(0).views.values())
    assert held == 30 if remembered == 30 else held < 500


async def test_what_is_not_kept_begins_with_a_gap_and_a_snapshot(stand: Stand) -> None:
    await stand.leader.run(10)
    await until(lambda: stand.data.tail(0).source.taken == stand.leader.exchange.clock.sequence)
    position = f"{PARTITION}.1.2"
    call = stand.stub.Subscribe(pb.SubscribeRequest(symbols=MARKETS[:1], channels=ALL, resume_after=position))
    frames = [await next_frame(call)]
    while len(frames) < 10:
        frames.append(await next_frame(call))
    call.cancel()
    assert (frames[0].ready.resumed, frames[0].position) == (False, position)
    kinds = [frame.WhichOneof("frame") for frame in frames[1:]]
    # The trades since, then each of the other channels.
    assert kinds == ["event"] + ["gap", "snapshot"] * 4
    assert frames[1].event.WhichOneof("data") == "trades"
    assert {(frame.gap.from_sequence, frame.gap.reason) for frame in frames[2::2]} == {(2, "NOT_KEPT")}


async def test_more_trades_than_are_sent_again_are_a_gap(
    open_stand: Open, projecting: Replica, leader: WitnessedLeader, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(monkeypatch, 20)
    monkeypatch.setattr("servers.marketdata.resume.REPLAYED_MAX", 10)
    await leader.run(20)
    await until(lambda: projecting.tables.sequence == leader.exchange.clock.sequence)
    async with open_stand() as stand:
        await gap_instead_of_trades(stand)


async def gap_instead_of_trades(stand: Stand) -> None:
    request = pb.SubscribeRequest(symbols=MARKETS[:1], channels=[TRADES], resume_after=f"{PARTITION}.1.1")
    call = stand.stub.Subscribe(request)
    frames = [await next_frame(call) for _ in range(3)]
    call.cancel()
    assert [frame.WhichOneof("frame") for frame in frames] == ["ready", "gap", "snapshot"]
    assert not frames[0].ready.resumed


POSITIONS = (
    "nonsense",
    "2.1",
    "-2.1.5",
    f"{PARTITION}.1.{2**62}",
    f"{PARTITION}.99.5",
    "1.1.5",
    f"{PARTITION}.1.5~{PARTITION}.1.6",
    f"{PARTITION}.1.5~1.1.5",
    "9" * 200,
)


async def test_a_position_of_the_future_or_of_elsewhere_is_refused(stand: Stand) -> None:
    for position in POSITIONS:
        request = pb.SubscribeRequest(symbols=MARKETS[:1], channels=[TRADES], resume_after=position)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            async for _ in stand.stub.Subscribe(request):
                pass
        refusal = refusal_of(raised.value)
        told = (refusal.code, refusal.info.reason)
        assert told == (grpc.StatusCode.INVALID_ARGUMENT, "POSITION_INVALID"), position
        call = stand.stub.Session()
        add = [pb.Subscription(symbol=MARKETS[0], channel=TRADES)]
        await call.write(pb.SessionRequest(add=add, resume_after=position))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await next_of_session(call)
        assert refusal_of(raised.value).info.reason == "POSITION_INVALID", position
        assert stand.data.fan_out.streams == {}


async def test_without_a_window_each_change_comes_by_itself_and_only_of_the_levels_asked_for(stand: Stand) -> None:
    request = pb.SubscribeRequest(symbols=MARKETS[:1], channels=[BOOK], depth=1)
    request.window.SetInParent()
    call = stand.stub.Subscribe(request)
    book = (await next_frame(call), await next_frame(call))[1].snapshot.book
    sides: list[dict[str, str]] = [
        {level.price: level.quantity for level in levels} for levels in (book.bids, book.asks)
    ]
    await stand.leader.run(40)

    def best() -> list[dict[str, str]]:
        now = stand.leader.book(MARKETS[0], 1)
        return [{level.price: level.quantity for level in levels} for levels in (now.bids, now.asks)]

    async with asyncio.timeout(20):
        while sides != best():
            event = (await next_frame(call)).event
            for side, levels in zip(sides, (event.book.bids, event.book.asks), strict=True):
                for level in levels:
                    side.pop(level.price, None)
                    if level.quantity != "0":
                        side[level.price] = level.quantity
                assert len(side) <= 1
    call.cancel()


async def test_any_depth_is_served_as_far_as_there_is_one(stand: Stand) -> None:
    for depth, levels in ((0, 50), (1, 1), (7, 7), (2**31 - 1, 5_000)):
        call = stand.stub.Subscribe(pb.SubscribeRequest(symbols=MARKETS[:1], channels=[BOOK], depth=depth))
        stream_id = (await next_frame(call)).stream_id
        assert (await next_frame(call)).snapshot.book.symbol == MARKETS[0]
        known = await stand.stub.UpdateSubscriptions(pb.UpdateSubscriptionsRequest(stream_id=stream_id))
        assert [one.depth for one in known.subscriptions] == [levels]
        call.cancel()


async def test_a_negative_depth_and_an_absurd_window_are_refused(stand: Stand) -> None:
    absurd = pb.SubscribeRequest(symbols=MARKETS[:1], channels=[BOOK])
    absurd.window.seconds = 3600
    for request, field in (
        (pb.SubscribeRequest(symbols=MARKETS[:1], channels=[BOOK], depth=-1), "depth"),
        (absurd, "window"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            async for _ in stand.stub.Subscribe(request):
                pass
        assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert field in str(refusal_of(raised.value))


async def test_another_stream_goes_on_while_bad_ones_are_refused(stand: Stand) -> None:
    call = stand.stub.Subscribe(pb.SubscribeRequest(symbols=MARKETS[:1], channels=[pb.CHANNEL_STATUS]))
    await next_frame(call)
    await next_frame(call)
    for position in ("x", f"{PARTITION}.1.{2**60}"):
        with suppress(grpc.aio.AioRpcError):
            async for _ in stand.stub.Subscribe(
                pb.SubscribeRequest(symbols=MARKETS[:1], channels=[TRADES], resume_after=position)
            ):
                pass
    halt = engine_pb2.SetMarketState(symbol=MARKETS[0], state=pb.MARKET_STATE_HALTED)
    await stand.leader.commit([engine_pb2.Command(set_market_state=halt)])
    assert (await next_frame(call)).event.market.state == pb.MARKET_STATE_HALTED
    call.cancel()
