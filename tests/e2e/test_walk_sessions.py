"""Sessions in both directions through the gateway: trading, and market data."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from tests.e2e.launching import Venue
from tests.e2e.people import MARKET, Person, inside, join
from tests.e2e.ways import Rest
from venue.marketdata.v1 import marketdata_pb2, marketdata_pb2_grpc
from venue.order.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc
from venue.type.v1 import type_pb2

PATIENCE_S = 15.0
Command = order_service_pb2.TradeCommand


@pytest.fixture(scope="module")
def judy(rest: Rest) -> Person:
    return join(rest, "judy")


@pytest.fixture(scope="module")
def mallory(rest: Rest) -> Person:
    return join(rest, "mallory")


@pytest.fixture
async def channel(venue: Venue) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(venue.target) as made:
        yield made


def order(person: Person, side: int, price: str, quantity: str, **more: Any) -> order_service_pb2.PlaceOrderRequest:
    return order_service_pb2.PlaceOrderRequest(
        account_id=person.account_id,
        symbol=MARKET,
        side=side,  # type: ignore[arg-type]
        type=order_pb2.ORDER_TYPE_LIMIT,
        time_in_force=order_pb2.TIME_IN_FORCE_GTC,
        price=price,
        quantity=quantity,
        **more,
    )


class Session:
    """A Trade call: commands go in, answers are found by their mark, events are kept."""

    def __init__(self, channel: grpc.aio.Channel, person: Person) -> None:
        metadata = (("authorization", f"Bearer {person.token}"),)
        self.call: Any = order_service_pb2_grpc.OrderServiceStub(channel).Trade(metadata=metadata)
        self.person = person
        self.answers: dict[str, order_service_pb2.TradeAnswer] = {}
        self.updates: list[order_pb2.OrderUpdate] = []

    async def start(self) -> None:
        begin = order_service_pb2.TradeStart(account_id=self.person.account_id)
        await self.send(Command(correlation_id="start", start=begin))
        frame = await asyncio.wait_for(self.call.read(), PATIENCE_S)
        assert frame.WhichOneof("frame") == "ready"

    async def send(self, *commands: Command) -> None:
        await self.call.write(order_service_pb2.TradeRequest(commands=commands))

    async def until(self, *marks: str, updates: int = 0) -> None:
        """Read on until these answers and so many updates have come."""
        async with asyncio.timeout(PATIENCE_S):
            while not (self.answers.keys() >= set(marks) and len(self.updates) >= updates):
                frame = await self.call.read()
                assert frame is not grpc.aio.EOF, await self.call.details()
                self.answers |= {answer.correlation_id: answer for answer in frame.answers.answers}
                self.updates += frame.event.updates


async def test_a_trading_session_answers_in_order_and_tells_its_own_events(
    channel: grpc.aio.Channel, judy: Person, mallory: Person, venue: Venue, rest: Rest
) -> None:
    mine, theirs = Session(channel, judy), Session(channel, mallory)
    await mine.start()
    await theirs.start()
    with venue.paused("bot"):
        price = inside(rest)
        await mine.send(
            Command(correlation_id="1", place=order(judy, type_pb2.SIDE_SELL, price, "0.3", client_order_id="a")),
            Command(correlation_id="2", place=order(judy, type_pb2.SIDE_SELL, "90000", "0.1", client_order_id="b")),
        )
        await mine.until("1", "2")
        await theirs.send(Command(correlation_id="buy", place=order(mallory, type_pb2.SIDE_BUY, price, "0.2")))
        await theirs.until("buy")
        assert theirs.answers["buy"].placed.order.status == order_pb2.ORDER_STATUS_FILLED
        cancel = order_service_pb2.CancelOrderRequest(account_id=judy.account_id, client_order_id="a")
        rest_of_all = order_service_pb2.CancelAllOrdersRequest(account_id=judy.account_id)
        await mine.send(
            Command(correlation_id="3", cancel=cancel),
            Command(correlation_id="4", cancel=cancel),
            Command(correlation_id="5", cancel_all=rest_of_all),
        )
        await mine.until("3", "4", "5", updates=5)
    first = mine.answers["3"].cancelled.order
    assert (first.status, first.filled_quantity) == (order_pb2.ORDER_STATUS_CANCELLED, "0.2")
    assert mine.answers["4"].WhichOneof("answer") == "error"
    assert [each.client_order_id for each in mine.answers["5"].cancelled_all.orders] == ["b"]
    assert [(update.order.client_order_id, update.order.status) for update in mine.updates] == [
        ("a", order_pb2.ORDER_STATUS_OPEN),
        ("b", order_pb2.ORDER_STATUS_OPEN),
        ("a", order_pb2.ORDER_STATUS_PARTIALLY_FILLED),
        ("a", order_pb2.ORDER_STATUS_CANCELLED),
        ("b", order_pb2.ORDER_STATUS_CANCELLED),
    ]
    # What a session's own commands cannot do without: their fill's other side is in the answer itself.
    assert theirs.answers["buy"].placed.fills[0].trade_id == mine.updates[2].fills[0].trade_id


async def test_a_bad_command_is_answered_and_the_session_goes_on(
    channel: grpc.aio.Channel, judy: Person, mallory: Person
) -> None:
    session = Session(channel, judy)
    await session.start()
    await session.send(
        Command(correlation_id="bad", place=order(judy, type_pb2.SIDE_BUY, "1e5", "1")),
        Command(correlation_id="theirs", place=order(mallory, type_pb2.SIDE_BUY, "1", "1")),
        Command(correlation_id="good", place=order(judy, type_pb2.SIDE_BUY, "1", "1")),
        Command(correlation_id="out", cancel_all=order_service_pb2.CancelAllOrdersRequest(account_id=judy.account_id)),
    )
    await session.until("bad", "theirs", "good", "out")
    codes = {mark: answer.error.code for mark, answer in session.answers.items()}
    invalid, not_found = grpc.StatusCode.INVALID_ARGUMENT.value[0], grpc.StatusCode.NOT_FOUND.value[0]
    assert codes == {"bad": invalid, "theirs": not_found, "good": 0, "out": 0}
    assert len(session.answers["out"].cancelled_all.orders) == 1


async def test_market_data_in_a_session(channel: grpc.aio.Channel) -> None:
    call: Any = marketdata_pb2_grpc.MarketDataServiceStub(channel).Session()
    ticker = marketdata_pb2.Subscription(symbol=MARKET, channel=marketdata_pb2.CHANNEL_TICKER)
    book = marketdata_pb2.Subscription(symbol="BTC-USD", channel=marketdata_pb2.CHANNEL_BOOK)
    await call.write(marketdata_pb2.SessionRequest(add=[ticker]))
    seen: list[str] = []

    async def until(kind: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while kind not in seen:
                frame = (await call.read()).frame
                data = frame.snapshot.WhichOneof("data") if frame.HasField("snapshot") else ""
                seen.append(f"{frame.WhichOneof('frame')} {data}".strip())

    await until("snapshot ticker")
    assert seen[0] == "ready"
    await call.write(marketdata_pb2.SessionRequest(add=[book], remove=[ticker], depth=3))
    await until("snapshot book")
    await call.done_writing()
    call.cancel()


def test_lines_of_json_and_events_say_the_same(rest: Rest, venue: Venue) -> None:
    events = Rest(venue.url, events=True)
    wanted = {"symbols": ["SOL-USD"], "channels": ["CHANNEL_STATUS"]}
    kinds = []
    for way in (rest, events):
        heard = way.listen("marketdata.v1.MarketDataService.Subscribe", wanted)
        frames = heard.until(lambda frames: len(frames) >= 2, "ready and a snapshot")
        heard.close()
        market = frames[1]["snapshot"]["market"]
        # Prices move between the two, and the first may come between them.
        del market["markPrice"], market["indexPrice"]
        kinds.append([json.dumps(market), "ready" in frames[0]])
    events.close()
    assert kinds[0] == kinds[1]
