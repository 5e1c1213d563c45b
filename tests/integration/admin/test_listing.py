"""New assets and markets, rates and hours: two people want them, the engine has them once, and nobody wants nonsense (ADM-3)."""

from typing import Any

import pytest

from db import pending_actions
from servers.admin.listing import CREATE_MARKET, SET_FEES
from tests.integration.admin.conftest import Desk
from tests.integration.admin.test_pending_actions import WHY, account_of, approve
from venue.admin.v1 import admin_pb2 as pb
from venue.engine.v1 import engine_pb2
from venue.marketdata.v1 import marketdata_pb2
from venue.order.v1 import order_pb2, order_service_pb2
from venue.type.v1 import type_pb2

DEMO = type_pb2.ENVIRONMENT_DEMO
PRE_OPEN = marketdata_pb2.MARKET_STATE_PRE_OPEN
EXECUTED, FAILED = pb.PENDING_ACTION_STATE_EXECUTED, pb.PENDING_ACTION_STATE_FAILED
INVALID = ("INVALID_ARGUMENT", "INVALID_FIELD")
SENSELESS = ("INVALID_ARGUMENT", "DEFINITION_INVALID")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
SAME = ("FAILED_PRECONDITION", "NOTHING_TO_CHANGE")


def market_request(**changes: Any) -> pb.CreateMarketRequest:
    given: dict[str, Any] = {
        "environment": DEMO,
        "symbol": "NEW-USD",
        "base_asset": "BTC",
        "quote_asset": "USD",
        "tick_size": "0.50",
        "lot_size": "0.0100",
        "max_quantity": "100",
        "maker_fee_rate": "-0.0001",
        "taker_fee_rate": "0.003",
    }
    return pb.CreateMarketRequest(market=pb.MarketDefinition(**(given | changes)), reason=WHY)


def fees_request(symbol: str, tier: str, maker: str, taker: str) -> pb.SetFeesRequest:
    rule = pb.FeesRule(environment=DEMO, symbol=symbol, tier=tier, maker_fee_rate=maker, taker_fee_rate=taker)
    return pb.SetFeesRequest(rule=rule, reason=WHY)


def hours(weekday: int, opens: int, closes: int, auction: int = 0) -> marketdata_pb2.TradingHours:
    return marketdata_pb2.TradingHours(weekday=weekday, open_second=opens, close_second=closes, auction_seconds=auction)


async def want(desk: Desk, request: Any) -> pb.PendingAction:
    """What one person proposes and another approves, as it is then."""
    proposed: pb.PendingAction = (await desk.ask("ada", request)).pending_action
    assert proposed.state == pb.PENDING_ACTION_STATE_PROPOSED
    done: pb.PendingAction = (await desk.ask("ben", approve(proposed))).pending_action
    return done


async def markets(desk: Desk, partition: int = 2) -> dict[str, marketdata_pb2.Market]:
    query = engine_pb2.QueryRequest(markets=engine_pb2.MarketsQuery())
    found = (await desk.engines.for_partition(partition).query(query)).markets
    return {market.symbol: market for market in found}


async def rates(desk: Desk) -> dict[tuple[str, str], tuple[str, str]]:
    found = (await desk.ask("sam", pb.GetFeesRequest())).rules
    return {(rule.symbol, rule.tier): (rule.maker_fee_rate, rule.taker_fee_rate) for rule in found}


async def test_a_market_of_a_new_asset_is_there_once_two_people_want_it(desk: Desk) -> None:
    asset = pb.AssetDefinition(environment=DEMO, symbol="NEW", scale=6, display_scale=2)
    done = await want(desk, pb.CreateAssetRequest(asset=asset, reason=WHY))
    assert (done.state, done.create_asset) == (EXECUTED, asset)
    request = market_request(base_asset="NEW")
    action = (await desk.ask("ada", request)).pending_action
    # What is left to the venue is there for whoever approves, written as it will be.
    wanted = action.create_market
    assert (wanted.tick_size, wanted.lot_size, wanted.min_quantity) == ("0.5", "0.01", "0.01")
    assert (wanted.max_price, wanted.state) == ("100000000", PRE_OPEN)
    assert "NEW-USD" not in await markets(desk)
    assert (await desk.ask("ben", approve(action))).pending_action.state == EXECUTED
    made = (await markets(desk))["NEW-USD"]
    assert (made.base_asset, made.quote_asset, made.state) == ("NEW", "USD", PRE_OPEN)
    assert (made.tick_size, made.lot_size, made.min_quantity, made.max_quantity) == ("0.5", "0.01", "0.01", "100")
    assert (made.maker_fee_rate, made.taker_fee_rate) == ("-0.0001", "0.003")
    # In every partition of that world, and in no other.
    definitions = engine_pb2.QueryRequest(definitions=engine_pb2.DefinitionsQuery())
    for partition, there in ((1, False), (2, True), (3, True)):
        known = (await desk.engines.for_partition(partition).query(definitions)).assets
        assert ("NEW" in {each.symbol for each in known}) is there, partition
    entries = [entry for entry in await desk.audited("MARKET_CREATE") if entry[1] == "market/DEMO/NEW-USD"]
    assert [(entry[3]["tick_size"], entry[3]["approver"], entry[4]) for entry in entries] == [("0.5", "usr-ben", "OK")]
    assert [entry[1] for entry in await desk.audited("ASSET_CREATE")] == ["asset/DEMO/NEW"]
    assert await desk.refused("ada", request) == ("ALREADY_EXISTS", "DEFINITION_EXISTS")
    again = pb.CreateAssetRequest(asset=asset, reason=WHY)
    assert await desk.refused("ada", again) == ("ALREADY_EXISTS", "DEFINITION_EXISTS")


async def test_what_was_done_before_a_crash_is_not_done_twice_and_not_taken_for_a_failure(desk: Desk) -> None:
    action = (await desk.ask("ada", market_request())).pending_action
    fees = (await desk.ask("ada", fees_request("BTC-USD", "vip", "0", "0.0010"))).pending_action
    # The engine did it, and then the process was killed: it is only approved.
    await desk.rows(
        "UPDATE pending_actions SET state = 'APPROVED', decider = 'usr-ben', decide_time = now()"
        " WHERE pending_action_id IN (%s, %s)",
        *(action.pending_action_id, fees.pending_action_id),
    )
    (market_row, fees_row) = [await row_of(desk, each.pending_action_id) for each in (action, fees)]
    await desk.kinds[CREATE_MARKET].execute(None, market_row)  # type: ignore[arg-type]  # it asks the engine alone
    await desk.kinds[SET_FEES].execute(None, fees_row)  # type: ignore[arg-type]
    assert (await rates(desk))["BTC-USD", "vip"] == ("0", "0.001")
    await desk.pending.sweep()
    for each in (action, fees):
        request = pb.GetPendingActionRequest(pending_action_id=each.pending_action_id)
        assert (await desk.ask("ada", request)).pending_action.state == EXECUTED
    assert (await markets(desk))["NEW-USD"].tick_size == "0.5"


async def place(desk: Desk, name: str, account_id: str, side: "type_pb2.Side.ValueType") -> order_pb2.Order:
    customer = desk.customers(name)
    request = order_service_pb2.PlaceOrderRequest(
        account_id=account_id,
        symbol="BTC-USD",
        side=side,
        type=order_pb2.ORDER_TYPE_LIMIT,
        time_in_force=order_pb2.TIME_IN_FORCE_GTC,
        quantity="0.01",
        price="50000",
    )
    return (await customer.orders.PlaceOrder(request, metadata=customer.metadata)).order


async def row_of(desk: Desk, pending_action_id: str) -> Any:
    return await pending_actions.find(desk.engine, pending_action_id)


async def test_one_of_two_definitions_of_a_market_is_refused_when_it_comes_late(desk: Desk) -> None:
    first = (await desk.ask("ada", market_request())).pending_action
    second = (await desk.ask("ada", market_request(tick_size="1"))).pending_action
    assert (await desk.ask("ben", approve(second))).pending_action.state == EXECUTED
    late = (await desk.ask("ben", approve(first))).pending_action
    assert (late.state, late.failure_reason) == (FAILED, "DEFINITION_EXISTS")
    assert (await markets(desk))["NEW-USD"].tick_size == "1"


async def test_orders_pay_the_rates_of_a_tier_from_their_approval_on(desk: Desk) -> None:
    account_id, other = await account_of(desk, "ulla"), await account_of(desk, "vera")
    before = (await rates(desk))["BTC-USD", "default"]
    action = (await desk.ask("ada", fees_request("BTC-USD", "default", "0.00", "0.0200"))).pending_action
    late = (await desk.ask("ada", fees_request("BTC-USD", "default", "0", "0.03"))).pending_action
    assert (action.set_fees.rule.taker_fee_rate, action.set_fees.previous_taker_fee_rate) == ("0.02", before[1])
    assert (await desk.ask("ben", approve(action))).pending_action.state == EXECUTED
    failed = (await desk.ask("ben", approve(late))).pending_action
    assert (failed.state, failed.failure_reason) == (FAILED, "DEFINITION_INVALID")
    assert (await rates(desk))["BTC-USD", "default"] == ("0", "0.02")
    (entry,) = [entry for entry in await desk.audited("FEES_SET") if entry[4] == "OK"]
    assert (entry[1], entry[2]) == ("fees/DEMO/BTC-USD/default", {"maker": before[0], "taker": before[1]})
    coins = pb.ProposeAdjustmentRequest(account_id=account_id, asset="BTC", amount="1", reason=WHY)
    assert (await want(desk, coins)).state == EXECUTED
    await place(desk, "vera", other, type_pb2.SIDE_BUY)
    placed = await place(desk, "ulla", account_id, type_pb2.SIDE_SELL)
    # A fiftieth of 500.
    assert (placed.status, placed.fee) == (order_pb2.ORDER_STATUS_FILLED, "10")
    assert await desk.refused("ada", fees_request("BTC-USD", "default", "0", "0.020")) == SAME


async def test_a_market_keeps_hours_that_two_people_want(desk: Desk) -> None:
    def wanted(*each: marketdata_pb2.TradingHours) -> pb.SetTradingHoursRequest:
        return pb.SetTradingHoursRequest(environment=DEMO, symbol="BTC-USD", hours=each, reason=WHY)

    week = [hours(day, 3600, 7200, 600) for day in range(1, 8)]
    action = (await desk.ask("ada", wanted(*reversed(week)))).pending_action
    late = (await desk.ask("ada", wanted(week[0]))).pending_action
    assert list(action.set_trading_hours.hours) == week
    assert (await desk.ask("ben", approve(action))).pending_action.state == EXECUTED
    found = (await markets(desk))["BTC-USD"]
    assert list(found.trading_hours) == week
    assert found.next_state_time.seconds
    failed = (await desk.ask("ben", approve(late))).pending_action
    assert (failed.state, failed.failure_reason) == (FAILED, "DEFINITION_INVALID")
    assert await desk.refused("ada", wanted(*week)) == SAME
    assert (await want(desk, wanted())).state == EXECUTED
    assert not (await markets(desk))["BTC-USD"].trading_hours
    told = [(entry[2], entry[3]["hours"]) for entry in await desk.audited("MARKET_HOURS_SET") if entry[4] == "OK"]
    assert (told[0], told[1][1]) == (({"hours": []}, [f"{day}=01:00-02:00+600" for day in DAYS]), [])
    for request in (
        wanted(hours(1, 0, 50), hours(1, 40, 60)),
        wanted(hours(1, 50, 50)),
    ):
        assert await desk.refused("ada", request) == SENSELESS
    for request in (wanted(hours(8, 0, 50)), wanted(hours(-5, 0, 1)), wanted(hours(1, 0, 86_401))):
        assert await desk.refused("ada", request) == INVALID


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"symbol": "new-usd"}, INVALID),
        ({"symbol": "A-B-C-D-E"}, INVALID),
        ({"symbol": "AAPL"}, INVALID),
        ({"symbol": "A/B"}, INVALID),
        ({"symbol": "ABCDEFGHIJKLMNOP-ABCDEFGHIJKLMNOP"}, INVALID),
        ({"symbol": ""}, INVALID),
        ({"tick_size": "0.1.2"}, INVALID),
        ({"tick_size": "-1"}, INVALID),
        ({"tick_size": "1e3"}, INVALID),
        ({"taker_fee_rate": "1"}, INVALID),
        ({"state": marketdata_pb2.MARKET_STATE_CLOSED}, INVALID),
        ({"state": marketdata_pb2.MARKET_STATE_OUTSIDE_HOURS}, INVALID),
        ({"environment": type_pb2.ENVIRONMENT_UNSPECIFIED}, INVALID),
        ({"tick_size": "0"}, SENSELESS),
        ({"lot_size": "0"}, SENSELESS),
        ({"lot_size": "0.000000000000000001"}, SENSELESS),
        ({"tick_size": "0.0000001"}, SENSELESS),
        ({"max_quantity": "0.001"}, SENSELESS),
        ({"maker_fee_rate": "-0.01"}, SENSELESS),
        ({"trading_hours": [hours(9, 0, 60)]}, INVALID),
        ({"trading_hours": [hours(1, 60, 60)]}, SENSELESS),
        ({"base_asset": "GOLD"}, ("INVALID_ARGUMENT", "ASSET_UNKNOWN")),
        ({"symbol": "BTC-USD"}, ("ALREADY_EXISTS", "DEFINITION_EXISTS")),
    ],
    ids=str,
)
async def test_a_market_that_makes_no_sense_is_not_proposed(
    desk: Desk, changes: dict[str, Any], said: tuple[str, str]
) -> None:
    known = sorted(await markets(desk))
    assert await desk.refused("ada", market_request(**changes)) == said
    assert await desk.rows("SELECT 1 FROM pending_actions") == []
    assert sorted(await markets(desk)) == known


async def test_what_else_makes_no_sense_is_not_proposed(desk: Desk) -> None:
    unknown = ("NOT_FOUND", "MARKET_NOT_FOUND")
    other = pb.AssetDefinition(environment=DEMO, symbol="USD", scale=9, display_scale=2)
    for request, said in (
        (pb.CreateAssetRequest(asset=other, reason=WHY), ("ALREADY_EXISTS", "DEFINITION_EXISTS")),
        (pb.CreateAssetRequest(asset=asset_like(other, symbol="A-B"), reason=WHY), INVALID),
        (pb.CreateAssetRequest(asset=asset_like(other, symbol="A", scale=19), reason=WHY), INVALID),
        (pb.CreateAssetRequest(asset=asset_like(other, symbol="A", scale=1), reason=WHY), SENSELESS),
        (pb.CreateAssetRequest(asset=other), INVALID),
        (fees_request("NO-SUCH", "default", "0", "0.001"), unknown),
        (fees_request("BTC-USD", "a b", "0", "0.001"), INVALID),
        (fees_request("BTC-USD", "", "0", "0.001"), INVALID),
        (fees_request("BTC-USD", "vip", "-0.002", "0.001"), SENSELESS),
        (fees_request("BTC-USD", "vip", "0", "-0.001"), SENSELESS),
        (fees_request("BTC-USD", "vip", "0", "0.000000001"), INVALID),
        (pb.SetTradingHoursRequest(symbol="NO-SUCH", hours=[hours(1, 0, 9)], reason=WHY), unknown),
        (pb.SetTradingHoursRequest(symbol="BTC-USD", reason=WHY), SAME),
    ):
        assert await desk.refused("ada", request) == said, request
    for name in ("cleo", "sam", "ulla"):
        assert (await desk.refused(name, market_request()))[1] == "NOT_PERMITTED"
    assert await desk.rows("SELECT 1 FROM pending_actions") == []


def asset_like(asset: pb.AssetDefinition, **changes: Any) -> pb.AssetDefinition:
    made = pb.AssetDefinition()
    made.CopyFrom(asset)
    made.MergeFrom(pb.AssetDefinition(**changes))
    return made
