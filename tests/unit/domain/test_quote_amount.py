"""Market orders by quote amount: as many whole lots as the amount covers, the fee of a purchase included, exactly."""

import pytest

from servers.domain.terms import Side, TimeInForce
from tests.unit.domain.desk import Desk, Outcome, outcome


@pytest.mark.parametrize(
    ("amount", "filled", "paid"),
    [
        # One lot at 100 costs 0.1 USD and 0.0002 fee.
        ("0.1002", "0.001", "0.1002"),
        ("0.10019999", None, None),
        ("0.2003", "0.001", "0.1002"),
        ("100.2", "1", "100.2"),
        ("100.2999", "1", "100.2"),
        # 1 at 100, then 101: 100.2 + 0.1012 + ... whole lots only.
        ("100.30119999", "1", "100.2"),
        ("100.301202", "1.001", "100.301202"),
        ("201.402", "2", "201.402"),
    ],
)
def test_a_purchase_spends_the_amount_fee_included(amount: str, filled: str | None, paid: str | None) -> None:
    desk = Desk(taker="0.002")
    desk.sell("ben", "1", "100")
    desk.sell("ben", "5", "101")
    order = desk.buy("ann", amount=amount)
    if filled is None:
        assert outcome(order) == Outcome("REJECTED", "QUANTITY_TOO_SMALL", "0", "0")
        return
    assert outcome(order) == Outcome("FILLED", "", filled, "0")
    assert order.notional + order.fee_charged == _units(paid or "") <= _units(amount)
    assert order.quantity == order.lots * order.market.lot_size
    assert desk.balance("ann") == (_text(10**14 - _units(paid or "")), "0")


@pytest.mark.parametrize(
    ("amount", "filled", "received"),
    [("100", "1", "99.8"), ("100.05", "1", "99.8"), ("150", "1.505", "149.69501"), ("0.1", "0.001", "0.0998")],
)
def test_a_sale_brings_at_most_the_amount_before_its_fee(amount: str, filled: str, received: str) -> None:
    desk = Desk(taker="0.002")
    desk.buy("ben", "1", "100")
    desk.buy("ben", "5", "99")
    order = desk.sell("ann", amount=amount)
    assert outcome(order) == Outcome("FILLED", "", filled, "0")
    assert desk.balance("ann") == (_text(10**14 + _units(received)), "0")
    assert order.notional <= _units(amount)


def test_a_book_that_ends_before_the_amount_cancels_the_rest() -> None:
    desk = Desk()
    desk.sell("ben", "1", "100")
    assert outcome(desk.buy("ann", amount="500")) == Outcome("CANCELLED", "UNFILLED", "1", "0")
    assert desk.balance("ann") == ("999900", "0")


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        ("100", Outcome("FILLED", "", "1", "0")),
        ("100.09", Outcome("FILLED", "", "1", "0")),
        ("100.1", Outcome("REJECTED", "NOT_FILLABLE", "0", "0")),
    ],
)
def test_fill_or_kill_by_amount_is_filled_when_no_further_lot_fits(amount: str, expected: Outcome) -> None:
    desk = Desk()
    desk.sell("ben", "1", "100")
    assert outcome(desk.buy("ann", amount=amount, life=TimeInForce.FOK)) == expected


def test_an_amount_that_buys_more_or_less_than_the_market_takes_is_rejected() -> None:
    desk = Desk()
    desk.sell("ben", "100", "100")
    desk.sell("ben", "100", "100")
    assert outcome(desk.buy("ann", amount="10000.1")).reason == "QUANTITY_TOO_LARGE"
    assert outcome(desk.buy("ann", amount="10000")).filled == "100"


def test_an_amount_beyond_the_funds_is_rejected() -> None:
    desk = Desk()
    desk.open("dee", usd="99.99")
    desk.sell("ben", "1", "100")
    assert outcome(desk.buy("dee", amount="100")).reason == "INSUFFICIENT_FUNDS"
    assert desk.book(Side.SELL) == ["1 @ 100"]


def _units(text: str) -> int:
    whole, _, fraction = text.partition(".")
    return int(whole) * 10**8 + int((fraction + "0" * 8)[:8])


def _text(units: int) -> str:
    whole, fraction = divmod(units, 10**8)
    return f"{whole}.{fraction:08d}".rstrip("0").rstrip(".")
