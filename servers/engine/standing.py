"""Positions, limits, assets and fee rates as messages, read from memory between two commands."""

from servers.domain.exchange import Exchange
from servers.domain.limits import UNSAID
from servers.domain.model import Account, Limits, Position
from servers.domain.money import ATTO_SCALE, RATE_SCALE, TENS, format_once, format_units
from servers.domain.positions import DAY_US, day_profit, unrealized, valuation_ticks
from servers.engine.messages import price_text, quantity_text
from venue.account.v1 import account_pb2
from venue.engine.v1 import engine_pb2
from venue.order.v1 import order_pb2


def position_messages(exchange: Exchange, account: Account) -> list[account_pb2.Position]:
    """The positions of an account that were ever traded into, by market, valued as of the last command."""
    traded = [position for position in account.positions.values() if position.update_sequence]
    traded.sort(key=lambda position: position.market.symbol)
    return [position_message(position, exchange.clock.time // DAY_US) for position in traded]


def position_message(position: Position, day: int) -> account_pb2.Position:
    """A position as its owner sees it on a day (UTC, counted from 1970)."""
    market = position.market
    scale = market.quote_scale
    # What hardly comes again is not remembered: see money.format_once.
    message = account_pb2.Position(
        symbol=market.symbol,
        quantity=quantity_text(market, position.lots),
        cost=format_once(position.cost, scale),
        realized_profit=format_once(position.realized, scale),
        unrealized_profit=format_once(unrealized(position), scale),
        day_profit=format_once(day_profit(position, day), scale),
        valuation_price=price_text(market, valuation_ticks(market)),
        quote_asset=market.quote_asset,
        sequence=position.update_sequence,
    )
    if position.lots:
        message.average_price = format_once(average_cost(position), scale)
    return message


def average_cost(position: Position) -> int:
    """What a unit of the base asset cost, rounded half up to the quote asset's scale; of a position that is not 0."""
    market = position.market
    base = abs(position.lots) * market.lot_units
    cost: int = abs(position.cost) * TENS[market.base_scale]
    return (cost * 2 + base) // (2 * base)


def limits_messages(exchange: Exchange) -> list[engine_pb2.SetLimits]:
    """All limits as they were set, by account, tier and market."""
    rows = exchange.floor.limits.rows
    return [
        engine_pb2.SetLimits(
            account_id=account_id, tier=tier, symbol=symbol, limits=_limits(rows[account_id, tier, symbol])
        )
        for account_id, tier, symbol in sorted(rows)
    ]


def asset_messages(exchange: Exchange) -> list[engine_pb2.DefineAsset]:
    """All assets, by symbol."""
    assets = exchange.ledger.assets
    return [
        engine_pb2.DefineAsset(symbol=symbol, scale=assets[symbol].scale, display_scale=assets[symbol].display_scale)
        for symbol in sorted(assets)
    ]


def fees_messages(exchange: Exchange) -> list[engine_pb2.SetFees]:
    """All fee rates as they were set, by market and tier."""
    rows = exchange.floor.fees
    return [
        engine_pb2.SetFees(
            symbol=symbol,
            tier=tier,
            maker_fee_rate=format_units(rows[symbol, tier].maker_rate, RATE_SCALE),
            taker_fee_rate=format_units(rows[symbol, tier].taker_rate, RATE_SCALE),
        )
        for symbol, tier in sorted(rows)
    ]


def _limits(limits: Limits) -> order_pb2.Limits:
    return order_pb2.Limits(
        quantity_max=_said(limits.quantity_max, ATTO_SCALE),
        notional_max=_said(limits.notional_max, ATTO_SCALE),
        open_orders_max=max(limits.open_orders_max, 0),
        position_max=_said(limits.position_max, ATTO_SCALE),
        daily_loss_max=_said(limits.daily_loss_max, ATTO_SCALE),
        price_band_percent=_said(limits.price_band, RATE_SCALE - 2),
        symbols_allowed=limits.symbols_allowed.split(),
    )


def _said(number: int, scale: int) -> str:
    return "" if number == UNSAID else format_units(number, scale)
