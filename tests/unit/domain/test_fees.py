"""Fees: pinned rates on the whole of what an order traded, rounded up once; rebates down."""

import pytest

from servers.domain import commands as c
from servers.domain.errors import DefinitionInvalid
from servers.domain.money import RATE_SCALE, parse
from servers.domain.terms import Side, TimeInForce
from tests.unit.domain.desk import SYMBOL, Desk, outcome


@pytest.mark.parametrize(
    ("maker", "taker", "buyer", "seller", "venue"),
    [
        # ben's offer of 1 at 100 is taken by ann.
        ("0", "0", "999900", "1000100", "0"),
        ("0.001", "0.002", "999899.8", "1000099.9", "0.3"),
        ("-0.001", "0.002", "999899.8", "1000100.1", "0.1"),
        ("0.00000001", "0.00000001", "999899.999999", "1000099.999999", "0.000002"),
    ],
)
def test_maker_and_taker_pay_their_rates(maker: str, taker: str, buyer: str, seller: str, venue: str) -> None:
    desk = Desk(maker=maker, taker=taker)
    desk.sell("ben", "1", "100")
    desk.buy("ann", "1", "100")
    assert [desk.balance(name)[0] for name in ("ann", "ben", "venue:fees")] == [buyer, seller, venue]


def test_a_resting_purchase_pays_the_maker_s_rate_out_of_its_hold() -> None:
    desk = Desk(maker="0.001", taker="0.002")
    desk.buy("ann", "1", "100")
    assert desk.balance("ann") == ("999899.8", "100.2")
    desk.sell("ben", "1", "100")
    assert (desk.balance("ann"), desk.balance("ben")) == (("999899.9", "0"), ("1000099.8", "0"))


def test_a_purchase_holds_the_worse_of_both_rates() -> None:
    desk = Desk(maker="0.003", taker="0.001")
    desk.buy("ann", "1", "100")
    assert desk.balance("ann") == ("999899.7", "100.3")


def small(maker: str, taker: str) -> Desk:
    """A market whose lot at one tick costs a unit: every fee is far less than a unit."""
    desk = Desk()
    desk.define(
        "USD-BTC", tick="0.00001", lot="0.001", least="0.001", most="1000", highest="1", maker=maker, taker=taker
    )
    return desk


def test_the_fee_is_rounded_up_once_and_not_at_every_fill() -> None:
    desk = small("0.001", "0.001")
    order = desk.buy("ann", "10", "0.00001", symbol="USD-BTC")
    for _ in range(10_000):
        desk.exchange.execute(desk.order("ben", Side.SELL, "0.001", "0.00001", symbol="USD-BTC"))
    assert outcome(order).status == "FILLED"
    # 10,000 fills of one unit at 0.001 are ten units; a ceil at every fill would be 10,000, and the hold was 10,010.
    assert (order.notional, order.fee_charged, order.held) == (10_000, 10, 0)


def test_ten_thousand_fills_never_outgrow_the_hold() -> None:
    desk = Desk(maker="0.00031", taker="0.00077")
    order = desk.buy("ann", "10", "33.33")
    held = order.held
    for _ in range(10_000):
        desk.exchange.execute(desk.order("ben", Side.SELL, "0.001", "33.33"))
    assert (outcome(order).status, order.held) == ("FILLED", 0)
    assert order.notional + order.fee_charged <= held
    assert order.fee_charged == -(-31_000 * order.notional // 10**8)


def test_a_rebate_is_rounded_down() -> None:
    desk = small("-0.001", "0.001")
    order = desk.sell("ben", "1.999", "0.00001", symbol="USD-BTC")
    desk.buy("ann", "1.999", "0.00001", symbol="USD-BTC")
    assert (order.notional, order.fee_charged) == (1_999, -1)


def test_a_rebate_may_round_the_hold_up_by_a_unit_which_it_pays() -> None:
    desk = small("-0.0005", "0.0008")
    desk.sell("ben", "0.003", "0.00001", symbol="USD-BTC")
    order = desk.buy("ann", "10", "0.00001", symbol="USD-BTC")
    for size in ("0.001", "0.002", "0.003", "0.004") * 100:
        desk.sell("cem", size, "0.00001", symbol="USD-BTC")
    desk.cancel(order)
    assert order.held == 0


def test_rates_are_pinned_when_an_order_is_accepted() -> None:
    desk = Desk(maker="0.001", taker="0.001")
    old = desk.sell("ben", "2", "100")
    desk.fees("0.005", "0.01")
    desk.buy("ann", "1", "100")
    new = desk.sell("cem", "1", "99")
    desk.buy("ann", "1", "99")
    assert (old.fee_charged, new.fee_charged) == (10**7, 495 * 10**5)


def test_a_tier_has_its_own_rates_and_others_the_default_s() -> None:
    desk = Desk(maker="0.001", taker="0.002")
    desk.fees("0", "0.0001", tier="vip")
    desk.open("dee", tier="vip")
    desk.open("eve", tier="unheard of")
    desk.sell("ben", "2", "100")
    assert desk.buy("dee", "1", "100").fee_charged == 10**6
    assert desk.buy("eve", "1", "100").fee_charged == 2 * 10**7


@pytest.mark.parametrize(("maker", "taker"), [("-0.0021", "0.0021"), ("0", "0.0000"), ("-0.0001", "0.0001")])
def test_no_tier_s_rebate_is_more_than_another_tier_s_taker_pays(maker: str, taker: str) -> None:
    desk = Desk(maker="-0.0005", taker="0.002")
    before = dict(desk.exchange.floor.fees)
    with pytest.raises(DefinitionInvalid, match="tier default"):
        desk.run(c.SetFees, SYMBOL, "vip", parse(maker, RATE_SCALE), parse(taker, RATE_SCALE))
    assert desk.exchange.floor.fees == before
    desk.run(c.SetFees, SYMBOL, "vip", parse("-0.0020", RATE_SCALE), parse("0.0020", RATE_SCALE))
    # The rebate of vip has to be covered by whatever default is set to.
    with pytest.raises(DefinitionInvalid, match="tier vip"):
        desk.run(c.SetFees, SYMBOL, "default", 0, parse("0.0019", RATE_SCALE))


def test_a_market_order_holds_exactly_what_it_costs() -> None:
    desk = Desk(taker="0.002")
    desk.open("dee", usd="100.2")
    desk.sell("ben", "1", "100")
    assert outcome(desk.buy("dee", "1")).status == "FILLED"
    assert desk.balance("dee") == ("0", "0")


def test_an_order_that_trades_as_taker_and_as_maker_pays_both_rates() -> None:
    desk = Desk(maker="0.001", taker="0.002")
    desk.sell("ben", "1", "100")
    order = desk.buy("ann", "2", "100")
    desk.sell("ben", "1", "100", life=TimeInForce.IOC)
    assert (outcome(order).status, order.fee_charged) == ("FILLED", 2 * 10**7 + 10**7)
