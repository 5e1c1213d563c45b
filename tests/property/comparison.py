"""One command in the machine and in the naive venue, and everything that must be the same afterwards."""

from fractions import Fraction

from servers.domain import commands as c
from servers.domain.errors import VenueError
from servers.domain.events import Event, OrderChanged, Traded
from servers.domain.exchange import Exchange
from servers.domain.model import Market, Order
from servers.domain.money import ATTO
from servers.domain.terms import CancelReason, MarketState, OrderStatus, Side
from tests.oracle import changes, lifecycle
from tests.oracle.book import NaiveTrade
from tests.oracle.venue import NaiveMarket, NaiveVenue, SettledTrade
from tests.property.traffic import ACCOUNTS, ASSETS, SYMBOLS


def naive_trade(event: Traded) -> SettledTrade:
    """A trade in whole assets."""
    market = event.market
    unit = Fraction(1, 10**market.quote_scale)
    price, quantity = price_of(market, event.ticks), quantity_of(market, event.lots)
    trade = NaiveTrade(price, quantity, event.maker.number, event.taker.number)
    assert event.notional * unit == price * quantity
    return SettledTrade(trade, event.maker_fee * unit, event.taker_fee * unit)


def price_of(market: Market, ticks: int) -> Fraction:
    return Fraction(ticks * market.tick_size, ATTO)


def quantity_of(market: Market, lots: int) -> Fraction:
    return Fraction(lots * market.lot_size, ATTO)


def end_of(order: Order) -> str:
    """How the naive venue says what became of an order."""
    return {
        (OrderStatus.PENDING_TRIGGER, 0): "",
        (OrderStatus.OPEN, 0): "",
        (OrderStatus.PARTIALLY_FILLED, 0): "",
        (OrderStatus.FILLED, 0): "filled",
        (OrderStatus.CANCELLED, CancelReason.UNFILLED): "unfilled",
        (OrderStatus.CANCELLED, CancelReason.SELF_TRADE): "self-trade",
        (OrderStatus.CANCELLED, CancelReason.REQUESTED): "cancelled",
        (OrderStatus.CANCELLED, CancelReason.ADMINISTRATIVE): "cancelled",
        (OrderStatus.CANCELLED, CancelReason.REPLACED): "replaced",
        (OrderStatus.CANCELLED, CancelReason.LEASE_EXPIRED): "lease",
        (OrderStatus.CANCELLED, CancelReason.MARKET_CLOSED): "closed",
        (OrderStatus.CANCELLED, CancelReason.DISCONNECTED): "disconnected",
        (OrderStatus.CANCELLED, CancelReason.TRIGGER_REJECTED): "trigger rejected",
        (OrderStatus.REJECTED, 0): "rejected",
        (OrderStatus.EXPIRED, 0): "expired",
    }[OrderStatus(order.status), CancelReason(order.cancel_reason)]


def levels(exchange: Exchange, symbol: str, side: Side) -> list[tuple[Fraction, Fraction, int]]:
    market = exchange.market(symbol)
    walked = exchange.floor.books[symbol].side(side).walk()
    return [(price_of(market, level.ticks), quantity_of(market, level.lots), level.count) for level in walked]


def check_books(exchange: Exchange, naive: NaiveVenue) -> None:
    for symbol in SYMBOLS:
        for side in (Side.BUY, Side.SELL):
            assert levels(exchange, symbol, side) == naive.markets[symbol].book.levels(side)
        check_lifecycle(exchange.market(symbol), naive.markets[symbol])


def check_lifecycle(market: Market, naive: NaiveMarket) -> None:
    assert market.state == naive.state
    expected = None
    if naive.state == MarketState.PRE_OPEN:
        expected = lifecycle.clearing(naive.book, naive.size("tick_size"), naive.last)
    assert (price_of(market, market.auction_ticks), quantity_of(market, market.auction_lots)) == (expected or (0, 0))


def check_funds(exchange: Exchange, naive: NaiveVenue) -> None:
    for account_id in ACCOUNTS:
        account = exchange.ledger.accounts[account_id]
        for asset, scale in ASSETS.items():
            balance = account.balances[asset]
            held = naive.held(account_id, asset)
            assert Fraction(balance.held, 10**scale) == held
            assert Fraction(balance.available + balance.held, 10**scale) == naive.accounts[account_id].totals[asset]
    fees = exchange.ledger.fees.balances
    assert {a: Fraction(b.available, 10 ** ASSETS[a]) for a, b in fees.items() if b.available} == {
        asset: fee for asset, fee in naive.fees.items() if fee
    }


def step(exchange: Exchange, naive: NaiveVenue, command: c.Command) -> bool:
    """Execute in both and compare what came of it; False if it was refused."""
    expected = None
    if isinstance(command, c.AmendOrder | c.ReplaceOrder):
        order = exchange.floor.orders.get(command.number)
        naive.now = command.time
        expected = changes.refusal(naive, command, 0 if order is None else order.update_sequence)
    events: list[Event] = []
    try:
        events = exchange.execute(command)
        refusal = ("", "")
    except VenueError as error:
        refusal = error.reason, error.metadata.get("reject_reason", "")
    assert expected in {None, refusal}
    if refusal[0]:
        return False
    trades = [naive_trade(event) for event in events if isinstance(event, Traded)]
    assert trades == naive.execute(command)
    for event in events:
        if isinstance(event, OrderChanged):
            order, placed = event.order, naive.orders[event.order.number]
            assert (end_of(order), order.reject_reason) == (placed.order.end, placed.reject)
            assert (order.parent_number, order.root_number) == (placed.parent, placed.root)
            if not order.reject_reason:
                assert quantity_of(order.market, order.filled_lots) == placed.order.filled
                if placed.order.price is not None:
                    assert (Fraction(order.price, ATTO), Fraction(order.quantity, ATTO)) == (
                        placed.order.price,
                        placed.order.quantity,
                    )
                assert Fraction(order.fee_charged, 10**order.market.quote_scale) == placed.charged
    return True
