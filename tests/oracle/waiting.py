"""The naive venue with orders that wait for a price: a list of them, looked through from end to end at every price."""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from servers.domain import commands as c
from servers.domain.terms import OrderType, RejectReason, Side, TimeInForce, TriggerSource
from tests.oracle.venue import ATTO, NaiveMarket, NaiveVenue, Placed, SettledTrade

PROFITS = {OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT}
LIMITED = {OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT_LIMIT}
WAITING = {OrderType.STOP, OrderType.TRAILING_STOP, *PROFITS, *LIMITED}


@dataclass
class Wait:
    """What an order waits for. `first` is the stop price that a hold without a limit is reckoned at."""

    placed: Placed
    kind: OrderType
    source: TriggerSource
    stop: Fraction
    first: Fraction
    amount: Fraction
    percent: Fraction
    best: Fraction

    @property
    def rises(self) -> bool:
        return (self.placed.order.side == Side.BUY) != (self.kind in PROFITS)

    def met(self, price: Fraction) -> bool:
        return price >= self.stop if self.rises else price <= self.stop

    def follow(self, price: Fraction) -> None:
        """Let a trailing stop follow a price."""
        buys = self.placed.order.side == Side.BUY
        if self.kind != OrderType.TRAILING_STOP or (price >= self.best if buys else price <= self.best):
            return
        self.best = price
        self.stop = self.trailing()

    def trailing(self) -> Fraction:
        tick = self.placed.market.size("tick_size")
        distance = self.amount or self.best * self.percent / 100
        if self.placed.order.side == Side.BUY:
            return ceil((self.best + distance) / tick) * tick
        return max(floor((self.best - distance) / tick), 1) * tick

    def hold(self) -> tuple[str, Fraction]:
        order, price = self.placed.order, self.placed.order.price
        order.price = self.first if price is None else price
        asset, amount = self.placed.hold()
        order.price = price
        return asset, amount


class WaitingVenue(NaiveVenue):
    """What waits is kept in the order in which it came."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: dict[int, Wait] = {}
        self.references: dict[tuple[str, TriggerSource], Fraction] = {}
        self.due: list[Wait] = []

    def execute(self, command: c.Command) -> list[SettledTrade]:
        self.now = command.time
        trades: list[SettledTrade] = []
        if isinstance(command, c.SetReferencePrices):
            market = self.markets[command.symbol]
            prices = ((TriggerSource.MARK, command.mark_price), (TriggerSource.INDEX, command.index_price))
            for source, price in prices:
                if price:
                    self.references[command.symbol, source] = Fraction(price, ATTO)
            for source, price in prices:
                if price:
                    self._observe(market, source, Fraction(price, ATTO))
        elif isinstance(command, c.CancelOrder) and command.number in self.waits:
            self.waits.pop(command.number).placed.order.end = "cancelled"
        elif isinstance(command, c.PlaceOrder) and command.type in WAITING:
            self._wait(command)
        else:
            trades = super().execute(command)
            self._look(trades)
        while self.due:
            wait = self.due.pop(0)
            more = self._trigger(wait)
            self._look(more)
            trades += more
        return trades

    def held(self, account_id: str, asset: str) -> Fraction:
        resting = [p.hold() for p in self.open_orders(account_id) if p.order.number not in self.waits]
        waiting = [w.hold() for w in self.waits.values() if w.placed.account.account_id == account_id]
        return sum((amount for held, amount in resting + waiting if held == asset), Fraction(0))

    def reference(self, market: NaiveMarket, source: TriggerSource) -> Fraction:
        """What a source says; 0: nothing yet."""
        if source == TriggerSource.LAST:
            return Fraction(market.last or 0)
        return self.references.get((market.definition.symbol, source), Fraction(0))

    def _look(self, trades: list[SettledTrade]) -> None:
        for settled in trades:
            market = self.orders[settled.trade.maker].market
            self._observe(market, TriggerSource.LAST, Fraction(settled.trade.price))

    def _observe(self, market: NaiveMarket, source: TriggerSource, price: Fraction) -> None:
        mine = [w for w in self.waits.values() if w.placed.market is market and w.source == source]
        for wait in mine:
            wait.follow(price)
        found = [w for w in mine if w.met(price) and w not in self.due]
        self.due += sorted([w for w in found if w.rises], key=lambda w: w.stop)
        self.due += sorted([w for w in found if not w.rises], key=lambda w: -w.stop)

    def _wait(self, command: c.PlaceOrder) -> None:
        placed = self.draft(command)
        order, kind = placed.order, OrderType(command.type)
        order.type = OrderType.LIMIT if kind in LIMITED else OrderType.MARKET
        order.price = order.price if kind in LIMITED else None
        source = TriggerSource(command.trigger_source or TriggerSource.LAST)
        stop, best = Fraction(command.stop_price, ATTO), self.reference(placed.market, source)
        amount, percent = Fraction(command.trailing_amount, ATTO), Fraction(command.trailing_percent, 100)
        wait = Wait(placed, kind, source, stop, stop, amount, percent, best)
        placed.reject = self._refusal(wait)
        self.orders[order.number] = placed
        if placed.reject:
            order.end = "rejected"
            return
        self.waits[order.number] = wait
        if wait.met(best):
            self.due.append(wait)

    def _refusal(self, wait: Wait) -> RejectReason:
        placed, tick = wait.placed, wait.placed.market.size("tick_size")
        reason = self._check(placed)
        given = [price for price in (wait.stop, wait.amount) if price]
        early = reason and reason < RejectReason.PRICE_OFF_TICK
        if not early and any(price % tick for price in given):
            return RejectReason.PRICE_OFF_TICK
        if reason:
            return reason
        if not wait.best:
            return RejectReason.TRIGGER_PRICE_UNKNOWN
        if wait.kind == OrderType.TRAILING_STOP:
            wait.stop = wait.first = wait.trailing()
        return self._check_funds(placed, *wait.hold())

    def _trigger(self, wait: Wait) -> list[SettledTrade]:
        placed, order = wait.placed, wait.placed.order
        if self.waits.pop(order.number, None) is None:
            return []
        # Not among the open ones while it is tried: its own hold is free.
        order.end = "triggered"
        wanted = order.quantity
        reason = self._try(placed)
        if reason == RejectReason.INSUFFICIENT_FUNDS and order.price is None and order.time_in_force != TimeInForce.FOK:
            assert order.quantity is not None
            while reason == RejectReason.INSUFFICIENT_FUNDS and order.quantity > 0:
                order.quantity -= placed.market.size("lot_size")
                reason = self._try(placed) if order.quantity else RejectReason.INSUFFICIENT_FUNDS
            reason = RejectReason.INSUFFICIENT_FUNDS if reason == RejectReason.NO_LIQUIDITY else reason
        if reason:
            order.quantity, order.end, placed.reject = wanted, "trigger rejected", reason
            return []
        order.end = ""
        if order.price is None and order.time_in_force != TimeInForce.FOK:
            order.time_in_force = TimeInForce.IOC
        trades = [self.settle(trade) for trade in self.match(placed)]
        if order.quantity != wanted:
            order.quantity = wanted
            order.end = "unfilled" if order.end == "filled" else order.end
        return trades

    def _try(self, placed: Placed) -> RejectReason:
        end, placed.order.end = placed.order.end, ""
        self.orders.pop(placed.order.number)
        reason = self.check_on_a_copy(placed)
        self.orders[placed.order.number] = placed
        placed.order.end = end
        return reason
