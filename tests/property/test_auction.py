"""Auctions beside the naive venue, which tries every price: the same price, trades, ends, funds and books."""

from hypothesis import given
from hypothesis import strategies as st

from servers.domain import commands as c
from servers.domain.exchange import Exchange
from servers.domain.invariants import breaches
from servers.domain.money import parse
from servers.domain.state import dump, load, state_hash
from servers.domain.terms import Environment, MarketState, OrderType, SelfTradePrevention, TimeInForce
from tests.oracle.venue import NaiveVenue
from tests.property.comparison import check_books, check_funds, step
from tests.property.traffic import ACCOUNTS, MARKETS, PARTITION, SYMBOLS, Traffic

SYMBOL = "AAA-USD"
TICK, LOT = parse(MARKETS[SYMBOL][0]), parse(MARKETS[SYMBOL][1])
# account, side, ticks, lots, lots shown (0: all), prevention
orders = st.tuples(
    st.sampled_from(ACCOUNTS),
    st.sampled_from((1, 2)),
    st.integers(95, 105),
    st.integers(2, 20),
    st.sampled_from((0, 0, 2, 3)),
    st.sampled_from(tuple(map(int, SelfTradePrevention))),
)


class Stage:
    """The machine and the naive venue, each command carried out in both."""

    def __init__(self) -> None:
        self.exchange, self.naive = Exchange(PARTITION, Environment.DEMO), NaiveVenue()
        self.time = 0
        for command in Traffic(0, transfers=False).opening():
            assert step(self.exchange, self.naive, command)
            self.time = command.time

    def run(self, kind: type[c.Command], *fields: object) -> None:
        stamp = (self.exchange.clock.sequence + 1, self.time, "", "", b"")
        assert step(self.exchange, self.naive, kind(*stamp, *fields))
        assert breaches(self.exchange) == []
        check_books(self.exchange, self.naive)

    def state(self, state: MarketState) -> None:
        for symbol in SYMBOLS:
            self.run(c.SetMarketState, symbol, int(state))

    def place(self, order: tuple[str, int, int, int, int, int]) -> None:
        account_id, side, ticks, lots, shown, prevention = order
        terms = (side, int(OrderType.LIMIT), int(TimeInForce.GTC), ticks * TICK, lots * LOT, 0, False, False)
        self.run(c.PlaceOrder, account_id, SYMBOL, *terms, prevention, "", 0, "", shown * LOT if shown < lots else 0)


@given(before=st.lists(orders, max_size=6), collected=st.lists(orders, max_size=25))
def test_an_auction_trades_as_in_the_naive_venue(
    before: list[tuple[str, int, int, int, int, int]], collected: list[tuple[str, int, int, int, int, int]]
) -> None:
    stage = Stage()
    for order in before:
        stage.place(order)
    stage.state(MarketState.PRE_OPEN)
    for order in collected:
        stage.place(order)
    loaded = load(PARTITION, Environment.DEMO, dump(stage.exchange))
    assert state_hash(loaded) == state_hash(stage.exchange)
    stage.exchange = loaded
    stage.state(MarketState.OPEN)
    check_funds(stage.exchange, stage.naive)
    assert not stage.exchange.floor.books[SYMBOL].crossed()
    # What is left behind trades on as ever.
    for order in before:
        stage.place(order)
    check_funds(stage.exchange, stage.naive)


@given(collected=st.lists(orders, max_size=25), last=st.integers(90, 110))
def test_no_price_would_trade_more(collected: list[tuple[str, int, int, int, int, int]], last: int) -> None:
    stage = Stage()
    market = stage.exchange.market(SYMBOL)
    market.last_ticks = last
    stage.naive.markets[SYMBOL].last = last * stage.naive.markets[SYMBOL].size("tick_size")
    stage.state(MarketState.PRE_OPEN)
    for order in collected:
        stage.place(order)
    volumes = []
    for ticks in range(90, 111):
        bought = sum(lots for _, side, at, lots, *_ in collected if side == 1 and at >= ticks)
        sold = sum(lots for _, side, at, lots, *_ in collected if side == 2 and at <= ticks)
        volumes.append(min(bought, sold))
    assert max(volumes) == market.auction_lots
    if market.auction_lots:
        assert volumes[market.auction_ticks - 90] == market.auction_lots
