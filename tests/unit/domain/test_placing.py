"""Order type, time in force and post-only against an empty, a thin and a deep book."""

import pytest

from servers.domain.events import Traded
from servers.domain.terms import OrderType, Side, TimeInForce
from tests.unit.domain.desk import MIDNIGHT_US, Desk, Outcome, outcome, trades

# The order buys 2 BTC, a limit order at up to 101. The books: nothing; 1 at 100; 1 at 100 and 2 at 101.
OFFERS: dict[str, list[tuple[str, str]]] = {"empty": [], "thin": [("1", "100")], "deep": [("1", "100"), ("2", "101")]}
WHOLE = Outcome("FILLED", "", "2", "0")
RESTS = Outcome("OPEN", "", "0", "2")
RESTS_HALF = Outcome("PARTIALLY_FILLED", "", "1", "1")
NOTHING = Outcome("CANCELLED", "UNFILLED", "0", "0")
HALF = Outcome("CANCELLED", "UNFILLED", "1", "0")


def rejected(reason: str) -> Outcome:
    return Outcome("REJECTED", reason, "0", "0")


LIMIT, MARKET = OrderType.LIMIT, OrderType.MARKET
GTC, IOC, FOK, GTD, DAY = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK, TimeInForce.GTD, TimeInForce.DAY
CROSSES, EMPTY, UNFILLABLE = rejected("POST_ONLY_WOULD_TRADE"), rejected("NO_LIQUIDITY"), rejected("NOT_FILLABLE")


@pytest.mark.parametrize(
    ("kind", "life", "post_only", "empty", "thin", "deep"),
    [
        (LIMIT, GTC, False, RESTS, RESTS_HALF, WHOLE),
        (LIMIT, GTD, False, RESTS, RESTS_HALF, WHOLE),
        (LIMIT, DAY, False, RESTS, RESTS_HALF, WHOLE),
        (LIMIT, IOC, False, NOTHING, HALF, WHOLE),
        (LIMIT, FOK, False, UNFILLABLE, UNFILLABLE, WHOLE),
        (LIMIT, GTC, True, RESTS, CROSSES, CROSSES),
        (LIMIT, GTD, True, RESTS, CROSSES, CROSSES),
        (LIMIT, DAY, True, RESTS, CROSSES, CROSSES),
        (MARKET, IOC, False, EMPTY, HALF, WHOLE),
        (MARKET, FOK, False, EMPTY, UNFILLABLE, WHOLE),
    ],
)
@pytest.mark.parametrize("book", list(OFFERS))
def test_type_and_time_in_force_decide_what_is_filled_and_what_rests(
    kind: OrderType,
    life: TimeInForce,
    post_only: bool,
    empty: Outcome,
    thin: Outcome,
    deep: Outcome,
    book: str,
) -> None:
    desk = Desk()
    for quantity, price in OFFERS[book]:
        desk.sell("ben", quantity, price)
    price = "101" if kind == LIMIT else ""
    expires = MIDNIGHT_US + 1_000_000 if life == GTD else 0
    order = desk.buy("ann", "2", price, kind=kind, life=life, post_only=post_only, expires=expires)
    assert outcome(order) == {"empty": empty, "thin": thin, "deep": deep}[book]
    resting = {"OPEN": ["2 @ 101"], "PARTIALLY_FILLED": ["1 @ 101"]}
    assert desk.book(Side.BUY) == resting.get(outcome(order).status, [])
    taken = {"0": OFFERS[book], "1": [], "2": [("1", "101")]}[outcome(order).filled]
    assert desk.book(Side.SELL) == [f"{quantity} @ {price}" for quantity, price in taken]


@pytest.mark.parametrize(
    ("side", "best", "worse", "limit"), [(Side.BUY, "100", "101", "101"), (Side.SELL, "101", "100", "100")]
)
def test_the_best_price_trades_first_and_the_oldest_order_at_a_price(
    side: Side, best: str, worse: str, limit: str
) -> None:
    desk, other = Desk(), Side(3 - side)
    late_price = desk.place("ben", other, "1", worse)
    first, second = desk.place("ben", other, "1", best), desk.place("cem", other, "1", best)
    events = desk.execute(desk.order("ann", side, "2.5", limit))
    assert trades(events) == [f"1 @ {best}", f"1 @ {best}", f"0.5 @ {worse}"]
    assert [e.maker for e in events if isinstance(e, Traded)] == [first, second, late_price]


def test_a_trade_is_made_at_the_maker_s_price_and_the_difference_is_released() -> None:
    desk = Desk()
    desk.sell("ben", "1", "90")
    desk.buy("ann", "1", "100")
    assert desk.balance("ann") == ("999910", "0")
    assert desk.balance("ann", "BTC") == ("1001", "0")
    assert desk.balance("ben") == ("1000090", "0")
    assert desk.balance("ben", "BTC") == ("999", "0")


def test_a_partly_filled_order_keeps_its_place() -> None:
    desk = Desk()
    first, second = desk.sell("ben", "2", "100"), desk.sell("cem", "2", "100")
    desk.buy("ann", "1", "100")
    desk.buy("ann", "2", "100")
    assert (outcome(first), outcome(second)) == (
        Outcome("FILLED", "", "2", "0"),
        Outcome("PARTIALLY_FILLED", "", "1", "1"),
    )


def test_a_resting_order_holds_what_it_may_cost() -> None:
    desk = Desk()
    desk.buy("ann", "2", "100")
    desk.sell("ann", "3", "101")
    assert (desk.balance("ann"), desk.balance("ann", "BTC")) == (("999800", "200"), ("997", "3"))


def test_last_price_and_book_sequence_follow_the_book() -> None:
    desk = Desk()
    market = desk.exchange.market("BTC-USD")
    desk.sell("ben", "1", "100")
    assert (market.last_ticks, market.book_sequence) == (0, desk.exchange.clock.sequence)
    desk.buy("ann", "1", "100")
    assert (market.last_ticks, market.book_sequence) == (10_000, desk.exchange.clock.sequence)
    desk.buy("ann", "1", "100", life=FOK)
    assert market.book_sequence == desk.exchange.clock.sequence - 1
