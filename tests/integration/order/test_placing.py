"""Placing and cancelling over gRPC: one right answer for every request."""

import uuid
from typing import Any

import grpc
import pytest

from db.session import connect
from tests.integration.order.conftest import Floor, order
from tests.unit.transport.conftest import refusal_of
from venue.account.v1 import account_pb2
from venue.engine.v1 import engine_pb2 as pb
from venue.marketdata.v1 import marketdata_pb2
from venue.order.v1 import order_pb2
from venue.order.v1 import order_service_pb2 as wire
from venue.type.v1 import type_pb2

SELL = type_pb2.SIDE_SELL
MARKET: dict[str, Any] = {
    "type": order_pb2.ORDER_TYPE_MARKET,
    "time_in_force": order_pb2.TIME_IN_FORCE_IOC,
    "price": "",
}
FOK = order_pb2.TIME_IN_FORCE_FOK


async def test_two_users_trade_to_the_last_digit(floor: Floor) -> None:
    ana, ben = floor.ana, floor.ben
    resting = await ana.place(quantity="0.5", client_order_id="bid-1")
    taken = await ben.place(account_id=ben.demo, side=SELL, quantity="0.2", price="49999")
    assert (resting.order.status, taken.order.status) == (order_pb2.ORDER_STATUS_OPEN, order_pb2.ORDER_STATUS_FILLED)
    (fill,) = taken.fills
    assert (fill.price, fill.quantity, fill.fee, fill.fee_asset) == ("50000", "0.2", "20", "USD")
    assert (taken.order.average_price, taken.order.filled_quantity, taken.order.fee) == ("50000", "0.2", "20")
    assert fill.liquidity == order_pb2.LIQUIDITY_TAKER
    mine = (await ana.call("GetOrder", order_id=resting.order.order_id)).order
    assert (mine.status, mine.remaining_quantity, mine.fee) == (order_pb2.ORDER_STATUS_PARTIALLY_FILLED, "0.3", "10")
    by_label = (await ana.call("GetOrder", account_id=ana.demo, client_order_id="bid-1")).order
    assert by_label == mine
    fills = (await ana.call("ListFills", account_id=ana.demo, min_position=taken.position)).fills
    assert [(f.trade_id, f.order_id, f.fee, f.liquidity) for f in fills] == [
        (fill.trade_id, resting.order.order_id, "10", order_pb2.LIQUIDITY_MAKER)
    ]
    cancelled = await ana.cancel(account_id=ana.demo, client_order_id="bid-1")
    assert cancelled.order.status == order_pb2.ORDER_STATUS_CANCELLED
    closed = (await ana.call("GetOrder", order_id=resting.order.order_id, min_position=cancelled.position)).order
    assert closed == cancelled.order


REJECTS: dict[str, dict[str, Any]] = {
    "PRICE_OFF_TICK": {"price": "50000.001"},
    "PRICE_OUT_OF_RANGE": {"price": "100000001"},
    "QUANTITY_OFF_LOT": {"quantity": "0.000001"},
    "QUANTITY_TOO_LARGE": {"quantity": "1001"},
    "EXPIRE_TIME_PAST": {"time_in_force": order_pb2.TIME_IN_FORCE_GTD, "expire_time": {"seconds": 1}},
    "DUPLICATE_CLIENT_ORDER_ID": {"client_order_id": "taken"},
    "POST_ONLY_WOULD_TRADE": {"price": "50100", "post_only": True},
    "NOT_FILLABLE": {"price": "50100", "quantity": "7", "time_in_force": FOK},
    "INSUFFICIENT_FUNDS": {"quantity": "999"},
    "QUANTITY_TOO_SMALL": {**MARKET, "quantity": "", "quote_amount": "0.01"},
    "NO_LIQUIDITY": {**MARKET, "symbol": "ETH-USD"},
}


async def test_what_the_market_does_not_take_is_rejected_with_its_reason(floor: Floor) -> None:
    ana, ben = floor.ana, floor.ben
    await ben.place(account_id=ben.demo, side=SELL, price="50100", quantity="1")
    await ana.place(client_order_id="taken", price="49000")
    given = {}
    for name, changes in REJECTS.items():
        answer = await ana.place(**changes)
        assert answer.order.status == order_pb2.ORDER_STATUS_REJECTED, name
        assert answer.fills == []
        given[name] = order_pb2.RejectReason.Name(answer.order.reject_reason)
    assert given == {name: f"REJECT_REASON_{name}" for name in REJECTS}


async def test_the_state_of_market_and_account_comes_first(floor: Floor) -> None:
    ana, room = floor.ana, floor.room
    resting = await ana.place(price="49000")

    async def set_state(state: "marketdata_pb2.MarketState.ValueType") -> None:
        await room.submit(pb.Command(set_market_state=pb.SetMarketState(symbol="BTC-USD", state=state)))

    await set_state(marketdata_pb2.MARKET_STATE_CANCEL_ONLY)
    cancel_only = await ana.place(price="0.001")
    await set_state(marketdata_pb2.MARKET_STATE_HALTED)
    halted = await ana.place(price="0.001")
    refusal = await ana.refused("CancelOrder", order_id=resting.order.order_id)
    frozen = pb.SetAccountStatus(account_id=ana.demo, status=account_pb2.ACCOUNT_STATUS_FROZEN)
    await room.submit(pb.Command(set_account_status=frozen))
    inactive = await ana.place(price="0.001")
    reasons = [answer.order.reject_reason for answer in (inactive, halted, cancel_only)]
    assert reasons == [1, 2, 4]
    assert (refusal.code, refusal.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MARKET_HALTED")
    await set_state(marketdata_pb2.MARKET_STATE_OPEN)
    assert (await ana.cancel(resting.order.order_id)).order.status == order_pb2.ORDER_STATUS_CANCELLED


async def test_self_trade_is_prevented(floor: Floor) -> None:
    ana = floor.ana
    await ana.place()
    answer = await ana.place(side=SELL, price="49000")
    assert answer.fills == []
    assert (answer.order.status, answer.order.cancel_reason) == (
        order_pb2.ORDER_STATUS_CANCELLED,
        order_pb2.CANCEL_REASON_SELF_TRADE,
    )


INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "quantity 0": ({"quantity": "0"}, "quantity"),
    "negative": ({"quantity": "-1"}, "quantity"),
    "exponent": ({"price": "1e5"}, "price"),
    "not a number": ({"price": "NaN"}, "price"),
    "plus": ({"quantity": "+1"}, "quantity"),
    "space": ({"quantity": " 1"}, "quantity"),
    "underscore": ({"quantity": "1_0"}, "quantity"),
    "Arabic digits": ({"quantity": "١"}, "quantity"),
    "nineteen digits": ({"quantity": "1" * 19}, "quantity"),
    "ten thousand digits": ({"price": "1" * 10_000}, "price"),
    "no side": ({"side": 0}, "side"),
    "side 99": ({"side": 99}, "side"),
    "no account": ({"account_id": ""}, "account_id"),
    "label": ({"client_order_id": "a b"}, "client_order_id"),
    "request id": ({"request_id": "mine"}, "request_id"),
    "limit without a price": ({"price": ""}, "price"),
    "NUL": ({"client_order_id": "a\0"}, "client_order_id"),
}


async def test_what_the_contract_forbids_is_invalid_and_changes_nothing(floor: Floor) -> None:
    ana = floor.ana
    sequence = floor.room.engines[2].sequencer.exchange.clock.sequence  # type: ignore[union-attr]
    for name, (changes, field) in INVALID.items():
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await ana.place(**changes)
        assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT, name
        assert field in refusal_of(raised.value).fields, name
    assert floor.room.engines[2].sequencer.exchange.clock.sequence == sequence  # type: ignore[union-attr]


async def test_what_is_not_there_or_not_mine_is_not_found(floor: Floor) -> None:
    ana, ben = floor.ana, floor.ben
    theirs = await ben.place(account_id=ben.demo)
    refusals = {
        "account": await ana.refused("PlaceOrder", **fields_of(order("demo-nobody"))),
        "nonsense account": await ana.refused("PlaceOrder", **fields_of(order("' OR 1=1 --"))),
        "their account": await ana.refused("PlaceOrder", **fields_of(order(ben.demo))),
        "symbol": await ana.refused("PlaceOrder", **fields_of(order(ana.demo, symbol="NO-SUCH"))),
        "cancel theirs": await ana.refused("CancelOrder", order_id=theirs.order.order_id),
        "cancel nonsense": await ana.refused("CancelOrder", order_id="2-x"),
        "cancel elsewhere": await ana.refused("CancelOrder", order_id="7-1"),
        "get theirs": await ana.refused("GetOrder", order_id=theirs.order.order_id),
        "list theirs": await ana.refused("ListOrders", account_id=ben.demo),
        "fills of theirs": await ana.refused("ListFills", account_id=ben.demo),
        "fills of nonsense": await ana.refused("ListFills", account_id=ana.demo, order_id="nonsense"),
        "cancel all of theirs": await ana.refused("CancelAllOrders", account_id=ben.demo),
        "outcome of theirs": await ana.refused("GetRequestOutcome", account_id=ben.demo, request_id=str(uuid.uuid4())),
    }
    assert {name: refusal.code.name for name, refusal in refusals.items()} == dict.fromkeys(refusals, "NOT_FOUND")
    reasons = {name: refusal.info.reason for name, refusal in refusals.items()}
    assert reasons == {
        name: "MARKET_NOT_FOUND"
        if name == "symbol"
        else "ORDER_NOT_FOUND"
        if name.startswith(("cancel t", "cancel n", "cancel e", "get", "fills of n"))
        else "ACCOUNT_NOT_FOUND"
        for name in refusals
    }
    assert (await ben.call("GetOrder", order_id=theirs.order.order_id)).order.status == order_pb2.ORDER_STATUS_OPEN


def fields_of(request: wire.PlaceOrderRequest) -> dict[str, Any]:
    return {field.name: value for field, value in request.ListFields()}


async def test_a_final_order_is_not_cancelled_again(floor: Floor) -> None:
    ana, ben = floor.ana, floor.ben
    filled = await ana.place()
    await ben.place(account_id=ben.demo, side=SELL)
    cancelled = await ana.place()
    await ana.cancel(cancelled.order.order_id)
    rejected = await ana.place(price="0.001")
    for answer in (filled, cancelled, rejected):
        refusal = await ana.refused("CancelOrder", order_id=answer.order.order_id)
        assert (refusal.code, refusal.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ORDER_CLOSED")
        assert dict(refusal.info.metadata) == {"order_id": answer.order.order_id}


async def test_a_repeated_request_gets_the_first_answer(floor: Floor) -> None:
    ana = floor.ana
    placing, cancelling, clearing = (str(uuid.uuid4()) for _ in range(3))
    first = await ana.place(request_id=placing)
    again = await ana.place(request_id=placing)
    assert (first.replayed, again.replayed) == (False, True)
    again.replayed = False
    assert again == first
    cancelled = await ana.cancel(first.order.order_id, request_id=cancelling)
    assert (await ana.cancel(first.order.order_id, request_id=cancelling)).order == cancelled.order
    await ana.place()
    cleared = await ana.call("CancelAllOrders", account_id=ana.demo, request_id=clearing)
    await ana.place()
    repeated = await ana.call("CancelAllOrders", account_id=ana.demo, request_id=clearing)
    assert (repeated.orders, repeated.replayed) == (cleared.orders, True)
    refusal = await ana.refused("CancelAllOrders", account_id=ana.demo, request_id=placing)
    assert (refusal.code, refusal.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
    assert refusal.fields == ["request_id"]
    outcomes = {
        kind: await ana.call("GetRequestOutcome", account_id=ana.demo, request_id=request_id)
        for kind, request_id in (("placed", placing), ("cancelled", cancelling), ("cancelled_all", clearing))
    }
    again.replayed = True
    assert outcomes["placed"].placed == again
    assert outcomes["cancelled"].cancelled.order == cancelled.order
    assert outcomes["cancelled_all"].cancelled_all == repeated
    refusal = await ana.refused("GetRequestOutcome", account_id=ana.demo, request_id=str(uuid.uuid4()))
    assert (refusal.code, refusal.info.reason) == (grpc.StatusCode.NOT_FOUND, "REQUEST_NOT_FOUND")
    labelled = await ana.place(client_order_id="by-label")
    found = await ana.call("GetRequestOutcome", account_id=ana.demo, client_order_id="by-label")
    assert found.placed.order == labelled.order


async def test_changes_of_an_account_have_an_outcome(floor: Floor) -> None:
    ana = floor.ana
    empty, opened, renamed, closed = f"demo-{uuid.uuid4().hex}", *(str(uuid.uuid4()) for _ in range(3))
    for command in (
        pb.Command(
            open_account=pb.OpenAccount(account_id=empty, type=account_pb2.ACCOUNT_TYPE_DEMO, request_id=opened)
        ),
        pb.Command(rename_account=pb.RenameAccount(account_id=empty, name="Desk", request_id=renamed)),
        pb.Command(close_account=pb.CloseAccount(account_id=empty, request_id=closed)),
    ):
        command.user_id = ana.user_id
        await floor.room.submit(command)
    outcomes = [
        await ana.call("GetRequestOutcome", account_id=empty, request_id=request_id)
        for request_id in (opened, renamed, closed)
    ]
    assert [each.WhichOneof("outcome") for each in outcomes] == ["opened_account", "updated_account", "closed_account"]
    told = outcomes[0].opened_account, outcomes[1].updated_account, outcomes[2].closed_account
    assert [(each.account.account_id, each.account.name, each.replayed) for each in told] == [
        (empty, "", True),
        (empty, "Desk", True),
        (empty, "Desk", True),
    ]
    # Who does not know yet what the new account is called asks by one that he knows.
    unnamed = await ana.call("GetRequestOutcome", account_id=ana.demo, request_id=opened)
    assert unnamed.opened_account == outcomes[0].opened_account


async def test_of_what_the_journal_was_let_go_of_nothing_else_is_told(floor: Floor, database_url: str) -> None:
    ana, ben = floor.ana, floor.ben
    old = await ana.place(client_order_id="old")
    await ana.cancel(old.order.order_id)
    # The row behind the gap has several commands: who counts from its end finds one of another user.
    await ben.call("PlaceOrders", orders=[order(ben.demo) for _ in range(5)])
    found = await ana.call("GetRequestOutcome", account_id=ana.demo, client_order_id="old")
    assert found.placed.order == old.order
    async with await connect(database_url, application_name="test") as owner, owner.transaction():
        await owner.execute("SET LOCAL venue.maintenance = 'on'")
        newest = "SELECT max(first_sequence) FROM journal WHERE partition = 2"
        gone = await owner.execute(f"DELETE FROM journal WHERE partition = 2 AND last_sequence < ({newest})")
        assert gone.rowcount > 1
    found = await ana.call("GetRequestOutcome", account_id=ana.demo, client_order_id="old")
    assert found.placed.order.order_id == old.order.order_id
    assert found.placed.order.status == order_pb2.ORDER_STATUS_CANCELLED
    assert found.placed.replayed


async def test_a_batch_has_an_outcome_for_each_item(floor: Floor) -> None:
    ana, ben = floor.ana, floor.ben
    batch = str(uuid.uuid4())
    orders = [
        order(ana.demo, price="40001"),
        order(ana.demo, price="0.001"),
        order(ben.demo),
        order(ana.demo, reduce_only=True),
        order(ana.live, price="40002"),
        order(ana.demo, price="40003", request_id=str(uuid.uuid4())),
    ]
    answer = await ana.call("PlaceOrders", orders=orders, request_id=batch)
    told = [result.placed.order.status if result.HasField("placed") else result.error.code for result in answer.results]
    resting, rejected = order_pb2.ORDER_STATUS_OPEN, order_pb2.ORDER_STATUS_REJECTED
    assert told == [resting, rejected, 5, rejected, 2, 2]
    assert answer.results[3].placed.order.reject_reason == order_pb2.REJECT_REASON_NOT_REDUCING
    assert answer.results[4].placed.order.order_id.startswith("1-")
    again = await ana.call("PlaceOrders", orders=orders, request_id=batch)
    assert [r.placed.replayed for r in again.results] == [True, True, False, True, True, True]
    assert [r.placed.order for r in again.results] == [r.placed.order for r in answer.results]
    assert len(floor.room.engines[2].sequencer.exchange.floor.orders) == 2  # type: ignore[union-attr]


async def test_a_batch_keeps_what_one_environment_did_when_the_other_is_away(floor: Floor) -> None:
    ana = floor.ana
    await floor.room.leaders[0].stop()
    answer = await ana.call("PlaceOrders", orders=[order(ana.live), order(ana.demo)])
    away, placed = answer.results
    assert (away.error.code, placed.placed.order.status) == (14, order_pb2.ORDER_STATUS_OPEN)
    refusal = await ana.refused("PlaceOrders", orders=[order(ana.live)])
    assert refusal.code == grpc.StatusCode.UNAVAILABLE


async def test_cancel_all_takes_a_market_and_a_side(floor: Floor) -> None:
    ana = floor.ana
    placed = [
        await ana.place(price="40000"),
        await ana.place(side=SELL, price="60000"),
        await ana.place(symbol="ETH-USD", price="3000"),
    ]
    ids = [answer.order.order_id for answer in placed]

    async def clear(**fields: Any) -> list[str]:
        answer = await ana.call("CancelAllOrders", account_id=ana.demo, **fields)
        return [found.order_id for found in answer.orders]

    assert await clear(symbol="BTC-USD", side=SELL) == ids[1:2]
    assert await clear(symbol="BTC-USD") == ids[:1]
    assert await clear() == ids[2:]
    assert await clear() == []


async def test_by_a_label_the_open_order_is_told_and_not_the_later_one_that_was_rejected_for_it(floor: Floor) -> None:
    ana = floor.ana
    resting = (await ana.place(client_order_id="mine")).order
    twice = (await ana.place(client_order_id="mine")).order
    assert twice.reject_reason == order_pb2.REJECT_REASON_DUPLICATE_CLIENT_ORDER_ID
    found = await ana.call("GetRequestOutcome", account_id=ana.demo, client_order_id="mine")
    assert found.placed.order.order_id == resting.order_id
    assert (await ana.call("GetOrder", account_id=ana.demo, client_order_id="mine")).order == resting


async def test_the_outcome_of_a_request_is_that_of_its_account(floor: Floor) -> None:
    ana, request_id, batch = floor.ana, str(uuid.uuid4()), str(uuid.uuid4())
    other = await floor.room.open_account(2, ana.user_id)
    placed = (await ana.place(account_id=other, request_id=request_id)).order
    both = [order(other), order(ana.demo)]
    await ana.call("PlaceOrders", orders=both, request_id=batch)
    found = await ana.call("GetRequestOutcome", account_id=other, request_id=request_id)
    assert found.placed.order == placed
    refusal = await ana.refused("GetRequestOutcome", account_id=ana.demo, request_id=request_id)
    assert (refusal.code, refusal.info.reason) == (grpc.StatusCode.NOT_FOUND, "REQUEST_NOT_FOUND")
    # Of a batch for two accounts both are told, but to who is bound to one.
    whole = await ana.call("GetRequestOutcome", account_id=ana.demo, request_id=batch)
    assert [result.placed.order.account_id for result in whole.placed_batch.results] == [other, ana.demo]
