"""Price-time priority: what an incoming order would do to a book, decided before anything is changed.

`plan` walks the opposite side and lists steps; carrying them out is placing.py's. Self-trade prevention is decided on the way,
so that a fill-or-kill order counts only what it may really trade with; it counts what icebergs hide too.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from servers.domain.book import BookSide, Level
from servers.domain.model import Order
from servers.domain.money import ATTO_SCALE, RATE
from servers.domain.reducing import reducible
from servers.domain.terms import CancelReason, OrderStatus, SelfTradePrevention, Side, TimeInForce

FILL: Final = 0
CANCEL_MAKER: Final = 1
DECREMENT: Final = 2

_BUY: Final = int(Side.BUY)
_CANCEL_OLDEST: Final = int(SelfTradePrevention.CANCEL_OLDEST)
_CANCEL_BOTH: Final = int(SelfTradePrevention.CANCEL_BOTH)
_DECREMENT: Final = int(SelfTradePrevention.DECREMENT_AND_CANCEL)
_IOC: Final = int(TimeInForce.IOC)
_FILLED: Final = int(OrderStatus.FILLED)
_CANCELLED: Final = int(OrderStatus.CANCELLED)
_UNFILLED: Final = int(CancelReason.UNFILLED)
_SELF_TRADE: Final = int(CancelReason.SELF_TRADE)
_UNBOUNDED: Final = 1 << 200


@dataclass(slots=True)
class Plan:
    """What an order would do: (step, maker, lots) in time order; lots it would trade; their notional in quote units.

    `stopped` says that self-trade prevention cancels what is left; `spent` that a quote amount, not the book, ended the walk.
    A decrement takes off a quote amount what the lots would have cost or brought.
    """

    steps: list[tuple[int, Order, int]]
    filled_lots: int
    notional: int
    stopped: bool
    spent: bool

    def __init__(
        self, steps: list[tuple[int, Order, int]], filled_lots: int, notional: int, stopped: bool, spent: bool
    ) -> None:
        self.steps = steps
        self.filled_lots = filled_lots
        self.notional = notional
        self.stopped = stopped
        self.spent = spent


# Of an order that meets nothing: shared, as a plan is not changed once it is made.
NOTHING: Final = Plan([], 0, 0, False, False)


def plan(order: Order, opposite: BookSide, limit: int, lots: int, budget: int) -> Plan:
    """Walk `opposite` as far as a limit (ticks; 0: any) for an order that wants `lots` (0: any).

    With a budget (0 and more) it is no more than what so many quote units buy or sell.

    A buy's budget covers its taker fee: lots are the most for which notional + ceil(fee) <= budget.
    """
    best = opposite.top
    # What `_beyond` says, without a call: nearly every order is asked this and no more.
    if best is None or (limit and (best.ticks > limit if order.side == _BUY else best.ticks < limit)):
        return NOTHING
    walk = _Walk(order, lots or _UNBOUNDED, budget)
    # Most orders end within the best level, and then no other is looked for.
    if walk.take(best):
        for level in opposite.walk():
            if level is not best and (_beyond(order, limit, level.ticks) or not walk.take(level)):
                break
    return walk.result


def budget_of(order: Order) -> int:
    """What an order by quote amount spends or receives, in quote units; -1: it has no such amount."""
    if not order.quote_amount:
        return -1
    return int(order.quote_amount // 10 ** (ATTO_SCALE - order.market.quote_scale))


def _beyond(order: Order, limit: int, ticks: int) -> bool:
    return limit != 0 and (ticks > limit if order.side == _BUY else ticks < limit)


class _Walk:
    """The state of a walk: what is still wanted, and what a budget still allows."""

    __slots__ = ("budget", "forgone", "group", "order", "result", "wanted")

    def __init__(self, order: Order, wanted: int, budget: int) -> None:
        self.order = order
        self.result = Plan([], 0, 0, False, False)
        self.wanted = wanted
        self.budget = budget
        # The notional that a quote amount gave up to decrements.
        self.forgone = 0
        self.group = order.account.self_trade_group

    def take(self, level: Level) -> bool:
        """Match the orders of a level, then what its icebergs show next, round after round; False when the walk is over."""
        price = level.ticks * self.order.market.tick_value
        if not level.hidden:
            return self._take_shown(level, price)
        maker = level.first
        # Who shows more, and what he hides until then.
        again: deque[tuple[Order, int]] = deque()
        while maker is not None:
            hidden = maker.hidden_lots
            if not self._meet(maker, maker.lots - maker.filled_lots - maker.removed_lots - hidden, price):
                return False
            # One that is cancelled shows nothing more.
            if hidden and (
                self.order.self_trade_prevention == _DECREMENT or maker.account.self_trade_group != self.group
            ):
                again.append((maker, hidden))
            maker = maker.after
        while again:
            maker, hidden = again.popleft()
            shown = min(maker.display_quantity // maker.market.lot_size, hidden)
            if not self._meet(maker, shown, price):
                return False
            if hidden > shown:
                again.append((maker, hidden - shown))
        return True

    def _take_shown(self, level: Level, price: int) -> bool:
        """As `take`, of a level that hides nothing: what `_meet` does, without a call for each maker that asks for no more."""
        result, group, wanted, filled = self.result, self.group, self.wanted, 0
        steps, plain, maker = result.steps, self.budget < 0, level.first
        while maker is not None:
            lots = maker.lots - maker.filled_lots - maker.removed_lots
            if plain and not maker.reduce_only and maker.account.self_trade_group != group:
                # Spelled out: a call of min() costs every fill.
                if lots > wanted:  # noqa: PLR1730
                    lots = wanted
                steps.append((FILL, maker, lots))
                filled += lots
                wanted -= lots
                more = wanted > 0
            else:
                self.wanted = wanted
                more = self._meet(maker, lots, price)
                wanted = self.wanted
            if not more:
                break
            maker = maker.after
        self.wanted = wanted
        result.filled_lots += filled
        result.notional += filled * price
        return maker is None

    def _meet(self, maker: Order, lots: int, price: int) -> bool:
        """Match an order that shows so many lots; False when the walk is over. If not, all of them are gone."""
        result = self.result
        if maker.reduce_only and maker.account.self_trade_group != self.group:
            lots = min(lots, self._reducible(maker))
            if not lots:
                return True
        wanted = self.wanted if self.budget < 0 else min(self.wanted, self._affordable(price))
        lots = min(lots, wanted)
        if maker.account.self_trade_group == self.group and lots:
            return self._prevent(maker, lots, wanted, price)
        result.spent = self.budget >= 0 and lots == wanted
        if not lots:
            return False
        result.steps.append((FILL, maker, lots))
        result.filled_lots += lots
        result.notional += lots * price
        self.wanted -= lots
        return self.wanted > 0 and not result.spent

    def _reducible(self, maker: Order) -> int:
        """What a reduce-only order may still take off its account's position after the fills so far."""
        gone = sum(lots for step, other, lots in self.result.steps if step == FILL and other.account is maker.account)
        return max(reducible(maker.account.positions[maker.market.symbol], maker.side) - gone, 0)

    def _affordable(self, price: int) -> int:
        """Whole lots at `price` quote units that the budget still covers.

        notional + ceil(fee) <= budget is the same as (notional + lots*price) * 1e8 + rate * that <= budget * 1e8, in integers.
        """
        used = self.result.notional + self.forgone
        if self.order.side != _BUY:
            return (self.budget - used) // price
        rate = max(self.order.taker_rate, 0)
        free = self.budget * RATE - used * (RATE + rate)
        return max(free // (price * (RATE + rate)), 0)

    def _prevent(self, maker: Order, lots: int, wanted: int, price: int) -> bool:
        """Do to a maker of the order's own group, of which it wants `lots`, what the mode says; False when the walk is over."""
        result, mode = self.result, self.order.self_trade_prevention
        if mode == _CANCEL_OLDEST:
            result.steps.append((CANCEL_MAKER, maker, lots))
            return True
        if mode == _CANCEL_BOTH:
            result.steps.append((CANCEL_MAKER, maker, lots))
        elif mode == _DECREMENT:
            result.steps.append((DECREMENT, maker, lots))
            self.wanted -= lots
            if self.order.quote_amount:
                self.forgone += lots * price
                # Its quantity is what it traded, so only this tells that something was taken off.
                result.stopped = True
                result.spent = lots == wanted
            return lots < wanted
        result.stopped = True
        return False


def end_of(order: Order, found: Plan) -> tuple[int, int]:
    """How an order ends once its plan is carried out: status and cancel reason; status 0: its rest may rest."""
    if found.stopped:
        return _CANCELLED, _SELF_TRADE
    if order.quote_amount and not found.spent:
        return _CANCELLED, _UNFILLED
    if order.lots == order.filled_lots + order.removed_lots:
        return (_CANCELLED, _SELF_TRADE) if order.removed_lots else (_FILLED, 0)
    if order.time_in_force == _IOC or not order.ticks:
        return _CANCELLED, _UNFILLED
    return 0, 0
