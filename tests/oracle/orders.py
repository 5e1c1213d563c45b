"""What the naive venue knows of markets, accounts, orders and lists of them. Amounts are Fractions of whole assets and prices."""

from collections import defaultdict
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor

from servers.domain import commands as c
from servers.domain.hours import Hours
from servers.domain.terms import ListRole, OrderType, RejectReason, Side, TriggerSource
from tests.oracle.book import NaiveBook, NaiveOrder, NaiveTrade, Number

ATTO = 10**18
PROFITS = {OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT}
LIMITED = {OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT_LIMIT}
WAITING = {OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP, *PROFITS}


@dataclass(eq=False)
class NaiveMarket:
    """A market: its definition in Fractions, its rates by tier, its book."""

    definition: c.DefineMarket
    quote_unit: Fraction
    state: int
    book: NaiveBook
    rates: dict[str, tuple[Fraction, Fraction]]
    # The price of the last trade; its trading hours, and until when they were followed.
    last: Number = 0
    hours: tuple[Hours, ...] = ()
    followed: int = 0
    # Mark and index price as far as they are known.
    outside: dict[TriggerSource, Fraction] = field(default_factory=dict)
    # What positions were worth from which time on.
    valuations: list[tuple[int, Fraction]] = field(default_factory=list)

    def size(self, name: str) -> Fraction:
        """A size of the definition: tick_size, lot_size, min_quantity, max_quantity, max_price."""
        return Fraction(getattr(self.definition, name), ATTO)

    def says(self, source: TriggerSource) -> Fraction:
        """What a source of prices says; 0: nothing yet. Where there never was a mark price, the index is it."""
        if source == TriggerSource.LAST:
            return Fraction(self.last)
        if source == TriggerSource.MARK and source not in self.outside:
            source = TriggerSource.INDEX
        return self.outside.get(source, Fraction(0))

    def whole_ticks(self, source: TriggerSource) -> Fraction:
        tick = self.size("tick_size")
        return self.outside.get(source, Fraction(0)) // tick * tick

    def valuation(self) -> Fraction:
        """The price that positions are worth: mark price, else last."""
        return self.whole_ticks(TriggerSource.MARK) or Fraction(self.last)

    def reference(self) -> Fraction:
        """The price that bands are measured from: index price, else the one that positions are worth."""
        return self.whole_ticks(TriggerSource.INDEX) or self.valuation()


@dataclass(eq=False)
class NaiveAccount:
    """An account; `totals` is what it owns, held or not."""

    account_id: str
    user_id: str
    group: str
    tier: str
    active: bool = True
    # When its dead-man's switch goes off ("") and those of single tags.
    leases: dict[str, int] = field(default_factory=dict)
    # Sessions whose loss cancels their orders: opened by which command, and when that happens (0: never).
    sessions: dict[str, tuple[int, int]] = field(default_factory=dict)
    totals: dict[str, Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    # Every trade of it: when, where, how much (sold: below zero), and what it cost with its fee (brought: below zero).
    trades: list[tuple[int, NaiveMarket, Fraction, Fraction]] = field(default_factory=list)


@dataclass(eq=False)
class Wait:
    """What an order waits for. `first` is the stop price that a hold without a limit is reckoned at."""

    kind: OrderType
    source: TriggerSource
    stop: Fraction
    first: Fraction
    amount: Fraction
    percent: Fraction
    best: Fraction = Fraction(0)
    # Whether the price has come.
    over: bool = False


@dataclass(eq=False)
class Placed:
    """An order as the venue knows it: whose, its fills as (notional, rate), what fee was charged."""

    order: NaiveOrder
    account: NaiveAccount
    market: NaiveMarket
    maker_rate: Fraction
    taker_rate: Fraction
    label: str
    expire_time: int
    # The sequence of the command that placed it, and which of its orders it is.
    age: tuple[int, int]
    reject: RejectReason = RejectReason.UNSPECIFIED
    accrued: Fraction = Fraction(0)
    charged: Fraction = Fraction(0)
    # The numbers of the order it replaced (or that it is the exit of), and of the first of the line.
    parent: int = 0
    root: int = 0
    tag: str = ""
    session: str = ""
    by_day: bool = False
    wait: Wait | None = None
    exits: tuple[c.ExitTerms | None, c.ExitTerms | None] = (None, None)
    list_number: int = 0
    role: ListRole = ListRole.UNSPECIFIED

    @property
    def waits(self) -> bool:
        return self.wait is not None and not self.wait.over

    @property
    def rises(self) -> bool:
        """Whether it waits for a price at or above its stop price."""
        assert self.wait is not None
        return (self.order.side == Side.BUY) != (self.wait.kind in PROFITS)

    def met(self, price: Fraction) -> bool:
        assert self.wait is not None
        return price > 0 and (price >= self.wait.stop if self.rises else price <= self.wait.stop)

    def follow(self, price: Fraction) -> None:
        """Let a trailing stop follow a price."""
        assert self.wait is not None
        buys = self.order.side == Side.BUY
        if self.wait.kind != OrderType.TRAILING_STOP or (price >= self.wait.best if buys else price <= self.wait.best):
            return
        self.wait.best = price
        self.wait.stop = self.trailing()

    def trailing(self) -> Fraction:
        assert self.wait is not None
        wait, tick = self.wait, self.market.size("tick_size")
        distance = wait.amount or wait.best * wait.percent / 100
        if self.order.side == Side.BUY:
            return ceil((wait.best + distance) / tick) * tick
        return max(floor((wait.best - distance) / tick), 1) * tick

    def fee(self, more: Fraction) -> Fraction:
        """The whole fee so far and `more`, rounded up to the quote unit, less what was charged."""
        unit = self.market.quote_unit
        return ceil((self.accrued + more) / unit) * unit - self.charged

    def pays(self) -> str:
        """The asset that it holds."""
        definition = self.market.definition
        return definition.quote_asset if self.order.side == Side.BUY else definition.base_asset

    def hold(self) -> Fraction:
        """What the rest of it has to hold by itself: at its limit, or at the stop price that it waits for."""
        rest = Fraction(self.order.remaining())
        if self.order.side == Side.SELL:
            return rest
        price = self.order.price
        if price is None:
            assert self.wait is not None
            price = self.wait.first
        notional = rest * price
        return notional + self.fee(max(self.maker_rate, self.taker_rate, Fraction(0)) * notional)


@dataclass(eq=False)
class NaiveList:
    """Orders that stand in for each other; exits that buy hold what the entry's sales `brought`."""

    members: list[Placed]
    role: ListRole
    brought: Fraction = Fraction(0)

    def living(self) -> list[Placed]:
        return [member for member in self.members if not member.order.end]

    def hold(self) -> Fraction:
        """What it holds for all of them; of two that cancel each other nothing once one is gone."""
        living = self.living()
        if not living or (self.role == ListRole.OCO and len(living) < len(self.members)):
            return Fraction(0)
        if self.role != ListRole.OCO and living[0].order.side == Side.BUY:
            return self.brought
        return max(member.hold() for member in living)


@dataclass(frozen=True)
class SettledTrade:
    """A trade and the fees of it."""

    trade: NaiveTrade
    maker_fee: Fraction
    taker_fee: Fraction
