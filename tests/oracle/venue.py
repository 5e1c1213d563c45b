"""A naive venue around naive books: funds folded from trades, holds summed from open orders, everything found by walking lists.

Amounts are Fractions of whole assets and prices. Commands that the machine would refuse with an error are not for it.
"""

from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction

from servers.domain import commands as c
from servers.domain.model import Limits
from servers.domain.terms import (
    AccountStatus,
    ListRole,
    MarketState,
    OrderType,
    SelfTradePrevention,
    Side,
    TimeInForce,
    TriggerSource,
)
from tests.oracle import changes, checks, disconnects, lifecycle, linking, waiting
from tests.oracle.book import NaiveBook, NaiveOrder, NaiveTrade, Number
from tests.oracle.orders import (
    ATTO,
    LIMITED,
    WAITING,
    NaiveAccount,
    NaiveList,
    NaiveMarket,
    Placed,
    SettledTrade,
    Wait,
)


class NaiveVenue:
    """Everything is looked up by walking lists."""

    def __init__(self) -> None:
        self.assets: dict[str, int] = {}
        self.markets: dict[str, NaiveMarket] = {}
        self.accounts: dict[str, NaiveAccount] = {}
        self.limits: dict[tuple[str, str, str], Limits] = {}
        self.orders: dict[int, Placed] = {}
        # The open orders as they came; one whose stop price was changed comes anew. Those that have ended are dropped later.
        self.queue: list[Placed] = []
        self.lists: dict[int, NaiveList] = {}
        # What a price has met, and what was traded by the command under way.
        self.due: list[Placed] = []
        self.trades: list[SettledTrade] = []
        self.fees: dict[str, Fraction] = defaultdict(Fraction)
        self.now = 0

    def execute(self, command: c.Command) -> list[SettledTrade]:
        """Carry out a command; returns its trades."""
        self.now, self.trades = command.time, []
        self.queue = [placed for placed in self.queue if not placed.order.end]
        match command:
            case (
                c.DefineAsset()
                | c.DefineMarket()
                | c.OpenAccount()
                | c.SetFees()
                | c.SetLimits()
                | c.SetAccountStatus()
                | c.SetAccountTerms()
            ):
                self._define(command)
            case c.LeaderStarted() | c.CancelAllAfter() | c.OpenSession() | c.EndSession():
                self._arm(command)
            case c.CancelOrder():
                self.end(self.orders[command.number], "cancelled")
            case c.CancelAllOrders():
                self._cancel_all(command)
            case c.ChangeRules() | c.BeginBatch():
                pass
            case _:
                self._trade(command)
        waiting.run(self)
        return self.trades

    def _trade(self, command: c.Command) -> None:
        match command:
            case c.SetMarketState():
                lifecycle.enter(self, self.markets[command.symbol], command.state)
            case c.SetTradingHours():
                self._set_hours(command)
            case c.SetReferencePrices():
                waiting.set_references(self, command)
            case c.Advance():
                self._advance(command.time)
            case c.PlaceOrder():
                placed = self.draft(command)
                placed.reject = checks.refusal(self, placed)
                if placed.reject:
                    placed.order.end = "rejected"
                    self.enlist(placed)
                else:
                    self.accept(placed)
            case c.PlaceOco():
                linking.place_oco(self, command)
            case c.AmendOrder():
                changes.amend(self, command)
            case c.ReplaceOrder():
                changes.replace(self, command)
            case _:
                raise AssertionError(command)

    def open_orders(self, account_id: str = "") -> Iterator[Placed]:
        """Open orders, the oldest first."""
        for placed in sorted(self.queue, key=lambda placed: placed.age):
            if not placed.order.end and account_id in {"", placed.account.account_id}:
                yield placed

    def held(self, account_id: str, asset: str) -> Fraction:
        """What an account's open orders hold of an asset, lists once for all of theirs."""
        held, lists = Fraction(0), set()
        for placed in self.queue:
            if placed.order.end or placed.account.account_id != account_id or placed.pays() != asset:
                continue
            found = linking.stands_in(self, placed)
            if found is None:
                held += placed.hold()
            elif placed.list_number not in lists:
                lists.add(placed.list_number)
                held += found.hold()
        return held

    def available(self, account_id: str, asset: str) -> Fraction:
        """What is free."""
        return self.accounts[account_id].totals[asset] - self.held(account_id, asset)

    def _define(self, command: c.Command) -> None:
        match command:
            case c.DefineAsset():
                self.assets[command.symbol] = command.scale
            case c.DefineMarket():
                unit = Fraction(1, 10 ** self.assets[command.quote_asset])
                rates = Fraction(command.maker_rate, 10**8), Fraction(command.taker_rate, 10**8)
                book = NaiveBook(Fraction(command.lot_size, ATTO), unit)
                self.markets[command.symbol] = NaiveMarket(command, unit, command.state, book, {"default": rates})
            case c.OpenAccount():
                group = command.self_trade_group or command.account_id
                account = NaiveAccount(command.account_id, command.user_id, group, command.tier or "default")
                for asset, atto in command.opening:
                    account.totals[asset] += Fraction(atto, ATTO)
                self.accounts[account.account_id] = account
            case c.SetFees():
                rates = Fraction(command.maker_rate, 10**8), Fraction(command.taker_rate, 10**8)
                self.markets[command.symbol].rates[command.tier] = rates
            case c.SetLimits():
                limits = command.limits
                self.limits[limits.account_id, limits.tier, limits.symbol] = limits
            case c.SetAccountStatus():
                self.accounts[command.account_id].active = command.status == AccountStatus.ACTIVE
            case c.SetAccountTerms():
                account = self.accounts[command.account_id]
                account.tier, account.group = command.tier or account.tier, command.self_trade_group or account.group
                for placed in self.open_orders(command.account_id):
                    placed.order.group = account.group

    def _set_hours(self, command: c.SetTradingHours) -> None:
        market = self.markets[command.symbol]
        said = lifecycle.state_at(market.hours, command.time // 1_000_000) if market.hours else MarketState.OPEN
        market.hours, market.followed = command.hours, command.time
        for placed in self.open_orders():
            if placed.market is market and placed.by_day:
                placed.expire_time = lifecycle.day_ends(market, command.time, placed.expire_time)
        if command.hours:
            lifecycle.follow_hours(self, market, command.time // 1_000_000)
        elif market.state == MarketState.OUTSIDE_HOURS or market.state == said == MarketState.PRE_OPEN:
            lifecycle.enter(self, market, MarketState.OPEN)

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

    def _due(self, now: int) -> list[tuple[int, int, tuple[int, int], str, str]]:
        """What has its time come: when, what kind of thing it is, and whose."""
        nobody = (0, 0)
        orders = [
            (p.expire_time, 0, p.age, str(p.order.number), "") for p in self.open_orders() if 0 < p.expire_time <= now
        ]
        leases = [
            (lease, 1, nobody, account.account_id, tag)
            for account in self.accounts.values()
            for tag, lease in account.leases.items()
            if lease <= now
        ]
        hours = [
            (second * 1_000_000, 2, nobody, symbol, "")
            for symbol, market in self.markets.items()
            for second in lifecycle.changes(market, market.followed, now)
        ]
        sessions = [(time, 3, nobody, account_id, session) for time, account_id, session in disconnects.due(self, now)]
        return orders + leases + hours + sessions

    def _advance(self, now: int) -> None:
        for time, kind, _, name, more in sorted(self._due(now)):
            if kind == 0:
                if not self.orders[int(name)].order.end:
                    self.end(self.orders[int(name)], "expired")
            elif kind == 1:
                del self.accounts[name].leases[more]
                for placed in list(self.open_orders(name)):
                    if more in {"", placed.tag} and not placed.order.end:
                        self.end(placed, "lease")
            elif kind == 2:
                self.markets[name].followed = time
                lifecycle.follow_hours(self, self.markets[name], time // 1_000_000)
            else:
                disconnects.cancel(self, name, more)
            waiting.run(self)

    def _cancel_all(self, command: c.CancelAllOrders) -> None:
        for placed in list(self.open_orders(command.account_id)):
            named = command.symbol in {"", placed.market.definition.symbol} and command.tag in {"", placed.tag}
            wanted = named and command.side in {0, placed.order.side} and placed.market.state != MarketState.HALTED
            if wanted and not placed.order.end:
                self.end(placed, "cancelled")

    def end(self, placed: Placed, how: str) -> None:
        """End an open order, and what depends on it."""
        if not placed.order.end:
            placed.market.book.take_out(placed.order.number)
            placed.order.end = how
        linking.prune(self)

    def enlist(self, placed: Placed) -> None:
        """Know an order from now on."""
        self.orders[placed.order.number] = placed
        self.queue.append(placed)

    def accept(self, placed: Placed) -> None:
        """Let an order that nothing stands against wait, or match it."""
        self.enlist(placed)
        if placed.waits:
            waiting.begin(self, placed)
        else:
            self.match(placed)

    def match(self, placed: Placed) -> None:
        """Let an order trade with the book, or only into it where a market collects."""
        book = placed.market.book
        if placed.market.state == MarketState.PRE_OPEN:
            book.arrive(placed.order)
            return
        book.place(placed.order, placed.taker_rate, self.settle)
        linking.prune(self)
        self.cut(placed.market, placed)

    def cut(self, market: NaiveMarket, came: Placed | None = None) -> None:
        """Cut resting reduce-only orders to what is left to reduce, the youngest first; last one that came at its price."""
        for account in self.accounts.values():
            mine = [p for p in self.open_orders(account.account_id) if p.market is market and p.order.reduce_only]
            resting = [p for p in mine if market.book.rests(p.order)]
            for side in (Side.BUY, Side.SELL):
                orders = [p for p in reversed(resting) if p.order.side == side]
                orders.sort(key=lambda p: p is came and p.wait is not None)
                over: Number = sum(p.order.remaining() for p in orders) - market.book.reducible(
                    account.account_id, side
                )
                for placed in orders:
                    order, off = placed.order, min(max(over, 0), placed.order.remaining())
                    over -= off
                    assert order.quantity is not None
                    if off == order.remaining():
                        self.end(placed, "not reducing")
                    elif off:
                        order.quantity -= off
                        order.shown = min(order.shown, order.remaining())

    def draft(self, command: c.PlaceOrder, index: int = 0) -> Placed:
        """A command's order, nothing decided yet."""
        account, market = self.accounts[command.account_id], self.markets[command.symbol]
        kind = OrderType(command.type)
        expires = command.expire_time
        if command.time_in_force == TimeInForce.DAY:
            expires = lifecycle.day_ends(market, command.time)
        order = NaiveOrder(
            command.sequence + index * linking.MEMBER,
            account.group,
            Side(command.side),
            Fraction(command.price, ATTO) if kind in LIMITED else None,
            None if command.quote_amount else Fraction(command.quantity, ATTO),
            Fraction(command.quote_amount, ATTO) if command.quote_amount else None,
            OrderType.LIMIT if kind in LIMITED else OrderType.MARKET,
            TimeInForce(command.time_in_force),
            command.post_only,
            SelfTradePrevention(command.self_trade_prevention or SelfTradePrevention.CANCEL_NEWEST),
            account.account_id,
            command.reduce_only,
            display=Fraction(command.display_quantity, ATTO) if command.display_quantity else None,
        )
        linked = bool(command.take_profit or command.stop_loss)
        return Placed(
            order,
            account,
            market,
            *market.rates.get(account.tier, market.rates["default"]),
            command.client_order_id,
            expires,
            (command.sequence, index),
            tag=command.tag,
            session=command.session_id,
            by_day=command.time_in_force == TimeInForce.DAY,
            wait=_wait(command) if kind in WAITING else None,
            exits=(command.take_profit, command.stop_loss),
            list_number=command.sequence if linked else 0,
            role=ListRole.ENTRY if linked else ListRole.UNSPECIFIED,
        )

    def settle(self, trade: NaiveTrade, *, observed: bool = True) -> None:
        """Move what a trade moves, charge its fees, and look at what its price brings about."""
        maker, taker = self.orders[trade.maker], self.orders[trade.taker]
        market, definition = maker.market, maker.market.definition
        linking.trading(self, maker)
        linking.trading(self, taker)
        market.last = trade.price
        market.valuations.append((self.now, market.valuation()))
        notional = Fraction(trade.price * trade.quantity)
        charged = []
        for placed, rate in ((maker, maker.maker_rate), (taker, taker.taker_rate)):
            sign = 1 if placed.order.side == Side.BUY else -1
            fee = placed.fee(rate * notional)
            placed.accrued += rate * notional
            placed.charged += fee
            placed.account.totals[definition.base_asset] += sign * trade.quantity
            placed.account.totals[definition.quote_asset] -= sign * notional + fee
            placed.account.trades.append((self.now, market, Fraction(sign * trade.quantity), sign * notional + fee))
            self.fees[definition.quote_asset] += fee
            charged.append(fee)
        self.trades.append(SettledTrade(trade, charged[0], charged[1]))
        linking.filled(self, maker, trade, charged[0])
        linking.filled(self, taker, trade, charged[1])
        if observed:
            waiting.observe(self, market, TriggerSource.LAST, Fraction(trade.price))


def _wait(command: c.PlaceOrder) -> Wait:
    stop = Fraction(command.stop_price, ATTO)
    amount, percent = Fraction(command.trailing_amount, ATTO), Fraction(command.trailing_percent, 100)
    source = TriggerSource(command.trigger_source or TriggerSource.LAST)
    return Wait(OrderType(command.type), source, stop, stop, amount, percent)
