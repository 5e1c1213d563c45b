"""A real exchange's order flow through journal, bus and streams: whoever follows has the engine's book, through reconnects."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import islice
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration

from servers.domain.identifiers import order_id
from servers.domain.terms import Side
from servers.engine.messages import book_message
from servers.engine.replica import Replica
from servers.replay.flow import Action, Cancel, Count, read_flow
from tests.integration.marketdata.stand import Stand, WitnessedLeader, sides_of, until
from tests.integration.replica.leader import PARTITION, Leader
from venue.account.v1 import account_pb2
from venue.engine.v1 import engine_pb2
from venue.marketdata.v1 import marketdata_pb2 as pb
from venue.order.v1 import order_pb2, order_service_pb2
from venue.type.v1 import type_pb2
from venue_sdk.market import MarketState

SYMBOL = "BTC-USD-REPLAY"
FILE = "bitstamp-btcusd-2015-05-01-orders.csv.xz"
SIDES = {Side.BUY: type_pb2.SIDE_BUY, Side.SELL: type_pb2.SIDE_SELL}
ACCOUNTS = {side: [f"demo-{side.name.lower()}-{at}" for at in range(4)] for side in SIDES}
ACTIONS = 4_000
BATCH = 50
STAGE = 250
# How many messages a reader takes before he is cut off.
MESSAGES = 6


def definitions() -> list[engine_pb2.Command]:
    """The replay's market, and accounts on either side: nobody in the record is known, so nobody trades with himself."""
    market = pb.Market(
        symbol=SYMBOL,
        kind=pb.MARKET_KIND_SPOT,
        state=pb.MARKET_STATE_OPEN,
        base_asset="RBTC",
        quote_asset="RUSD",
        tick_size="0.01",
        lot_size="0.00000001",
        min_quantity="0.00000001",
        max_quantity="10000",
        max_price="100000",
        maker_fee_rate="0.001",
        taker_fee_rate="0.002",
    )
    funds = [engine_pb2.Amount(asset=asset, amount="100000000") for asset in ("RBTC", "RUSD")]
    return [
        engine_pb2.Command(define_asset=engine_pb2.DefineAsset(symbol="RBTC", scale=8, display_scale=8)),
        engine_pb2.Command(define_asset=engine_pb2.DefineAsset(symbol="RUSD", scale=10, display_scale=2)),
        engine_pb2.Command(define_market=engine_pb2.DefineMarket(market=market)),
        *(
            engine_pb2.Command(
                user_id=f"user-{account}",
                open_account=engine_pb2.OpenAccount(
                    account_id=account, type=account_pb2.ACCOUNT_TYPE_DEMO, opening=funds
                ),
            )
            for accounts in ACCOUNTS.values()
            for account in accounts
        ),
    ]


class Recording:
    """The record's orders as the leader's commands; remembers the checksum of the book after each batch."""

    def __init__(self, leader: WitnessedLeader) -> None:
        self.leader = leader
        self.checksums: dict[int, int] = {}
        self._numbers: dict[int, int] = {}

    async def play(self, actions: list[Action]) -> None:
        for first in range(0, len(actions), BATCH):
            await self.leader.commit([self._command(action) for action in actions[first : first + BATCH]])
            await asyncio.sleep(0)

    def _command(self, action: Action) -> engine_pb2.Command:
        if isinstance(action, Cancel):
            # The order's own id is known by the time that this is executed.
            recorded = order_service_pb2.CancelOrderRequest(order_id=str(action.number))
            return engine_pb2.Command(cancel_order=recorded)
        accounts = ACCOUNTS[action.side]
        order = order_service_pb2.PlaceOrderRequest(
            account_id=accounts[action.number % len(accounts)],
            symbol=SYMBOL,
            side=SIDES[action.side],
            type=order_pb2.ORDER_TYPE_LIMIT,
            time_in_force=order_pb2.TIME_IN_FORCE_GTC,
            price=action.price,
            quantity=action.quantity,
            client_order_id=str(action.number),
        )
        return engine_pb2.Command(user_id=f"user-{order.account_id}", place_order=order)

    def execute(self, message: engine_pb2.Command) -> bool:
        """In the leader's place: an order that is gone already cannot be cancelled, and nothing is appended for it."""
        if message.HasField("cancel_order"):
            message.cancel_order.order_id = order_id(PARTITION, self._numbers[int(message.cancel_order.order_id)])
        taken = Leader.execute(self.leader, message)
        if taken and message.HasField("place_order"):
            self._numbers[int(message.place_order.client_order_id)] = message.sequence
        self.checksums[self.leader.exchange.clock.sequence] = book_message(self.leader.exchange, SYMBOL, 10).checksum
        return taken


class Follower:
    """A client of the stream, as the SDK and examples/python/exact_book.py keep it, with the trades it was told."""

    def __init__(self, depth: int, messages_max: int = 0) -> None:
        self.state = MarketState(depth)
        self.trades: list[str] = []
        self.streams = 0
        self.checked: list[tuple[int, int]] = []
        self._depth = depth
        self._messages_max = messages_max

    async def follow(self, stand: Stand, **options: object) -> None:
        """Read on for ever, on one stream after another."""
        while True:
            request = pb.SubscribeRequest(
                symbols=[SYMBOL],
                channels=[pb.CHANNEL_BOOK, pb.CHANNEL_TRADES],
                depth=self._depth,
                resume_after=self.state.position,
                **options,  # type: ignore[arg-type]
            )
            call = stand.stub.Subscribe(request)
            self.streams += 1
            taken = 0
            async for message in call:
                self.take(message)
                taken += 1
                if taken == self._messages_max:
                    break
            call.cancel()

    def take(self, message: pb.SubscribeResponse) -> None:
        for change in self.state.take(message):
            self.trades += [trade.trade_id for trade in change.trades]
            if change.channel == "book":
                book = self.state.books[SYMBOL]
                self.checked.append((book.sequence, book.checksum()))

    def agrees(self, leader: WitnessedLeader) -> bool:
        book = self.state.books.get(SYMBOL)
        return book is not None and (book.best_bids(), book.best_asks()) == sides_of(leader.book(SYMBOL, self._depth))


@asynccontextmanager
async def following(follower: Follower, stand: Stand, **options: object) -> AsyncIterator[None]:
    task = asyncio.create_task(follower.follow(stand, **options))
    try:
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_book_from_the_stream_is_the_engines_at_every_step_through_reconnects(
    stand: Stand, projecting: Replica, order_flow: Path, pytestconfig: pytest.Config
) -> None:
    actions = list(islice(read_flow(order_flow / FILE, Count()), None if pytestconfig.option.long else ACTIONS))
    recording = Recording(stand.leader)
    await stand.leader.commit(definitions())
    stand.leader.execute = recording.execute  # type: ignore[method-assign]
    views = stand.data.tail(0).views
    await until(lambda: SYMBOL in views and views[SYMBOL].loaded)
    cut_off, deep, narrow = Follower(50, MESSAGES), Follower(5_000), Follower(10)
    async with (
        following(cut_off, stand, joined=True, window=Duration()),
        following(deep, stand),
        following(narrow, stand, window=Duration(nanos=10_000_000)),
    ):
        await until(lambda: all(one.streams and SYMBOL in one.state.books for one in (cut_off, deep, narrow)))
        for first in range(0, len(actions), STAGE):
            await recording.play(actions[first : first + STAGE])
            # In the middle of the flow too; and so that none is done with it in a few messages, however busy the machine is.
            await until(lambda: cut_off.agrees(stand.leader))
        count = stand.leader.exchange.clock.trade_number
        everything = [f"{PARTITION}-t{number}" for number in range(1, count + 1)]
        for one in (cut_off, deep, narrow):
            await until(lambda one=one: one.agrees(stand.leader) and one.trades == everything)  # type: ignore[misc]
    assert count > len(actions) // 200
    assert cut_off.streams > 4
    assert deep.streams == narrow.streams == 1
    assert deep.state.gaps == narrow.state.gaps == []
    assert {gap.gap.reason for gap in cut_off.state.gaps} == {"NOT_KEPT"}
    for one in (cut_off, deep, narrow):
        assert len(one.checked) > 10
        assert all(recording.checksums.get(sequence, checksum) == checksum for sequence, checksum in one.checked)
