"""Amending, replacing and previewing orders, and the dead-man's switch, over gRPC."""

import uuid
from typing import Any

import grpc
import pytest

from servers.domain.state import state_hash
from tests.integration.engine.leading import until
from tests.integration.order.conftest import Floor, order
from venue.engine.v1 import engine_pb2 as pb
from venue.marketdata.v1 import marketdata_pb2
from venue.order.v1 import order_pb2
from venue.type.v1 import type_pb2

SELL = type_pb2.SIDE_SELL


async def test_an_amended_order_is_the_same_order_everywhere(floor: Floor) -> None:
    ana, ben = floor.ana, floor.ben
    placed = (await ana.place(quantity="0.5", client_order_id="bid")).order
    await ben.place(account_id=ben.demo, side=SELL, quantity="0.1")
    smaller = await ana.call("AmendOrder", account_id=ana.demo, client_order_id="bid", quantity="0.3")
    assert (smaller.order.order_id, smaller.order.quantity) == (placed.order_id, "0.3")
    assert (smaller.order.filled_quantity, smaller.order.remaining_quantity, smaller.fills) == ("0.1", "0.2", [])
    await ben.place(account_id=ben.demo, side=SELL, quantity="0.05", price="50100")
    dearer = await ana.call("AmendOrder", order_id=placed.order_id, price="50100")
    assert [(fill.price, fill.quantity, fill.liquidity) for fill in dearer.fills] == [
        ("50100", "0.05", order_pb2.LIQUIDITY_TAKER)
    ]
    assert (dearer.order.remaining_quantity, dearer.order.client_order_id) == ("0.15", "bid")
    assert (await ana.call("GetOrder", order_id=placed.order_id)).order == dearer.order
    cancelled = await ana.cancel(placed.order_id)
    final = await ana.call("GetOrder", order_id=placed.order_id, min_position=cancelled.position)
    assert (final.order.price, final.order.quantity) == ("50100", "0.3")


async def test_an_amend_is_repeated_as_it_was_answered(floor: Floor) -> None:
    ana = floor.ana
    placed = (await ana.place()).order
    change: dict[str, Any] = {"order_id": placed.order_id, "price": "49000", "request_id": str(uuid.uuid4())}
    first = await ana.call("AmendOrder", **change)
    again = await ana.call("AmendOrder", **change)
    assert (first.replayed, again.replayed) == (False, True)
    again.replayed = False
    assert again == first
    refusal = await ana.refused("AmendOrder", **{**change, "price": "48000"})
    assert refusal.info.reason == "REQUEST_ID_REUSED"
    outcome = await ana.call("GetRequestOutcome", account_id=ana.demo, request_id=change["request_id"])
    assert outcome.amended.order == first.order


async def test_an_amend_that_is_refused_says_why_and_changes_nothing(floor: Floor) -> None:
    ana, ben = floor.ana, floor.ben
    await ben.place(account_id=ben.demo, side=SELL, price="50100")
    placed = (await ana.place(quantity="0.5", post_only=True)).order
    await ben.place(account_id=ben.demo, side=SELL, quantity="0.1")
    before = (await ana.call("GetOrder", order_id=placed.order_id)).order
    refused = {
        "PRICE_OFF_TICK": {"price": "50000.001"},
        "PRICE_OUT_OF_RANGE": {"price": "100000001"},
        "QUANTITY_OFF_LOT": {"quantity": "0.400001"},
        "QUANTITY_TOO_LARGE": {"quantity": "1001"},
        "POST_ONLY_WOULD_TRADE": {"price": "50100"},
        "INSUFFICIENT_FUNDS": {"quantity": "100"},
    }
    for reason, change in refused.items():
        refusal = await ana.refused("AmendOrder", order_id=placed.order_id, **change)
        assert (refusal.code, refusal.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "AMEND_REFUSED")
        assert dict(refusal.info.metadata) == {"order_id": placed.order_id, "reject_reason": reason}
    below = await ana.refused("AmendOrder", order_id=placed.order_id, quantity="0.1")
    assert (below.info.reason, below.info.metadata["filled"]) == ("AMEND_BELOW_FILLED", "0.1")
    stale = await ana.refused("AmendOrder", order_id=placed.order_id, quantity="0.2", expected_version=placed.sequence)
    assert (stale.code, stale.info.reason) == (grpc.StatusCode.ABORTED, "ORDER_CHANGED")
    assert stale.info.metadata["sequence"] == str(before.sequence)
    assert (await ana.call("GetOrder", order_id=placed.order_id)).order == before
    fresh = await ana.call("AmendOrder", order_id=placed.order_id, quantity="0.2", expected_version=before.sequence)
    assert fresh.order.remaining_quantity == "0.1"


@pytest.mark.parametrize("method", ["AmendOrder", "ReplaceOrder"])
async def test_only_an_open_order_of_the_caller_s_own_is_changed(floor: Floor, method: str) -> None:
    ana, ben = floor.ana, floor.ben
    change: dict[str, Any] = {"price": "49000"} if method == "AmendOrder" else {"order": order(ben.demo)}
    mine = (await ana.place()).order
    theirs = await ben.refused(method, order_id=mine.order_id, **change)
    nonsense = await ben.refused(method, order_id="no-such", **change)
    done = (await ben.place(account_id=ben.demo, side=SELL)).order
    closed = await ben.refused(method, order_id=done.order_id, **change)
    reasons = [refusal.info.reason for refusal in (theirs, nonsense, closed)]
    assert reasons == ["ORDER_NOT_FOUND", "ORDER_NOT_FOUND", "ORDER_CLOSED"]


@pytest.mark.parametrize(
    ("method", "fields", "wrong"),
    [
        ("AmendOrder", {"price": "49000"}, "order_id"),
        ("AmendOrder", {"order_id": "2-1"}, "quantity"),
        ("AmendOrder", {"order_id": "2-1", "price": "-1"}, "price"),
        ("ReplaceOrder", {"order_id": "2-1"}, "order"),
        ("CancelAllAfter", {"account_id": "demo-1"}, "timeout"),
        ("CancelAllAfter", {"account_id": "demo-1", "timeout": {"nanos": 5}}, "timeout"),
        ("CancelAllAfter", {"account_id": "demo-1", "timeout": {"seconds": 86_401}}, "timeout"),
        ("CancelAllAfter", {"account_id": "demo-1", "timeout": {"seconds": -1}}, "timeout"),
        ("CancelAllAfter", {"account_id": "demo-1", "timeout": {"seconds": 1, "nanos": 1_000_000_000}}, "timeout"),
    ],
)
async def test_what_the_contract_does_not_take_names_its_field(
    floor: Floor, method: str, fields: dict[str, Any], wrong: str
) -> None:
    refusal = await floor.ana.refused(method, **fields)
    assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, [wrong])


async def test_a_replacement_counts_what_was_filled(floor: Floor) -> None:
    ana, ben = floor.ana, floor.ben
    old = (await ana.place(quantity="0.5", client_order_id="bid")).order
    await ben.place(account_id=ben.demo, side=SELL, quantity="0.2")
    request_id = str(uuid.uuid4())
    wanted = order(ana.demo, quantity="0.5", price="50010", client_order_id="bid")
    replaced = await ana.call("ReplaceOrder", order_id=old.order_id, order=wanted, request_id=request_id)
    assert (replaced.cancelled.order_id, replaced.cancelled.cancel_reason) == (
        old.order_id,
        order_pb2.CANCEL_REASON_REPLACED,
    )
    new = replaced.order
    assert (new.quantity, new.price, new.client_order_id, new.request_id) == ("0.3", "50010", "bid", request_id)
    assert (new.parent_order_id, new.root_order_id) == (old.order_id, old.order_id)
    third = await ana.call("ReplaceOrder", order_id=new.order_id, order=order(ana.demo, price="50020"))
    assert (third.order.parent_order_id, third.order.root_order_id) == (new.order_id, old.order_id)
    again = await ana.call("ReplaceOrder", order_id=old.order_id, order=wanted, request_id=request_id)
    assert (again.replayed, again.order, again.position) == (True, new, replaced.position)
    outcome = await ana.call("GetRequestOutcome", account_id=ana.demo, request_id=request_id)
    assert outcome.replaced.order == new
    row = await ana.call("GetOrder", order_id=new.order_id, min_position=third.position)
    assert (row.order.parent_order_id, row.order.cancel_reason) == (old.order_id, order_pb2.CANCEL_REASON_REPLACED)


async def test_a_replacement_of_nothing_left_only_cancels(floor: Floor) -> None:
    ana, ben = floor.ana, floor.ben
    old = (await ana.place(quantity="0.5")).order
    await ben.place(account_id=ben.demo, side=SELL, quantity="0.2")
    replaced = await ana.call("ReplaceOrder", order_id=old.order_id, order=order(ana.demo, quantity="0.2"))
    assert not replaced.HasField("order")
    assert replaced.cancelled.cancel_reason == order_pb2.CANCEL_REASON_REQUESTED


async def test_a_replacement_that_would_be_rejected_leaves_the_old_order(floor: Floor) -> None:
    ana, room = floor.ana, floor.room
    old = (await ana.place()).order
    refused = {
        "REPLACE_MISMATCHED": order(ana.demo, side=SELL),
        "AMEND_REFUSED": order(ana.demo, quantity="999"),
        "ORDER_NOT_FOUND": order(ana.live),
    }
    for reason, wanted in refused.items():
        refusal = await ana.refused("ReplaceOrder", order_id=old.order_id, order=wanted)
        assert refusal.info.reason == reason
    halted = pb.SetMarketState(symbol="BTC-USD", state=marketdata_pb2.MARKET_STATE_HALTED)
    await room.submit(pb.Command(set_market_state=halted))
    for method, fields in (("ReplaceOrder", {"order": order(ana.demo)}), ("AmendOrder", {"price": "49000"})):
        refusal = await ana.refused(method, order_id=old.order_id, **fields)
        assert refusal.info.reason == "MARKET_HALTED"
    assert (await ana.call("GetOrder", order_id=old.order_id)).order == old


async def test_a_preview_is_what_the_placement_then_is(floor: Floor) -> None:
    ana, ben, room = floor.ana, floor.ben, floor.room
    await ben.place(account_id=ben.demo, side=SELL, quantity="0.3", price="50100")
    exchange = room.engines[2].sequencer.exchange  # type: ignore[union-attr]  # the room leads
    before = state_hash(exchange)
    wanted = order(ana.demo, quantity="0.5", price="50100", client_order_id="mine")
    told = await ana.call("PreviewOrder", order=wanted)
    assert state_hash(exchange) == before
    assert all(check.passed for check in told.checks)
    assert (told.average_price, told.remaining_quantity, told.hold_asset) == ("50100", "0.2", "USD")
    assert (told.hold, told.estimated_fee) == ("10040.04", "40.08")
    funds = told.checks[-1]
    assert (funds.check, funds.limit, funds.now) == (order_pb2.REJECT_REASON_INSUFFICIENT_FUNDS, "0", "1000000")
    placed = await ana.place(quantity="0.5", price="50100", client_order_id="mine")
    same = ("status", "filled_quantity", "remaining_quantity", "average_price", "fee")
    assert [getattr(told.order, name) for name in same] == [getattr(placed.order, name) for name in same]
    assert [(f.price, f.quantity, f.fee) for f in told.fills] == [(f.price, f.quantity, f.fee) for f in placed.fills]
    label = order_pb2.REJECT_REASON_DUPLICATE_CLIENT_ORDER_ID
    again = await ana.call("PreviewOrder", order=wanted)
    assert (again.order.status, again.order.reject_reason) == (order_pb2.ORDER_STATUS_REJECTED, label)
    assert [check.check for check in again.checks if not check.passed] == [label]
    missing = await ana.refused("PreviewOrder", order=order(ben.demo))
    assert missing.info.reason == "ACCOUNT_NOT_FOUND"


async def test_the_dead_man_s_switch_cancels_unless_it_is_set_again(floor: Floor) -> None:
    ana, ben = floor.ana, floor.ben
    mine, theirs = (await ana.place()).order, (await ben.place(account_id=ben.demo)).order
    armed = await ana.call("CancelAllAfter", account_id=ana.demo, timeout={"seconds": 30})
    assert armed.trigger_time.ToMicroseconds() > mine.create_time.ToMicroseconds() + 30_000_000
    disarmed = await ana.call("CancelAllAfter", account_id=ana.demo, timeout={})
    assert not disarmed.HasField("trigger_time")
    await ana.call("CancelAllAfter", account_id=ana.demo, timeout={"seconds": 1})
    exchange = floor.room.engines[2].sequencer.exchange  # type: ignore[union-attr]  # the room leads
    await until(lambda: len(exchange.floor.orders) == 1)
    ended = (await ana.call("GetOrder", order_id=mine.order_id)).order
    assert ended.cancel_reason == order_pb2.CANCEL_REASON_LEASE_EXPIRED
    still = (await ben.call("GetOrder", order_id=theirs.order_id)).order
    assert still.status == order_pb2.ORDER_STATUS_OPEN
    refusal = await ben.refused("CancelAllAfter", account_id=ana.demo, timeout={"seconds": 1})
    assert refusal.info.reason == "ACCOUNT_NOT_FOUND"


async def test_a_book_shows_an_iceberg_part_by_part(floor: Floor) -> None:
    ana, ben = floor.ana, floor.ben
    ice = (await ana.place(quantity="0.5", display_quantity="0.1")).order
    assert (ice.display_quantity, ice.remaining_quantity) == ("0.1", "0.5")

    async def shown() -> list[str]:
        query = pb.QueryRequest(book=pb.BookQuery(symbol="BTC-USD", depth=5))
        return [level.quantity for level in (await floor.room.engines[2].query(query)).book.bids]

    assert await shown() == ["0.1"]
    sold = await ben.place(account_id=ben.demo, side=SELL, quantity="0.25")
    assert [fill.quantity for fill in sold.fills] == ["0.1", "0.1", "0.05"]
    assert await shown() == ["0.05"]
    await ana.call("AmendOrder", order_id=ice.order_id, quantity="0.3")
    assert await shown() == ["0.05"]
    too_small = await ana.place(quantity="0.5", display_quantity="0.001")
    assert too_small.order.reject_reason == order_pb2.REJECT_REASON_QUANTITY_TOO_SMALL
    position = (await ana.cancel(ice.order_id)).position
    stored = (await ana.call("GetOrder", order_id=ice.order_id, min_position=position)).order
    assert (stored.display_quantity, stored.filled_quantity) == ("0.1", "0.25")
