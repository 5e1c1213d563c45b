"""What accounts lost today, without counting all their positions at every order: a sum is kept and put right where prices moved.

Invariant: the kept sum is `day_loss` of the positions. A position's profit changes only by a trade or a price of its market, and
both are noted in the moves that markets of one quote asset share.
"""

from itertools import islice

from servers.domain.model import MOVES_MAX, Account, Market, Position
from servers.domain.positions import day_profit


class DayProfits:
    """The profits of an account's positions in one quote asset since the day began, as of so many moves."""

    __slots__ = ("by_symbol", "count", "day", "total")

    def __init__(self, account: Account, quote_asset: str, day: int) -> None:
        self.day = day
        self.count = 0
        self.by_symbol: dict[str, int] = {}
        self.total = 0
        for position in account.positions.values():
            if position.market.quote_asset == quote_asset:
                self.put_right(position)

    def put_right(self, position: Position) -> None:
        """Take in what a position made by now."""
        profit = day_profit(position, self.day)
        symbol = position.market.symbol
        self.total += profit - self.by_symbol.get(symbol, 0)
        self.by_symbol[symbol] = profit


def lost_today(account: Account, market: Market, day: int) -> int:
    """What the account lost since the day began in all markets with the market's quote asset; below zero: it won."""
    moves, kept = market.moves, account.day_profits.get(market.quote_asset)
    if kept is not None and kept.count == moves.count and kept.day == day:
        return -kept.total
    since = 0 if kept is None else moves.count - kept.count
    if kept is None or kept.day != day or since > min(len(account.positions), MOVES_MAX):
        kept = account.day_profits[market.quote_asset] = DayProfits(account, market.quote_asset, day)
    elif since:
        for moved in islice(reversed(moves.recent), since):
            position = account.positions.get(moved.symbol)
            if position is not None:
                kept.put_right(position)
    kept.count = moves.count
    return -kept.total
