"""The states of a market over gRPC: what each refuses, the auction as its parties see it, and what a new leader finds."""

from typing import Any

import grpc
import pytest

from tests.integration.order.conftest import Floor, order
from venue.engine.v1 import engine_pb2 as pb
from venue.marketdata.v1 import marketdata_pb2 as market_pb
from venue.order.v1 import order_pb2
from venue.type.v1 import type_pb2

SELL = type_pb2.SIDE_SELL
STATES: dict[str, Any] = {
    "MARKET_PRE_OPEN": {"time_in_force": order_pb2.TIME_IN_FORCE_IOC},
    "MARKET_POST_ONLY": {},
    "MARKET_CANCEL_ONLY": {},
    "MARKET_HALTED": {},
    "MARKET_CLOSED": {},
}


async def set_state(floor: Floor, name: str) -> None:
    state = market_pb.MarketState.Value(f"MARKET_STATE_{name}")
    await floor.room.submit(pb.Command(set_market_state=pb.SetMarketState(symbol="BTC-USD", state=state)))


async def market(floor: Floor) -> market_pb.Market:
    answer = await floor.room.engines[2].query(pb.QueryRequest(markets=pb.MarketsQuery()))
    return next(market for market in answer.markets if market.symbol == "BTC-USD")


@pytest.mark.parametrize("reason", STATES)
async def test_each_state_refuses_with_its_reason(floor: Floor, reason: str) -> None:
    await set_state(floor, reason.removeprefix("MARKET_"))
    placed = (await floor.ana.place(**STATES[reason])).order
    assert order_pb2.RejectReason.Name(placed.reject_reason) == f"REJECT_REASON_{reason}"
    preview = await floor.ana.call("PreviewOrder", order=order(floor.ana.demo, **STATES[reason]))
    assert preview.order.reject_reason == placed.reject_reason


async def test_an_auction_fills_both_sides_at_one_price(floor: Floor) -> None:
    ana, ben = floor.ana, floor.ben
    await set_state(floor, "PRE_OPEN")
    bid = (await ana.place(quantity="0.3", price="50200")).order
    offer = (await ben.place(account_id=ben.demo, side=SELL, quantity="0.1", price="50000")).order
    assert (bid.status, offer.status) == (order_pb2.ORDER_STATUS_OPEN, order_pb2.ORDER_STATUS_OPEN)
    listed = await market(floor)
    assert (listed.auction_price, listed.auction_quantity) == ("50200", "0.1")
    await set_state(floor, "OPEN")
    position = (await ana.cancel(bid.order_id)).position
    for user, account_id, liquidity in (
        (ana, ana.demo, order_pb2.LIQUIDITY_MAKER),
        (ben, ben.demo, order_pb2.LIQUIDITY_TAKER),
    ):
        (fill,) = (await user.call("ListFills", account_id=account_id, min_position=position)).fills
        assert (fill.price, fill.quantity, fill.liquidity) == ("50200", "0.1", liquidity)
    filled = (await ben.call("GetOrder", order_id=offer.order_id, min_position=position)).order
    assert (filled.status, filled.average_price) == (order_pb2.ORDER_STATUS_FILLED, "50200")


async def test_a_market_that_ended_cancels_what_rested_and_stays_ended(floor: Floor) -> None:
    resting = (await floor.ana.place()).order
    await set_state(floor, "CLOSED")
    ended = (await floor.ana.call("GetOrder", order_id=resting.order_id)).order
    assert ended.cancel_reason == order_pb2.CANCEL_REASON_MARKET_CLOSED
    refusal = await floor.ana.refused("CancelOrder", order_id=resting.order_id)
    assert (refusal.code, refusal.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ORDER_CLOSED")


async def test_hours_are_listed_and_refuse_outside_themselves(floor: Floor) -> None:
    # A second of the week that is not now: of one that is, the market would be open.
    listed = await market(floor)
    assert (list(listed.trading_hours), listed.state) == ([], market_pb.MARKET_STATE_OPEN)
    weekdays = [1, 3]
    hours = [market_pb.TradingHours(weekday=day, open_second=5, close_second=6, auction_seconds=1) for day in weekdays]
    await floor.room.submit(
        pb.Command(set_trading_hours=pb.SetTradingHours(symbol="BTC-USD", hours=hours)),
    )
    listed = await market(floor)
    assert (list(listed.trading_hours), listed.next_state_time.seconds > 0) == (hours, True)
    if listed.state == market_pb.MARKET_STATE_OUTSIDE_HOURS:
        placed = (await floor.ana.place()).order
        assert placed.reject_reason == order_pb2.REJECT_REASON_MARKET_CLOSED
