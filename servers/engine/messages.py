"""What the machine holds and causes, as messages of the contract. Readers of the machine use it between two commands."""

from functools import lru_cache

from google.protobuf.timestamp_pb2 import Timestamp

from db.candles import FAR_US
from servers.domain.book import BookSide
from servers.domain.checksum import book_checksum
from servers.domain.events import (
    Traded,
)
from servers.domain.exchange import Exchange
from servers.domain.hours import hours_of
from servers.domain.identifiers import list_id, order_id
from servers.domain.model import Account, Balance, Market, Order
from servers.domain.money import ATTO_SCALE, RATE_SCALE, TENS, format_units
from servers.domain.terms import AccountType, Environment, OrderStatus, Side
from venue.account.v1 import account_pb2
from venue.marketdata.v1 import marketdata_pb2
from venue.order.v1 import order_pb2

_FILLED = int(OrderStatus.FILLED)
_BUY = int(Side.BUY)


@lru_cache(4096)
def timestamp(time_us: int) -> Timestamp:
    """Microseconds since 1970 as a Timestamp, for putting into messages (which copy it); never change one."""
    seconds, rest = divmod(time_us, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)


def micros(moment: Timestamp) -> int:
    """Microseconds since 1970, rounded up, as far as tables go."""
    return max(0, min(moment.seconds * 1_000_000 - -moment.nanos // 1000, FAR_US))


def quantity_text(market: Market, lots: int) -> str:
    """Lots as decimal text."""
    return format_units(lots * market.lot_size, ATTO_SCALE)


def price_text(market: Market, ticks: int) -> str:
    """Ticks as decimal text."""
    return format_units(ticks * market.tick_size, ATTO_SCALE)


def average_price(order: Order) -> str:
    """Notional over filled quantity, rounded half up to the quote asset's scale; empty if nothing was filled."""
    return format_units(average_units(order), order.market.quote_scale) if order.filled_lots else ""


def average_units(order: Order) -> int:
    """The average price of an order that was filled, in quote units."""
    market = order.market
    base = order.filled_lots * market.lot_units
    units: int = order.notional * TENS[market.base_scale] * 2 + base
    return units // (2 * base)


def order_message(partition: int, order: Order) -> order_pb2.Order:
    """An order as clients see it. What is empty or zero is left out: setting it costs and says nothing."""
    market = order.market
    number = order_id(partition, order.number)
    rest = 0 if order.status >= _FILLED else order.lots - order.filled_lots - order.removed_lots
    message = order_pb2.Order(
        order_id=number,
        account_id=order.account.account_id,
        symbol=market.symbol,
        side=order.side,  # type: ignore[arg-type]  # the domain's numbers are the wire's
        type=order.type,  # type: ignore[arg-type]
        time_in_force=order.time_in_force,  # type: ignore[arg-type]
        quantity=format_units(order.quantity, ATTO_SCALE),
        filled_quantity=quantity_text(market, order.filled_lots) if order.filled_lots else "0",
        remaining_quantity=quantity_text(market, rest) if rest else "0",
        fee=format_units(order.fee_charged, market.quote_scale) if order.fee_charged else "0",
        fee_asset=market.quote_asset,
        status=order.status,  # type: ignore[arg-type]
        root_order_id=order_id(partition, order.root_number) if order.root_number else number,
        create_time=timestamp(order.create_time),
        update_time=timestamp(order.update_time),
        sequence=order.update_sequence,
        self_trade_prevention=order.self_trade_prevention,  # type: ignore[arg-type]
    )
    if order.parent_number:
        message.parent_order_id = order_id(partition, order.parent_number)
    if order.price:
        message.price = format_units(order.price, ATTO_SCALE)
    if order.client_order_id:
        message.client_order_id = order.client_order_id
    if order.request_id:
        message.request_id = order.request_id
    if order.filled_lots:
        message.average_price = average_price(order)
    if order.reject_reason:
        message.reject_reason = order.reject_reason  # type: ignore[assignment]
    if order.cancel_reason:
        message.cancel_reason = order.cancel_reason  # type: ignore[assignment]
    if order.post_only:
        message.post_only = True
    if order.reduce_only:
        message.reduce_only = True
    if order.display_quantity:
        message.display_quantity = format_units(order.display_quantity, ATTO_SCALE)
    if order.tag:
        message.tag = order.tag
    if order.quote_amount:
        message.quote_amount = format_units(order.quote_amount, ATTO_SCALE)
    if order.expire_time or order.trigger_source or order.list_number:
        _condition(partition, message, order)
    return message


def _condition(partition: int, message: order_pb2.Order, order: Order) -> None:
    """When an order expires, what it waits for, or waited, and the list it belongs to."""
    if order.expire_time:
        message.expire_time.CopyFrom(timestamp(order.expire_time))
    if order.list_number:
        message.list_id = list_id(partition, order.list_number)
        message.list_role = order.list_role  # type: ignore[assignment]
    if not order.trigger_source:
        return
    message.stop_price = format_units(order.stop_price, ATTO_SCALE)
    message.trigger_source = order.trigger_source  # type: ignore[assignment]
    if order.trailing_amount:
        message.trailing_amount = format_units(order.trailing_amount, ATTO_SCALE)
    if order.trailing_percent:
        message.trailing_percent = format_units(order.trailing_percent, 2)
    if order.trigger_time:
        message.trigger_time.CopyFrom(timestamp(order.trigger_time))


def fill_message(partition: int, traded: Traded, order: Order, sequence: int, time_us: int) -> order_pb2.Fill:
    """One side of a trade."""
    market = traded.market
    maker = order is traded.maker
    return order_pb2.Fill(
        trade_id=f"{partition}-t{traded.number}",
        order_id=order_id(partition, order.number),
        client_order_id=order.client_order_id,
        account_id=order.account.account_id,
        symbol=market.symbol,
        side=order.side,  # type: ignore[arg-type]
        price=price_text(market, traded.ticks),
        quantity=quantity_text(market, traded.lots),
        fee=format_units(traded.maker_fee if maker else traded.taker_fee, market.quote_scale),
        fee_asset=market.quote_asset,
        liquidity=order_pb2.LIQUIDITY_MAKER if maker else order_pb2.LIQUIDITY_TAKER,
        trade_time=timestamp(time_us),
        sequence=sequence,
    )


def balance_message(exchange: Exchange, balance: Balance) -> account_pb2.Balance:
    """A balance in the asset's decimals."""
    scale = exchange.ledger.assets[balance.asset].scale
    return account_pb2.Balance(
        asset=balance.asset,
        available=format_units(balance.available, scale),
        held=format_units(balance.held, scale),
        total=format_units(balance.available + balance.held, scale),
    )


def account_message(account: Account) -> account_pb2.Account:
    """An account as its user sees it."""
    live = account.type == int(AccountType.TRADING)
    return account_pb2.Account(
        account_id=account.account_id,
        type=account.type,  # type: ignore[arg-type]
        environment=int(Environment.LIVE if live else Environment.DEMO),  # type: ignore[arg-type]
        name=account.name,
        status=account.status,  # type: ignore[arg-type]
        create_time=timestamp(account.create_time),
        tier=account.tier,
        self_trade_group=account.self_trade_group,
    )


def market_message(exchange: Exchange, market: Market) -> marketdata_pb2.Market:
    """A market's definition, state and default fee rates."""
    fees = exchange.floor.fees[market.symbol, "default"]
    message = marketdata_pb2.Market(
        symbol=market.symbol,
        environment=int(exchange.environment),  # type: ignore[arg-type]
        kind=market.kind,  # type: ignore[arg-type]
        state=market.state,  # type: ignore[arg-type]
        base_asset=market.base_asset,
        quote_asset=market.quote_asset,
        tick_size=format_units(market.tick_size, ATTO_SCALE),
        lot_size=format_units(market.lot_size, ATTO_SCALE),
        min_quantity=quantity_text(market, market.min_lots),
        max_quantity=quantity_text(market, market.max_lots),
        max_price=price_text(market, market.max_ticks),
        maker_fee_rate=format_units(fees.maker_rate, RATE_SCALE),
        taker_fee_rate=format_units(fees.taker_rate, RATE_SCALE),
        mark_price=format_units(market.mark_price, ATTO_SCALE) if market.mark_price else "",
        index_price=format_units(market.index_price, ATTO_SCALE) if market.index_price else "",
    )
    for weekday, open_second, close_second, auction_seconds in hours_of(market.hours):
        message.trading_hours.add(
            weekday=weekday, open_second=open_second, close_second=close_second, auction_seconds=auction_seconds
        )
    if market.next_state_time:
        message.next_state_time.CopyFrom(timestamp(market.next_state_time))
    if market.auction_lots:
        message.auction_price = price_text(market, market.auction_ticks)
        message.auction_quantity = quantity_text(market, market.auction_lots)
    return message


def level_message(market: Market, ticks: int, lots: int, count: int) -> marketdata_pb2.BookLevel:
    """A price level; no lots: it is gone."""
    return marketdata_pb2.BookLevel(
        price=price_text(market, ticks), quantity=quantity_text(market, lots), order_count=count
    )


def book_message(exchange: Exchange, symbol: str, depth: int) -> marketdata_pb2.GetOrderBookResponse:
    """The best levels of a book (depth 0: all), with the checksum. Raises MarketNotFound."""
    market = exchange.market(symbol)
    book = exchange.floor.books[symbol]
    bids, asks = _levels(market, book.bids, depth), _levels(market, book.asks, depth)
    return marketdata_pb2.GetOrderBookResponse(
        symbol=symbol,
        sequence=market.book_sequence,
        bids=bids[: depth or None],
        asks=asks[: depth or None],
        checksum=book_checksum([(b.price, b.quantity) for b in bids], [(a.price, a.quantity) for a in asks]),
        environment=int(exchange.environment),  # type: ignore[arg-type]
    )


def _levels(market: Market, side: BookSide, depth: int) -> list[marketdata_pb2.BookLevel]:
    # At least ten, for the checksum.
    wanted = max(depth, 10) if depth else len(side.levels)
    walk = side.walk()
    return [
        level_message(market, level.ticks, level.lots, level.count)
        for level, _ in zip(walk, range(wanted), strict=False)
    ]
