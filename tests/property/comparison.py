"""One command in the machine and in the naive venue, and everything that must be the same afterwards."""

from fractions import Fraction

from servers.domain import commands as c
from servers.domain.errors import VenueError
from servers.domain.events import Event, OrderChanged, Traded
from servers.domain.exchange import Exchange
from servers.domain.losses import lost_today
from servers.domain.model import Market, Order
from servers.domain.money import ATTO
from servers.domain.positions import DAY_US
from servers.domain.terms import CancelReason, MarketState, OrderStatus, Side
from tests.oracle import bounds, changes, lifecycle
from tests.oracle.book import NaiveTrade
from tests.oracle.orders import NaiveMarket, Placed, SettledTrade
from tests.oracle.venue import NaiveVenue
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
        (OrderStatus.CANCELLED, CancelReason.LINKED): "linked",
        (OrderStatus.CANCELLED, CancelReason.NOT_REDUCING): "not reducing",
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


def check_positions(exchange: Exchange, naive: NaiveVenue) -> None:
    """What was bought less what was sold, what it cost, and what it made today."""
    day = exchange.clock.time // DAY_US
    naive.now = exchange.clock.time
    for account_id in ACCOUNTS:
        account, plain = exchange.ledger.accounts[account_id], naive.accounts[account_id]
        for symbol in SYMBOLS:
            position = account.positions.get(symbol)
            expected = naive.markets[symbol].book.positions[account_id]
            assert (0 if position is None else quantity_of(position.market, position.lots)) == expected
        lost = {market.quote_asset: lost_today(account, market, day) for market in exchange.floor.markets.values()}
        assert {asset: Fraction(loss, 10 ** ASSETS[asset]) for asset, loss in lost.items()} == {
            asset: bounds.lost_today(naive, plain, asset) for asset in lost
        }


def check_waiting(exchange: Exchange, naive: NaiveVenue) -> None:
    """Who waits, and for what."""
    pending = [order for order in exchange.floor.orders.values() if order.status == OrderStatus.PENDING_TRIGGER]
    assert {order.number: Fraction(order.stop_price, ATTO) for order in pending} == {
        placed.order.number: placed.wait.stop
        for placed in naive.open_orders()
        if placed.waits and placed.wait is not None
    }


def told(order: Order) -> tuple[object, ...]:
    """What an order shows of itself beside its fills."""
    return (
        end_of(order),
        order.reject_reason,
        order.parent_number,
        order.root_number,
        (order.list_number, order.list_role) if order.status != OrderStatus.REJECTED else (0, 0),
        order.client_order_id,
        order.session_id,
        order.tag,
    )


def expected_of(placed: Placed) -> tuple[object, ...]:
    return (
        placed.order.end,
        placed.reject,
        placed.parent,
        placed.root,
        (placed.list_number, placed.role) if placed.order.end != "rejected" else (0, 0),
        placed.label,
        placed.session,
        placed.tag,
    )


def check_order(order: Order, placed: Placed) -> None:
    """An order that a command changed is as the naive venue has it."""
    assert told(order) == expected_of(placed)
    if order.reject_reason:
        return
    assert quantity_of(order.market, order.filled_lots) == placed.order.filled
    assert Fraction(order.price, ATTO) == (placed.order.price or 0)
    if placed.order.quantity is not None:
        assert Fraction(order.quantity, ATTO) == placed.order.quantity
    assert Fraction(order.fee_charged, 10**order.market.quote_scale) == placed.charged


def step(exchange: Exchange, naive: NaiveVenue, command: c.Command) -> bool:
    """Execute in both and compare what came of it; False if it was refused."""
    naive.now = command.time
    order = exchange.floor.orders.get(getattr(command, "number", 0))
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
            check_order(event.order, naive.orders[event.order.number])
    return True
