"""Limits over gRPC: set by command, told with each refusal; positions; and a demo account that trades a whole coin."""

from typing import Any

import pytest

from servers.account.create_account import PAPER_FUNDS
from servers.engine.catalogue import DEMO_LIMITS, LIVE_LIMITS
from tests.integration.order.conftest import Floor, order
from venue.engine.v1 import engine_pb2 as pb
from venue.order.v1 import order_pb2
from venue.type.v1 import type_pb2

SELL = type_pb2.SIDE_SELL
# What is set for the account, the order then placed, and the check that it fails: limit, now, after.
REJECTS: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, str, str]]] = {
    "SYMBOL_NOT_ALLOWED": ({"symbols_allowed": ["ETH-USD"]}, {}, ("", "", "BTC-USD")),
    "PRICE_OUT_OF_BAND": ({"price_band_percent": "10"}, {"price": "44999"}, ("45000", "50000", "44999")),
    "QUANTITY_TOO_LARGE": ({"quantity_max": "0.009"}, {}, ("0.009", "", "0.01")),
    "NOTIONAL_TOO_LARGE": ({"notional_max": "499"}, {}, ("499", "", "500")),
    "NOT_REDUCING": ({}, {"reduce_only": True}, ("0", "0.1", "0.01")),
    "POSITION_LIMIT": ({"position_max": "5499"}, {}, ("5499", "5000", "5500")),
    "DAILY_LOSS_LIMIT": ({"daily_loss_max": "9"}, {}, ("9", "10", "10")),
}


async def set_limits(floor: Floor, **limits: Any) -> None:
    body = pb.SetLimits(account_id=floor.ana.demo, limits=order_pb2.Limits(**limits))
    await floor.room.submit(pb.Command(set_limits=body))


async def test_each_limit_rejects_and_says_what_it_met(floor: Floor) -> None:
    ana, ben = floor.ana, floor.ben
    await ben.place(account_id=ben.demo, side=SELL, price="50000", quantity="0.1")
    bought = await ana.place(quantity="0.1", price="50000")
    assert bought.order.status == order_pb2.ORDER_STATUS_FILLED
    for name, (limits, changes, (limit, now, after)) in REJECTS.items():
        await set_limits(floor, **limits)
        answer = await ana.place(**changes)
        check = answer.failed_check
        assert order_pb2.RejectReason.Name(answer.order.reject_reason) == f"REJECT_REASON_{name}"
        assert (check.check, check.passed) == (answer.order.reject_reason, False)
        assert (check.limit, check.now, check.after) == (limit, now, after), name
        preview = await ana.call("PreviewOrder", order=order(ana.demo, **changes))
        assert next(found for found in preview.checks if not found.passed) == check
    await set_limits(floor)
    placed = await ana.place()
    assert (placed.order.status, placed.HasField("failed_check")) == (order_pb2.ORDER_STATUS_OPEN, False)


async def test_limits_and_positions_are_read_from_the_engine(floor: Floor) -> None:
    ana, ben = floor.ana, floor.ben
    engine = floor.room.engines[2]
    await set_limits(floor, position_max="70000", open_orders_max=7, price_band_percent="12.5")
    rows = (await engine.query(pb.QueryRequest(limits=pb.LimitsQuery()))).limits
    assert {row.tier: row.limits for row in rows if not row.account_id} == DEMO_LIMITS
    (mine,) = [row.limits for row in rows if row.account_id]
    assert (mine.position_max, mine.open_orders_max, mine.price_band_percent) == ("70000", 7, "12.5")
    await ben.place(account_id=ben.demo, side=SELL, price="50000", quantity="0.1")
    await ana.place(quantity="0.1", price="50000")
    query = pb.PositionsQuery(user_id=ana.user_id, account_id=ana.demo)
    (position,) = (await engine.query(pb.QueryRequest(positions=query))).positions
    assert (position.symbol, position.quantity, position.average_price, position.cost) == (
        "BTC-USD",
        "0.1",
        "50000",
        "5000",
    )
    assert (position.realized_profit, position.unrealized_profit, position.day_profit) == ("-10", "0", "-10")


async def test_a_reduce_only_order_closes_the_position(floor: Floor) -> None:
    ana, ben = floor.ana, floor.ben
    await ben.place(account_id=ben.demo, side=SELL, price="50000", quantity="0.1")
    await ana.place(quantity="0.1", price="50000")
    await ben.place(account_id=ben.demo, price="49000", quantity="1")
    closed = (await ana.place(side=SELL, price="49000", quantity="0.5", reduce_only=True)).order
    assert (closed.status, closed.quantity, closed.filled_quantity) == (order_pb2.ORDER_STATUS_FILLED, "0.1", "0.1")


async def test_a_new_demo_user_can_buy_and_sell_a_coin(floor: Floor) -> None:
    ana, ben = floor.ana, floor.ben
    assert ("BTC", "10") in PAPER_FUNDS
    await ben.place(account_id=ben.demo, side=SELL, price="65000", quantity="1")
    bought = (await ana.place(price="65000", quantity="1")).order
    await ben.place(account_id=ben.demo, price="64000", quantity="1")
    sold = (await ana.place(side=SELL, price="64000", quantity="1")).order
    assert [bought.status, sold.status] == [order_pb2.ORDER_STATUS_FILLED] * 2


@pytest.mark.parametrize(("quantity", "reason"), [("0.7", 0), ("1.1", order_pb2.REJECT_REASON_POSITION_LIMIT)])
async def test_a_live_account_starts_with_the_venue_s_limits(floor: Floor, quantity: str, reason: int) -> None:
    assert (LIVE_LIMITS[""].position_max, LIVE_LIMITS[""].daily_loss_max) == ("50000", "5000")
    answer = await floor.ana.place(account_id=floor.ana.live, price="50000", quantity=quantity)
    assert answer.order.reject_reason == reason
