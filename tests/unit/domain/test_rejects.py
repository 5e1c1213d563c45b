"""Every reason to reject a placement, and that the first in the documented order is the one given."""

from collections.abc import Callable
from typing import Any

import pytest

from servers.domain import commands as c
from servers.domain.hours import Hours
from servers.domain.limits import OPEN_ORDERS_MAX
from servers.domain.money import parse
from servers.domain.terms import AccountStatus, MarketState, OrderType, RejectReason, Side, TimeInForce
from tests.unit.domain.desk import MIDNIGHT_US, SYMBOL, Desk, Outcome, outcome

FREEZE, HALT = int(AccountStatus.FROZEN), int(MarketState.HALTED)


def freeze(desk: Desk) -> None:
    desk.run(c.SetAccountStatus, "demo-ann", FREEZE)


def halt(desk: Desk) -> None:
    desk.run(c.SetMarketState, SYMBOL, HALT)


def cancel_only(desk: Desk) -> None:
    desk.run(c.SetMarketState, SYMBOL, int(MarketState.CANCEL_ONLY))


def close(desk: Desk) -> None:
    desk.run(c.SetMarketState, SYMBOL, int(MarketState.CLOSED))


def end_the_day(desk: Desk) -> None:
    desk.run(c.SetTradingHours, SYMBOL, (Hours(1, 0, 1, 0),))


def post_only(desk: Desk) -> None:
    desk.run(c.SetMarketState, SYMBOL, int(MarketState.POST_ONLY))


def collect(desk: Desk) -> None:
    desk.run(c.SetMarketState, SYMBOL, int(MarketState.PRE_OPEN))


def label(desk: Desk) -> None:
    desk.buy("ann", "1", "1", label="mine")


def fill_up(desk: Desk) -> None:
    for _ in range(OPEN_ORDERS_MAX - len(desk.exchange.ledger.accounts["demo-ann"].orders)):
        desk.exchange.execute(desk.order("ann", Side.BUY, "0.001", "1"))


def offer(desk: Desk) -> None:
    desk.sell("ben", "1", "100")


def other_markets_only(desk: Desk) -> None:
    desk.limit("demo-ann", symbols="ETH-USD")


def banded(desk: Desk) -> None:
    """The last price is 90, and orders may be 10 percent from it."""
    desk.sell("ben", "1", "90")
    desk.buy("cem", "1", "90")
    desk.limit(tier="default", band="10")


def small(desk: Desk) -> None:
    desk.limit("demo-ann", symbol=SYMBOL, quantity="0.999", notional="99.99")


def worthless(desk: Desk) -> None:
    desk.limit(symbol=SYMBOL, notional="99.99")


def narrow(desk: Desk) -> None:
    """A position is worth 199.99 USD at most, and half of that rests already."""
    desk.limit(position="199.99")
    desk.buy("ann", "1", "99")


def banded_with_an_offer(desk: Desk) -> None:
    banded(desk)
    offer(desk)


def narrow_with_an_offer(desk: Desk) -> None:
    narrow(desk)
    offer(desk)


def lost(desk: Desk) -> None:
    """What ann bought at 100 is worth 50 now: all that she may lose."""
    desk.sell("ben", "1", "100")
    desk.buy("ann", "1", "100")
    desk.sell("ben", "1", "50")
    desk.buy("cem", "1", "50")
    desk.limit("demo-ann", loss="50")


def nothing(desk: Desk) -> None:
    pass


GTD, FOK = TimeInForce.GTD, TimeInForce.FOK
LIMIT: dict[str, Any] = {"quantity": "1", "price": "100"}
CASES: list[tuple[RejectReason, Callable[[Desk], None], dict[str, Any]]] = [
    (RejectReason.ACCOUNT_NOT_ACTIVE, freeze, LIMIT),
    (RejectReason.MARKET_HALTED, halt, LIMIT),
    (RejectReason.MARKET_CLOSED, close, LIMIT),
    (RejectReason.MARKET_CLOSED, end_the_day, LIMIT),
    (RejectReason.MARKET_CANCEL_ONLY, cancel_only, LIMIT),
    (RejectReason.MARKET_POST_ONLY, post_only, LIMIT),
    (RejectReason.MARKET_PRE_OPEN, collect, LIMIT | {"post_only": True}),
    (RejectReason.MARKET_PRE_OPEN, collect, {"quantity": "1"}),
    (RejectReason.SYMBOL_NOT_ALLOWED, other_markets_only, LIMIT),
    (RejectReason.PRICE_OFF_TICK, nothing, {"quantity": "1", "price": "100.001"}),
    (RejectReason.PRICE_OFF_TICK, nothing, {"quantity": "1", "price": "100.000000000000000001"}),
    (RejectReason.PRICE_OUT_OF_RANGE, nothing, {"quantity": "1", "price": "100000.01"}),
    (RejectReason.PRICE_OUT_OF_RANGE, nothing, {"quantity": "1", "price": "0.00"}),
    (RejectReason.PRICE_OUT_OF_RANGE, nothing, {"quantity": "1", "price": "-100"}),
    (RejectReason.PRICE_OUT_OF_BAND, banded, LIMIT),
    (RejectReason.PRICE_OUT_OF_BAND, banded, {"quantity": "1", "price": "80.99"}),
    (RejectReason.NO_LIQUIDITY, banded_with_an_offer, {"quantity": "1"}),
    (RejectReason.QUANTITY_OFF_LOT, nothing, {"quantity": "1.0001", "price": "100"}),
    (RejectReason.QUANTITY_OFF_LOT, offer, {"amount": "100.000000001"}),
    (RejectReason.QUANTITY_TOO_SMALL, nothing, {"quantity": "0", "price": "100"}),
    (RejectReason.QUANTITY_TOO_SMALL, nothing, {"quantity": "-1", "price": "100"}),
    (RejectReason.QUANTITY_TOO_SMALL, offer, {"amount": "0.09"}),
    (RejectReason.QUANTITY_TOO_LARGE, nothing, {"quantity": "100.001", "price": "100"}),
    (RejectReason.QUANTITY_TOO_LARGE, small, LIMIT),
    (RejectReason.NOTIONAL_TOO_LARGE, small, {"quantity": "0.999", "price": "101"}),
    (RejectReason.NOTIONAL_TOO_LARGE, worthless, {"amount": "100"}),
    (RejectReason.EXPIRE_TIME_PAST, nothing, LIMIT | {"life": GTD, "expires": MIDNIGHT_US}),
    (RejectReason.DUPLICATE_CLIENT_ORDER_ID, label, LIMIT | {"label": "mine"}),
    (RejectReason.TOO_MANY_OPEN_ORDERS, fill_up, LIMIT),
    (RejectReason.PRICE_OFF_TICK, nothing, {"quantity": "1", "stop": "100.001"}),
    (RejectReason.PRICE_OUT_OF_RANGE, nothing, {"quantity": "1", "stop": "100000.01"}),
    (RejectReason.PRICE_OFF_TICK, nothing, {"quantity": "1", "trail": "0.001", "kind": OrderType.TRAILING_STOP}),
    (RejectReason.TRIGGER_PRICE_UNKNOWN, nothing, {"quantity": "1", "stop": "100"}),
    (RejectReason.NOT_REDUCING, nothing, LIMIT | {"reduce_only": True}),
    (RejectReason.POSITION_LIMIT, narrow, LIMIT),
    (RejectReason.POSITION_LIMIT, narrow_with_an_offer, {"quantity": "1"}),
    (RejectReason.DAILY_LOSS_LIMIT, lost, {"quantity": "0.001", "price": "40"}),
    (RejectReason.POST_ONLY_WOULD_TRADE, offer, LIMIT | {"post_only": True}),
    (RejectReason.NO_LIQUIDITY, nothing, {"quantity": "1"}),
    (RejectReason.NO_LIQUIDITY, nothing, {"amount": "100"}),
    (RejectReason.NOT_FILLABLE, offer, {"quantity": "2", "price": "100", "life": FOK}),
    (RejectReason.NOT_FILLABLE, offer, {"quantity": "2", "life": FOK}),
    (RejectReason.NOT_FILLABLE, offer, {"amount": "100.1", "life": FOK}),
    (RejectReason.INSUFFICIENT_FUNDS, nothing, {"quantity": "100", "price": "10000.01"}),
    (RejectReason.INSUFFICIENT_FUNDS, nothing, {"quantity": "100", "price": "100000", "life": TimeInForce.IOC}),
]


@pytest.mark.parametrize(("reason", "prepare", "terms"), CASES)
def test_each_reason_rejects(reason: RejectReason, prepare: Callable[[Desk], None], terms: dict[str, Any]) -> None:
    desk = Desk()
    prepare(desk)
    open_before = dict(desk.exchange.floor.orders)
    funds_before = [desk.balance("ann", asset) for asset in ("USD", "BTC")]
    order = desk.buy("ann", **terms)
    assert outcome(order) == Outcome("REJECTED", reason.name, "0", "0")
    assert desk.exchange.floor.orders == open_before
    assert [desk.balance("ann", asset) for asset in ("USD", "BTC")] == funds_before


def test_a_sale_needs_what_it_sells() -> None:
    desk = Desk()
    desk.open("dee", btc="0.5")
    assert outcome(desk.sell("dee", "0.501", "100")).reason == "INSUFFICIENT_FUNDS"
    assert outcome(desk.sell("dee", "0.5", "100")).status == "OPEN"


def test_a_purchase_needs_its_worst_fee_too() -> None:
    desk = Desk(maker="0.001", taker="0.002")
    desk.open("dee", usd="100.2")
    desk.open("eve", usd="100.19999999")
    assert outcome(desk.buy("dee", "1", "100")).status == "OPEN"
    assert outcome(desk.buy("eve", "1", "100")).reason == "INSUFFICIENT_FUNDS"


def test_every_reason_has_a_case() -> None:
    assert {reason for reason, _, _ in CASES} == set(RejectReason) - {RejectReason.UNSPECIFIED}


# From an order that is wrong in every way at once, one fault after another is put right, or a limit taken away.
FAULTS: list[tuple[RejectReason, dict[str, Any], str]] = [
    (RejectReason.SYMBOL_NOT_ALLOWED, {"price": "200000.001", "quantity": "1000.0001"}, ""),
    (RejectReason.PRICE_OFF_TICK, {}, "symbols"),
    (RejectReason.PRICE_OUT_OF_RANGE, {"price": "200000"}, ""),
    (RejectReason.PRICE_OUT_OF_BAND, {"price": "100000"}, ""),
    (RejectReason.QUANTITY_OFF_LOT, {}, "band"),
    (RejectReason.QUANTITY_TOO_LARGE, {"quantity": "1000"}, ""),
    (RejectReason.NOTIONAL_TOO_LARGE, {"quantity": "100"}, ""),
    (RejectReason.EXPIRE_TIME_PAST, {}, "notional"),
    (RejectReason.DUPLICATE_CLIENT_ORDER_ID, {"expires": MIDNIGHT_US + 60_000_000}, ""),
    (RejectReason.TOO_MANY_OPEN_ORDERS, {"label": "new"}, ""),
]


def test_the_first_check_that_fails_gives_the_reason() -> None:
    desk = Desk()
    offer(desk)
    label(desk)
    fill_up(desk)
    freeze(desk)
    halt(desk)
    limits = {"symbols": "ETH-USD", "band": "10", "notional": "1", "position": "1", "loss": "0.09"}
    desk.limit("demo-ann", **limits)  # type: ignore[arg-type]
    desk.run(c.SetReferencePrices, SYMBOL, 0, parse("50000"))
    terms: dict[str, Any] = {"life": GTD, "expires": MIDNIGHT_US, "label": "mine", "post_only": True} | FAULTS[0][1]
    assert outcome(desk.buy("ann", **terms)).reason == "ACCOUNT_NOT_ACTIVE"
    desk.run(c.SetAccountStatus, "demo-ann", int(AccountStatus.ACTIVE))
    assert outcome(desk.buy("ann", **terms)).reason == "MARKET_HALTED"
    cancel_only(desk)
    assert outcome(desk.buy("ann", **terms)).reason == "MARKET_CANCEL_ONLY"
    collect(desk)
    assert outcome(desk.buy("ann", **terms)).reason == "MARKET_PRE_OPEN"
    desk.run(c.SetMarketState, SYMBOL, int(MarketState.OPEN))
    for reason, corrected, lifted in FAULTS:
        terms |= corrected
        if lifted:
            del limits[lifted]
            desk.limit("demo-ann", **limits)  # type: ignore[arg-type]
        assert outcome(desk.buy("ann", **terms)).reason == reason.name
    desk.run(c.CancelAllOrders, "demo-ann", "", 0, user="ann")
    assert outcome(desk.buy("ann", stop="100", **terms)).reason == "TRIGGER_PRICE_UNKNOWN"
    lose(desk)
    assert outcome(desk.buy("ann", reduce_only=True, **terms)).reason == "NOT_REDUCING"
    assert outcome(desk.buy("ann", **terms)).reason == "POSITION_LIMIT"
    desk.limit("demo-ann", loss="0.09")
    assert outcome(desk.buy("ann", **terms)).reason == "DAILY_LOSS_LIMIT"
    desk.limit("demo-ann")
    assert outcome(desk.buy("ann", **terms)).reason == "POST_ONLY_WOULD_TRADE"
    terms |= {"post_only": False, "life": FOK, "expires": 0}
    assert outcome(desk.buy("ann", **terms)).reason == "NOT_FILLABLE"
    desk.sell("ben", "99.001", "100000")
    assert outcome(desk.buy("ann", **terms)).reason == "INSUFFICIENT_FUNDS"
    desk.transfer("venue:external", "demo-ann", "9000001")
    assert outcome(desk.buy("ann", **terms)).status == "FILLED"


def lose(desk: Desk) -> None:
    """Ann buys a little at 100 that is then worth 1."""
    desk.buy("ann", "0.001", "100")
    desk.run(c.SetReferencePrices, SYMBOL, parse("1"), 0)
