"""The states of a market, and its trading hours."""

from datetime import UTC, datetime

import pytest

from servers.domain import commands as c
from servers.domain.errors import DefinitionInvalid, MarketClosed, MarketNotFound
from servers.domain.hours import Hours, Schedule, hours_of, hours_text
from servers.domain.model import Order
from servers.domain.state import dump, load, state_hash
from servers.domain.terms import Environment, MarketKind, MarketState, Side, TimeInForce
from tests.unit.domain.desk import MIDNIGHT_US, PARTITION, SYMBOL, Desk, Outcome, outcome
from tests.unit.domain.test_linking import LIMIT, STOP, desk_at, place_oco

SECOND, HOUR = 1_000_000, 3_600
PRE_OPEN, OPEN, OUTSIDE = MarketState.PRE_OPEN, MarketState.OPEN, MarketState.OUTSIDE_HOURS
# The desk's first day.
WEDNESDAY = 3
DAILY = tuple(Hours(weekday, 9 * HOUR, 17 * HOUR, 600) for weekday in range(1, 6))


def state(desk: Desk) -> MarketState:
    return MarketState(desk.exchange.market(SYMBOL).state)


def set_state(desk: Desk, to: MarketState) -> None:
    desk.run(c.SetMarketState, SYMBOL, int(to))


def set_hours(desk: Desk, *hours: Hours) -> None:
    desk.run(c.SetTradingHours, SYMBOL, hours)


def at(hour: float, day: int = 0) -> int:
    """An hour of a day after the desk's first."""
    return MIDNIGHT_US + (day * 86_400 + int(hour * HOUR)) * SECOND


def reason(desk: Desk, **terms: object) -> str:
    order: Order = desk.buy("ann", "1", "90", **terms)
    return outcome(order).reason


def test_the_desk_s_first_day_is_a_wednesday() -> None:
    assert datetime.fromtimestamp(MIDNIGHT_US / SECOND, UTC).isoweekday() == WEDNESDAY


@pytest.mark.parametrize(
    ("to", "plain", "post_only", "immediate"),
    [
        (PRE_OPEN, "", "MARKET_PRE_OPEN", "MARKET_PRE_OPEN"),
        (OPEN, "", "", "UNFILLED"),
        (MarketState.POST_ONLY, "MARKET_POST_ONLY", "", "MARKET_POST_ONLY"),
        (MarketState.CANCEL_ONLY, *["MARKET_CANCEL_ONLY"] * 3),
        (MarketState.HALTED, *["MARKET_HALTED"] * 3),
        (MarketState.CLOSED, *["MARKET_CLOSED"] * 3),
    ],
)
def test_each_state_takes_what_it_takes(to: MarketState, plain: str, post_only: str, immediate: str) -> None:
    desk = Desk()
    set_state(desk, to)
    assert reason(desk) == plain
    assert reason(desk, post_only=True) == post_only
    assert reason(desk, life=TimeInForce.IOC) == immediate


def test_a_market_that_is_before_its_auction_takes_no_market_order() -> None:
    desk = Desk()
    set_state(desk, PRE_OPEN)
    assert outcome(desk.buy("ann", "1")).reason == "MARKET_PRE_OPEN"
    assert outcome(desk.buy("ann", "1", "90", life=TimeInForce.FOK)).reason == "MARKET_PRE_OPEN"
    assert outcome(desk.buy("ann", "1", "90", life=TimeInForce.DAY)).status == "OPEN"


def test_a_post_only_market_refuses_what_would_trade() -> None:
    desk = Desk()
    desk.sell("ben", "1", "100")
    set_state(desk, MarketState.POST_ONLY)
    assert outcome(desk.buy("ann", "1", "100", post_only=True)).reason == "POST_ONLY_WOULD_TRADE"
    assert outcome(desk.buy("ann", "1", "99", post_only=True)).status == "OPEN"


def test_a_market_that_ends_cancels_its_orders_and_stays_ended() -> None:
    desk = Desk()
    desk.run(c.DefineAsset, "ETH", 8, 8)
    desk.define("ETH-USD")
    orders = [desk.buy("ann", "1", "90"), desk.sell("ben", "1", "110", display="0.1")]
    other = desk.buy("ann", "1", "90", symbol="ETH-USD")
    set_state(desk, MarketState.CLOSED)
    assert [outcome(order) for order in orders] == [Outcome("CANCELLED", "MARKET_CLOSED", "0", "0")] * 2
    assert (outcome(other).status, desk.balance("ben", "BTC")) == ("OPEN", ("1000", "0"))
    for to in (OPEN, MarketState.CLOSED):
        with pytest.raises(MarketClosed):
            set_state(desk, to)
    with pytest.raises(MarketClosed):
        set_hours(desk)


@pytest.mark.parametrize("to", [MarketState.UNSPECIFIED, OUTSIDE, 8])
def test_only_states_that_there_are_can_be_set(to: MarketState) -> None:
    desk = Desk()
    with pytest.raises(DefinitionInvalid):
        set_state(desk, to)
    with pytest.raises(MarketNotFound):
        desk.run(c.SetMarketState, "NO-SUCH", 2)
    with pytest.raises(MarketNotFound):
        desk.run(c.SetTradingHours, "NO-SUCH", ())


def test_an_order_is_amended_where_it_could_be_placed_and_else_only_made_smaller() -> None:
    desk = Desk()
    order = desk.buy("ann", "1", "90")
    for to, refused in ((PRE_OPEN, False), (MarketState.POST_ONLY, True), (MarketState.CANCEL_ONLY, True)):
        set_state(desk, to)
        amended = c.AmendOrder(*desk.stamp(), order.number, "", "", order.price + 10**18, 0, 0)
        if refused:
            with pytest.raises(Exception, match="would be rejected"):
                desk.execute(amended)
        else:
            desk.execute(amended)
        desk.run(c.AmendOrder, order.number, "", "", 0, order.quantity - 10**17, 0)
    assert outcome(order).remaining == "0.7"


def test_hours_open_and_close_a_market_through_its_auction() -> None:
    desk = Desk()
    set_hours(desk, *DAILY)
    assert (state(desk), desk.exchange.next_deadline()) == (OUTSIDE, at(8) + 50 * 60 * SECOND)
    assert reason(desk) == "MARKET_CLOSED"
    desk.advance(at(8) + 50 * 60 * SECOND)
    assert (state(desk), desk.exchange.next_deadline()) == (PRE_OPEN, at(9))
    bid, offer = desk.buy("ann", "1", "101"), desk.sell("ben", "1", "100")
    rest = desk.sell("ben", "1", "110")
    desk.advance(at(9))
    assert [outcome(order).status for order in (bid, offer, rest)] == ["FILLED", "FILLED", "OPEN"]
    assert (state(desk), desk.exchange.next_deadline()) == (OPEN, at(17))
    desk.advance(at(17))
    assert (state(desk), reason(desk), outcome(rest).status) == (OUTSIDE, "MARKET_CLOSED", "OPEN")
    desk.cancel(rest)
    # Of a Friday evening the next is Monday morning.
    desk.advance(at(20, day=2))
    assert desk.exchange.next_deadline() == at(8, day=5) + 50 * 60 * SECOND


def test_what_was_slept_through_happens_one_after_the_other() -> None:
    desk = Desk()
    set_hours(desk, *DAILY)
    desk.advance(at(12, day=7))
    assert (state(desk), desk.exchange.next_deadline()) == (OPEN, at(17, day=7))


def test_a_day_order_ends_at_the_close_and_a_gtc_order_rests_overnight() -> None:
    desk = Desk()
    set_hours(desk, *DAILY)
    desk.advance(at(10))
    day, good = desk.buy("ann", "1", "90", life=TimeInForce.DAY), desk.buy("ann", "1", "91")
    assert day.expire_time == at(17)
    desk.advance(at(17))
    assert [outcome(order).status for order in (day, good)] == ["EXPIRED", "OPEN"]
    assert desk.book(Side.BUY) == ["1 @ 91"]


@pytest.mark.parametrize("to", [MarketState.HALTED, MarketState.CANCEL_ONLY])
def test_hours_do_not_touch_a_market_that_its_operator_stopped(to: MarketState) -> None:
    desk = Desk()
    set_hours(desk, *DAILY)
    desk.advance(at(10))
    set_state(desk, to)
    desk.advance(at(12, day=1))
    assert state(desk) == to
    set_state(desk, OPEN)
    desk.advance(at(17, day=1))
    assert state(desk) == OUTSIDE


def test_an_operator_opens_a_market_outside_its_hours_until_they_say_otherwise() -> None:
    desk = Desk()
    set_hours(desk, *DAILY)
    set_state(desk, OPEN)
    desk.advance(at(8))
    assert state(desk) == OPEN
    desk.advance(at(8) + 50 * 60 * SECOND)
    assert state(desk) == PRE_OPEN


def test_a_market_without_hours_again_trades() -> None:
    desk = Desk()
    set_hours(desk, *DAILY)
    set_hours(desk)
    assert (state(desk), desk.exchange.next_deadline()) == (OPEN, None)


@pytest.mark.parametrize("now", [PRE_OPEN, OPEN])
def test_a_market_that_its_hours_let_collect_orders_opens_without_them(now: MarketState) -> None:
    """One that its operator has set to collect stays so until he opens it."""
    desk = Desk()
    desk.advance(at(8.9 if now == PRE_OPEN else 10))
    set_hours(desk, *DAILY)
    assert state(desk) == now
    set_state(desk, PRE_OPEN)
    set_hours(desk)
    assert state(desk) == (OPEN if now == PRE_OPEN else PRE_OPEN)


def test_hours_outlive_a_restart() -> None:
    desk = Desk()
    set_hours(desk, *DAILY)
    desk.advance(at(8) + 50 * 60 * SECOND)
    desk.buy("ann", "1", "101")
    desk.sell("ben", "1", "100")
    loaded = load(PARTITION, Environment.DEMO, dump(desk.exchange))
    assert state_hash(loaded) == state_hash(desk.exchange)
    assert loaded.next_deadline() == at(9)
    loaded.execute(c.Advance(loaded.clock.sequence + 1, at(9), "", "", b""))
    assert loaded.clock.trade_number == 1


def test_a_market_may_be_defined_with_hours() -> None:
    desk = Desk()
    desk.run(c.DefineAsset, "ETH", 8, 8)
    sizes = (10**16, 10**15, 10**15, 10**20, 10**23)
    terms = ("ETH-USD", int(MarketKind.SPOT), int(OPEN), "ETH", "USD", *sizes, 0, 0)
    with pytest.raises(DefinitionInvalid):
        desk.run(c.DefineMarket, *terms, (Hours(0, 0, 1, 0),))
    desk.run(c.DefineMarket, *terms, DAILY)
    assert MarketState(desk.exchange.market("ETH-USD").state) == OUTSIDE


@pytest.mark.parametrize(
    "hours",
    [
        (Hours(0, 0, 1, 0),),
        (Hours(8, 0, 1, 0),),
        (Hours(1, 5, 5, 0),),
        (Hours(1, 0, 86_401, 0),),
        (Hours(1, -1, 5, 0),),
        (Hours(1, 0, 5, 86_400),),
        (Hours(1, 0, 5, -1),),
        (Hours(1, 0, 10, 0), Hours(1, 9, 20, 0)),
        (Hours(1, 0, 10, 0), Hours(1, 20, 30, 10)),
        # The auction of a Monday may not begin before the Sunday has closed.
        (Hours(1, 60, 70, 120), Hours(7, 0, 86_400, 0)),
        (Hours(1, 0, 86_400, 0), Hours(2, 0, 5, 60)),
    ],
)
def test_hours_that_contradict_themselves_are_refused(hours: tuple[Hours, ...]) -> None:
    with pytest.raises(DefinitionInvalid):
        set_hours(Desk(), *hours)


def test_hours_without_a_pause_do_not_close() -> None:
    night = Schedule((Hours(WEDNESDAY, 18 * HOUR, 86_400, 0), Hours(WEDNESDAY + 1, 0, 6 * HOUR, 0)))
    assert [night.state_at(at(hour)) for hour in (17.9, 18, 24, 29.9, 30)] == [OUTSIDE, OPEN, OPEN, OPEN, OUTSIDE]
    assert night.next_after(at(18)) == night.close_after(at(18)) == at(6, day=1)
    always = Schedule(tuple(Hours(weekday, 0, 86_400, 0) for weekday in range(1, 8)))
    assert (always.state_at(at(5)), always.next_after(at(5)), always.close_after(at(5))) == (OPEN, 0, 0)


def test_an_auction_may_begin_the_day_before() -> None:
    early = Schedule((Hours(WEDNESDAY + 1, 60, 120, 120),))
    assert [early.state_at(at(24) + second * SECOND) for second in (-61, -60, 59, 60, 120)] == [
        OUTSIDE,
        PRE_OPEN,
        PRE_OPEN,
        OPEN,
        OUTSIDE,
    ]
    assert early.next_after(at(24) + 120 * SECOND) == at(24, day=7) - 60 * SECOND


def test_hours_are_kept_as_text() -> None:
    assert hours_of(hours_text(DAILY[::-1])) == DAILY
    assert hours_of(hours_text(())) == ()


def test_hours_that_are_set_anew_move_the_end_of_the_day() -> None:
    desk = Desk()
    day, good = desk.buy("ann", "1", "90", life=TimeInForce.DAY), desk.buy("ann", "1", "91")
    gone = desk.buy("ann", "1", "92", life=TimeInForce.DAY)
    desk.cancel(gone)
    assert day.expire_time == at(24)
    desk.advance(at(10))
    set_hours(desk, *DAILY)
    assert (day.expire_time, good.expire_time, gone.expire_time) == (at(17), 0, at(24))
    set_hours(desk)
    assert day.expire_time == at(24)
    desk.advance(at(17))
    assert outcome(day).status == "OPEN"
    # Closed already: the day is over.
    set_hours(desk, *DAILY)
    assert day.expire_time == desk.now
    desk.advance(desk.now)
    assert [outcome(order).status for order in (day, good)] == ["EXPIRED", "OPEN"]
    assert desk.exchange.next_deadline() == at(9, 1) - 600_000_000


def test_hours_of_another_market_and_of_other_days_move_no_order() -> None:
    desk = Desk()
    desk.define("USD-BTC")
    set_hours(desk, *DAILY)
    desk.advance(at(10))
    day = desk.buy("ann", "1", "90", life=TimeInForce.DAY)
    until = desk.buy("ann", "1", "90", life=TimeInForce.GTD, expires=at(20))
    assert (day.expire_time, until.expire_time) == (at(17), at(20))
    desk.run(c.SetTradingHours, "USD-BTC", (Hours(3, 9 * HOUR, 11 * HOUR, 0),))
    set_hours(desk, *(hours for hours in DAILY if hours.weekday != 4))
    assert (day.expire_time, until.expire_time) == (at(17), at(20))


def test_days_that_hours_end_are_told_by_age_in_a_loaded_machine_too() -> None:
    desk = desk_at()
    place_oco(desk, "ann", Side.SELL, LIMIT | {"life": TimeInForce.DAY}, STOP | {"life": TimeInForce.DAY})
    desk.buy("ben", "1", "80", life=TimeInForce.DAY)
    loaded = load(PARTITION, Environment.DEMO, dump(desk.exchange))
    for machine in (desk.exchange, loaded):
        machine.execute(c.SetTradingHours(machine.clock.sequence + 1, desk.now + 1, "", "", b"", SYMBOL, DAILY))
    assert (loaded.clock.digest, state_hash(loaded)) == (desk.exchange.clock.digest, state_hash(desk.exchange))
