"""Positions: what an account's trades in a market add up to, and what that is worth.

Invariant: a position is the fold of its account's trades in the market; realized - cost is all that they brought less all that
they cost, fees included. Deposits and withdrawals change no position. Opening lots add to the cost; closing ones take their
share of it away, rounded towards zero, until none is left.
"""

from typing import Final

from servers.domain.model import Account, Market, Position

DAY_US: Final = 86_400_000_000


def day_end(time: int) -> int:
    """The midnight (UTC) after a time, in microseconds since 1970."""
    return (time // DAY_US + 1) * DAY_US


def position_of(account: Account, market: Market) -> Position:
    """The account's position in a market, made at its first use."""
    position = account.positions.get(market.symbol)
    if position is None:
        position = account.positions[market.symbol] = Position(account, market)
    return position


def valuation_ticks(market: Market) -> int:
    """The price that positions are worth: the mark price (its part of a tick cut off), else the last; 0: neither is known."""
    return market.mark_price // market.tick_size or market.last_ticks


def reference_ticks(market: Market) -> int:
    """The price that price bands are measured from: the index price, else the mark price, else the last; 0: none is known."""
    return market.index_price // market.tick_size or valuation_ticks(market)


def begin_day(market: Market, day: int) -> None:
    """Before the first new price of a day: what positions are worth now is what they were worth when the day began."""
    market.day = day
    market.day_ticks = valuation_ticks(market)


def add_trade(position: Position, lots: int, price: int, fee: int, day: int) -> None:
    """Add a trade: lots below zero are sold, each at `price` quote units; the market's day has begun."""
    held = position.lots
    if position.day != day:
        market = position.market
        position.day_start = position.realized - position.cost + held * market.day_ticks * market.tick_value
        position.day = day
    position.lots = held + lots
    if held >= 0 < lots or held <= 0 > lots:
        position.cost += lots * price
        position.realized -= fee
        return
    closed = lots if abs(lots) <= abs(held) else -held
    # Both are of the sign of what is held.
    share = abs(position.cost) * abs(closed) // abs(held)
    if held < 0:
        share = -share
    position.cost += (lots - closed) * price - share
    position.realized -= closed * price + share + fee


def unrealized(position: Position) -> int:
    """What closing it at the valuation price would realize, fees aside."""
    market = position.market
    return position.lots * valuation_ticks(market) * market.tick_value - position.cost


def day_profit(position: Position, day: int) -> int:
    """Realized and unrealized profit since the day began."""
    market = position.market
    ticks = valuation_ticks(market)
    if position.day != day:
        # Since then it only changed its worth.
        return position.lots * (ticks - market.day_ticks) * market.tick_value if market.day == day else 0
    return position.realized - position.cost + position.lots * ticks * market.tick_value - position.day_start


def day_loss(account: Account, quote_asset: str, day: int) -> int:
    """What the account lost since the day began in all markets with a quote asset; below zero: it won."""
    return -sum(
        day_profit(position, day)
        for position in account.positions.values()
        if position.lots or position.day == day
        if position.market.quote_asset == quote_asset
    )
