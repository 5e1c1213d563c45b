"""A naive venue around naive books: checks in their documented order, funds folded from trades, holds summed from open orders.

Amounts are Fractions of whole assets and prices. Commands that the machine would refuse with an error are not for it.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil

from servers.domain import commands as c
from servers.domain.hours import Hours
from servers.domain.terms import (
    AccountStatus,
    MarketState,
    OrderType,
    RejectReason,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from tests.oracle import changes, disconnects, lifecycle
from tests.oracle.book import NaiveBook, NaiveOrder, NaiveTrade, Number

ATTO = 10**18


@dataclass
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

    def size(self, name: str) -> Fraction:
        """A size of the definition: tick_size, lot_size, min_quantity, max_quantity, max_price."""
        return Fraction(getattr(self.definition, name), ATTO)


@dataclass
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


@dataclass
class Placed:
    """An order as the venue knows it: whose, its fills as (notional, rate), what fee was charged."""

    order: NaiveOrder
    account: NaiveAccount
    market: NaiveMarket
    maker_rate: Fraction
    taker_rate: Fraction
    label: str
    expire_time: int
    reject: RejectReason = RejectReason.UNSPECIFIED
    accrued: Fraction = Fraction(0)
    charged: Fraction = Fraction(0)
    # The numbers of the order it replaced, and of the first of the line.
    parent: int = 0
    root: int = 0
    tag: str = ""
    session: str = ""

    def fee(self, more: Fraction) -> Fraction:
        """The whole fee so far and `more`, rounded up to the quote unit, less what was charged."""
        unit = self.market.quote_unit
        return ceil((self.accrued + more) / unit) * unit - self.charged

    def hold(self) -> tuple[str, Fraction]:
        """(asset, amount) that the rest of a limit order has to hold."""
        definition, rest = self.market.definition, Fraction(self.order.remaining())
        if self.order.side == Side.SELL:
            return definition.base_asset, rest
        assert self.order.price is not None
        notional = rest * self.order.price
        return definition.quote_asset, notional + self.fee(
            max(self.maker_rate, self.taker_rate, Fraction(0)) * notional
        )


@dataclass(frozen=True)
class SettledTrade:
    """A trade and the fees of it."""

    trade: NaiveTrade
    maker_fee: Fraction
    taker_fee: Fraction


class NaiveVenue:
    """Everything is looked up by walking lists."""

    def __init__(self) -> None:
        self.assets: dict[str, int] = {}
        self.markets: dict[str, NaiveMarket] = {}
        self.accounts: dict[str, NaiveAccount] = {}
        self.orders: dict[int, Placed] = {}
        self.fees: dict[str, Fraction] = defaultdict(Fraction)
        self.now = 0

    def execute(self, command: c.Command) -> list[SettledTrade]:
        """Carry out a command; returns its trades."""
        self.now = command.time
        match command:
            case c.DefineAsset():
                self.assets[command.symbol] = command.scale
            case c.DefineMarket():
                self._define(command)
            case c.OpenAccount():
                group = command.self_trade_group or command.account_id
                account = NaiveAccount(command.account_id, command.user_id, group, command.tier or "default")
                for asset, atto in command.opening:
                    account.totals[asset] += Fraction(atto, ATTO)
                self.accounts[account.account_id] = account
            case c.SetFees():
                rates = Fraction(command.maker_rate, 10**8), Fraction(command.taker_rate, 10**8)
                self.markets[command.symbol].rates[command.tier] = rates
            case c.SetAccountStatus():
                self.accounts[command.account_id].active = command.status == AccountStatus.ACTIVE
            case c.LeaderStarted() | c.CancelAllAfter() | c.OpenSession() | c.EndSession():
                self._arm(command)
            case c.CancelOrder():
                placed = self.orders[command.number]
                placed.market.book.cancel(command.number)
            case c.CancelAllOrders():
                self._cancel_all(command)
            case _:
                return self._trade(command)
        return []

    def _trade(self, command: c.Command) -> list[SettledTrade]:
        match command:
            case c.SetMarketState():
                return lifecycle.enter(self, self.markets[command.symbol], command.state)
            case c.SetTradingHours():
                return self._set_hours(command)
            case c.Advance():
                return self._advance(command.time)
            case c.PlaceOrder():
                return self._place(command)
            case c.AmendOrder():
                return changes.amend(self, command)
            case c.ReplaceOrder():
                return changes.replace(self, command)
        raise AssertionError(command)

    def open_orders(self, account_id: str = "") -> Iterator[Placed]:
        """Resting orders, oldest first."""
        for placed in self.orders.values():
            if not placed.order.end and account_id in {"", placed.account.account_id}:
                yield placed

    def held(self, account_id: str, asset: str) -> Fraction:
        """What an account's open orders hold of an asset."""
        holds = [placed.hold() for placed in self.open_orders(account_id)]
        return sum((amount for held, amount in holds if held == asset), Fraction(0))

    def available(self, account_id: str, asset: str) -> Fraction:
        """What is free."""
        return self.accounts[account_id].totals[asset] - self.held(account_id, asset)

    def _define(self, command: c.DefineMarket) -> None:
        unit = Fraction(1, 10 ** self.assets[command.quote_asset])
        rates = Fraction(command.maker_rate, 10**8), Fraction(command.taker_rate, 10**8)
        book = NaiveBook(Fraction(command.lot_size, ATTO), unit)
        self.markets[command.symbol] = NaiveMarket(command, unit, command.state, book, {"default": rates})

    def _set_hours(self, command: c.SetTradingHours) -> list[SettledTrade]:
        market = self.markets[command.symbol]
        market.hours, market.followed = command.hours, command.time
        if command.hours:
            return lifecycle.follow_hours(self, market, command.time // 1_000_000)
        outside = market.state == MarketState.OUTSIDE_HOURS
        return lifecycle.enter(self, market, MarketState.OPEN) if outside else []

    def _arm(self, command: c.LeaderStarted | c.CancelAllAfter | c.OpenSession | c.EndSession) -> None:
        match command:
            case c.OpenSession() | c.EndSession():
                disconnects.note(self, command)
            case c.LeaderStarted():
                for account in self.accounts.values():
                    for tag, lease in account.leases.items():
                        account.leases[tag] = max(lease, command.time) + 10_000_000
                disconnects.extend(self, command.time)
            case c.CancelAllAfter():
                leases = self.accounts[command.account_id].leases
                leases.pop(command.tag, None)
                if command.timeout:
                    leases[command.tag] = command.time + command.timeout

    def _advance(self, now: int) -> list[SettledTrade]:
        orders = [(p.expire_time, 0, p.order.number, "", "") for p in self.open_orders() if 0 < p.expire_time <= now]
        leases = [
            (lease, 1, 0, account.account_id, tag)
            for account in self.accounts.values()
            for tag, lease in account.leases.items()
            if lease <= now
        ]
        hours = [
            (second * 1_000_000, 2, 0, symbol, "")
            for symbol, market in self.markets.items()
            for second in lifecycle.changes(market, market.followed, now)
        ]
        trades = []
        for time, kind, number, account_id, tag in sorted(orders + leases + hours + disconnects.due(self, now)):
            if kind == 2:
                market = self.markets[account_id]
                market.followed = time
                trades += lifecycle.follow_hours(self, market, time // 1_000_000)
                continue
            if number:
                placed = self.orders[number]
                if not placed.order.end:
                    placed.market.book.cancel(number, "expired")
                continue
            if kind == 3:
                disconnects.cancel(self, account_id, tag)
                continue
            del self.accounts[account_id].leases[tag]
            for placed in list(self.open_orders(account_id)):
                if tag in {"", placed.tag}:
                    placed.market.book.cancel(placed.order.number, "lease")
        return trades

    def _cancel_all(self, command: c.CancelAllOrders) -> None:
        for placed in list(self.open_orders(command.account_id)):
            named = command.symbol in {"", placed.market.definition.symbol} and command.tag in {"", placed.tag}
            if named and command.side in {0, placed.order.side} and placed.market.state != MarketState.HALTED:
                placed.market.book.cancel(placed.order.number)

    def _place(self, command: c.PlaceOrder) -> list[SettledTrade]:
        placed = self.draft(command)
        placed.reject = self.check(placed)
        if placed.reject:
            placed.order.end = "rejected"
            self.orders[placed.order.number] = placed
            return []
        return self.accept(placed)

    def accept(self, placed: Placed) -> list[SettledTrade]:
        """Match an order that nothing stands against."""
        trades = self.match(placed)
        self.orders[placed.order.number] = placed
        return [self.settle(trade) for trade in trades]

    def match(self, placed: Placed) -> list[NaiveTrade]:
        """Let an order trade with the book, or only into it where a market collects."""
        if placed.market.state != MarketState.PRE_OPEN:
            return placed.market.book.place(placed.order, placed.taker_rate)
        placed.market.book.arrive(placed.order)
        return []

    def check(self, placed: Placed) -> RejectReason:
        """The first reason to refuse an order."""
        return self._check(placed) or self.check_on_a_copy(placed)

    def draft(self, command: c.PlaceOrder) -> Placed:
        """A command's order, nothing decided yet."""
        account, market = self.accounts[command.account_id], self.markets[command.symbol]
        maker_rate, taker_rate = market.rates.get(account.tier, market.rates["default"])
        expires = command.expire_time
        if command.time_in_force == TimeInForce.DAY:
            expires = lifecycle.day_ends(market, command.time)
        order = NaiveOrder(
            command.sequence,
            account.group,
            Side(command.side),
            None if command.type == OrderType.MARKET else Fraction(command.price, ATTO),
            None if command.quote_amount else Fraction(command.quantity, ATTO),
            Fraction(command.quote_amount, ATTO) if command.quote_amount else None,
            OrderType(command.type),
            TimeInForce(command.time_in_force),
            command.post_only,
            SelfTradePrevention(command.self_trade_prevention or SelfTradePrevention.CANCEL_NEWEST),
            display=Fraction(command.display_quantity, ATTO) if command.display_quantity else None,
        )
        rates = maker_rate, taker_rate
        return Placed(
            order,
            account,
            market,
            *rates,
            command.client_order_id,
            expires,
            tag=command.tag,
            session=command.session_id,
        )

    def _check(self, placed: Placed) -> RejectReason:
        order, market, account = placed.order, placed.market, placed.account
        resting = list(self.open_orders(account.account_id))
        amount = order.amount is not None
        quantity = order.quantity or Fraction(0)
        display = quantity / 2 if order.display is None else order.display
        iceberg = order.display is not None
        price = market.size("tick_size") if order.price is None else order.price
        failures = [
            (RejectReason.ACCOUNT_NOT_ACTIVE, not account.active),
            (state := lifecycle.state_reason(market.state, order), state != 0),
            (RejectReason.PRICE_OFF_TICK, price % market.size("tick_size") != 0),
            (RejectReason.PRICE_OUT_OF_RANGE, not 0 < price <= market.size("max_price")),
            (RejectReason.QUANTITY_OFF_LOT, not amount and quantity % market.size("lot_size") != 0),
            (RejectReason.QUANTITY_OFF_LOT, order.amount is not None and order.amount % market.quote_unit != 0),
            (RejectReason.QUANTITY_OFF_LOT, iceberg and display % market.size("lot_size") != 0),
            (RejectReason.QUANTITY_TOO_SMALL, not amount and quantity < market.size("min_quantity")),
            (RejectReason.QUANTITY_TOO_SMALL, iceberg and display < market.size("min_quantity")),
            (RejectReason.QUANTITY_TOO_SMALL, iceberg and display * 100 < quantity),
            (RejectReason.QUANTITY_TOO_LARGE, not amount and quantity > market.size("max_quantity")),
            (RejectReason.QUANTITY_TOO_LARGE, iceberg and display >= quantity),
            (RejectReason.EXPIRE_TIME_PAST, 0 < placed.expire_time <= self.now),
            (RejectReason.DUPLICATE_CLIENT_ORDER_ID, any(placed.label and placed.label == p.label for p in resting)),
            (RejectReason.TOO_MANY_OPEN_ORDERS, len(resting) >= 1_000),
        ]
        return next((reason for reason, failed in failures if failed), RejectReason.UNSPECIFIED)

    def check_on_a_copy(self, placed: Placed) -> RejectReason:
        """What only the book and the funds can tell, found by trying it on a copy of the book."""
        order, market = placed.order, placed.market
        if market.state == MarketState.PRE_OPEN:
            return self._check_funds(placed, *placed.hold())
        bids, asks = _copies(market.book.bids), _copies(market.book.asks)
        trial_book = NaiveBook(market.book.lot, market.book.unit, bids, asks, market.book.arrivals)
        trial = _copies([order])[0]
        trial.time_in_force = TimeInForce.GTC if order.type == OrderType.LIMIT else TimeInForce.IOC
        trades = trial_book.place(trial, placed.taker_rate)
        if trial.end == "rejected":
            return RejectReason.POST_ONLY_WOULD_TRADE
        untouched = len(trial_book.bids) == len(market.book.bids) and len(trial_book.asks) == len(market.book.asks)
        if (
            order.type == OrderType.MARKET
            and not trades
            and not trial.removed
            and trial.end != "self-trade"
            and untouched
        ):
            return RejectReason.QUANTITY_TOO_SMALL if trial.spent else RejectReason.NO_LIQUIDITY
        if order.amount is not None:
            if trial.spent and not trial.removed and trial.filled < market.size("min_quantity"):
                return RejectReason.QUANTITY_TOO_SMALL
            if trial.filled > market.size("max_quantity"):
                return RejectReason.QUANTITY_TOO_LARGE
        if order.time_in_force == TimeInForce.FOK and trial.end != "filled":
            return RejectReason.NOT_FILLABLE
        return self._check_funds(placed, *self._first_need(placed, trades))

    def _check_funds(self, placed: Placed, asset: str, need: Fraction) -> RejectReason:
        if need > self.available(placed.account.account_id, asset):
            return RejectReason.INSUFFICIENT_FUNDS
        return RejectReason.UNSPECIFIED

    def _first_need(self, placed: Placed, trades: list[NaiveTrade]) -> tuple[str, Fraction]:
        if placed.order.type == OrderType.LIMIT:
            return placed.hold()
        if placed.order.side == Side.SELL:
            return placed.market.definition.base_asset, Fraction(sum(t.quantity for t in trades))
        notional = Fraction(sum(t.price * t.quantity for t in trades))
        return placed.market.definition.quote_asset, notional + placed.fee(placed.taker_rate * notional)

    def settle(self, trade: NaiveTrade) -> SettledTrade:
        """Move what a trade moves, and charge its fees."""
        maker, taker = self.orders[trade.maker], self.orders[trade.taker]
        definition = maker.market.definition
        maker.market.last = trade.price
        notional = Fraction(trade.price * trade.quantity)
        charged = []
        for placed, rate in ((maker, maker.maker_rate), (taker, taker.taker_rate)):
            sign = 1 if placed.order.side == Side.BUY else -1
            placed.account.totals[definition.base_asset] += sign * trade.quantity
            placed.account.totals[definition.quote_asset] -= sign * notional
            fee = placed.fee(rate * notional)
            placed.accrued += rate * notional
            placed.charged += fee
            placed.account.totals[definition.quote_asset] -= fee
            self.fees[definition.quote_asset] += fee
            charged.append(fee)
        return SettledTrade(trade, charged[0], charged[1])


def _copies(orders: list[NaiveOrder]) -> list[NaiveOrder]:
    return [NaiveOrder(**vars(order)) for order in orders]
