"""Limits: who may trade what, how large, how far from the market, up to which position and loss; set at run time.

Each field is looked for in the limits of account and market, account, tier and market, tier, market, everybody: the first that
says something counts. What comes of it for an account in a market is kept until limits are set again.
"""

from dataclasses import replace
from typing import Final

from servers.domain.commands import SetLimits
from servers.domain.errors import DefinitionInvalid
from servers.domain.events import LimitsChanged
from servers.domain.model import Account, Limits, Market
from servers.domain.money import ATTO, RATE
from servers.domain.positions import position_of
from servers.domain.record import Record

UNSAID: Final = -1
NO_LIMIT: Final = 1 << 200
# Where nobody set any.
OPEN_ORDERS_MAX: Final = 1_000
ALL_SYMBOLS: Final = "*"
# What a market's own limits cannot say: it counts over all markets.
_OF_ALL_MARKETS: Final = ("open_orders_max", "symbols_allowed")
Key = tuple[str, str, str]


class Bounds:
    """The limits that hold for an account in a market, in lots and quote units; NO_LIMIT where there is none.

    `plain` says that only the size of an order and the number of open ones are limited.
    """

    __slots__ = (
        "allowed",
        "band",
        "loss_max",
        "lots_max",
        "notional_max",
        "open_orders_max",
        "plain",
        "position_max",
        "stale",
    )

    def __init__(self, chain: list[Limits], market: Market) -> None:
        self.lots_max = min(_first(chain, "quantity_max") // market.lot_size, market.max_lots)
        self.notional_max = _amount(chain, "notional_max", market)
        self.position_max = _amount(chain, "position_max", market)
        self.loss_max = _amount(chain, "daily_loss_max", market)
        self.open_orders_max = _first(chain, "open_orders_max", OPEN_ORDERS_MAX)
        self.band = _first(chain, "price_band")
        symbols = next((limits.symbols_allowed for limits in chain if limits.symbols_allowed), ALL_SYMBOLS).split()
        self.allowed = ALL_SYMBOLS in symbols or market.symbol in symbols
        self.plain = self.allowed and {self.notional_max, self.position_max, self.loss_max, self.band} == {NO_LIMIT}
        self.stale = False


def _first(chain: list[Limits], name: str, otherwise: int = NO_LIMIT) -> int:
    for limits in chain:
        value: int = getattr(limits, name)
        if value != UNSAID:
            return value or NO_LIMIT
    return otherwise


def _amount(chain: list[Limits], name: str, market: Market) -> int:
    atto = _first(chain, name)
    return atto if atto == NO_LIMIT else atto * 10**market.quote_scale // ATTO


class LimitBook:
    """All limits of a partition by (account, tier, market), each empty where it does not matter."""

    __slots__ = ("_resolved", "record", "rows")

    def __init__(self, record: Record) -> None:
        self.record = record
        self.rows: dict[Key, Limits] = {}
        # By account (empty: one without limits of its own), tier and market.
        self._resolved: dict[Key, Bounds] = {}

    def of(self, account: Account, market: Market) -> Bounds:
        """The limits of an account in a market, kept with its position there."""
        position = account.positions.get(market.symbol) or position_of(account, market)
        bounds = position.bounds
        if bounds is None or bounds.stale:
            bounds = position.bounds = self.resolve(account, market)
        return bounds

    def resolve(self, account: Account, market: Market) -> Bounds:
        """The limits of an account in a market; those without limits of their own share them."""
        account_id, tier, symbol = account.account_id, account.tier, market.symbol
        own = (account_id, "", symbol) in self.rows or (account_id, "", "") in self.rows
        key = (account_id if own else "", tier, symbol)
        bounds = self._resolved.get(key)
        if bounds is None:
            bounds = self._resolved[key] = Bounds(self.chain(account_id, tier, symbol), market)
        return bounds

    def chain(self, account_id: str, tier: str, symbol: str) -> list[Limits]:
        """The limits that may say something, the narrowest first."""
        keys = (
            (account_id, "", symbol),
            (account_id, "", ""),
            ("", tier, symbol),
            ("", tier, ""),
            ("", "", symbol),
            ("", "", ""),
        )
        return [self.rows[key] for key in keys if key in self.rows]

    def set(self, limits: Limits) -> None:
        """Let limits hold from now on, in place of those with the same key."""
        self.rows[limits.account_id, limits.tier, limits.symbol] = limits
        for bounds in self._resolved.values():
            bounds.stale = True
        self._resolved.clear()
        record = self.record
        record.events.append(LimitsChanged(limits))
        record.fold(len(self.rows), limits.position_max)
        record.fold(limits.daily_loss_max, limits.quantity_max)


def limits_of(command: SetLimits) -> Limits:
    """The limits of a command. Raises DefinitionInvalid."""
    limits = command.limits
    if limits.account_id and limits.tier:
        raise DefinitionInvalid("tier", "and account_id exclude each other")
    amounts = (limits.quantity_max, limits.notional_max, limits.position_max, limits.daily_loss_max)
    if min(*amounts, limits.open_orders_max, limits.price_band) < UNSAID:
        raise DefinitionInvalid("limits", "must not be below zero")
    if limits.symbol and (limits.open_orders_max != UNSAID or limits.symbols_allowed):
        raise DefinitionInvalid(_OF_ALL_MARKETS[limits.open_orders_max == UNSAID], "is not a limit of one market")
    if limits.price_band > RATE * 100:
        raise DefinitionInvalid("price_band_percent", "must be 10000 at most")
    return replace(limits)
