"""A naive book: two lists sorted by price, then arrival; one meeting of two orders at a time; no plan, no levels, no ticks.

An iceberg of which nothing is shown any more leaves its list and comes in again as one that has just arrived.

Prices and quantities are any exact numbers (Fraction, or int in whatever unit), as long as one book keeps to one kind.
"""

from bisect import insort
from copy import deepcopy
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil

from servers.domain.terms import OrderType, SelfTradePrevention, Side, TimeInForce

Number = int | Fraction


@dataclass(eq=False)
class NaiveOrder:
    """An order; `price` None: market order. Exactly one of quantity and amount (of quote) is given."""

    number: int
    group: str
    side: Side
    price: Number | None
    quantity: Number | None
    amount: Number | None = None
    type: OrderType = OrderType.LIMIT
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    prevention: SelfTradePrevention = SelfTradePrevention.CANCEL_NEWEST
    filled: Number = 0
    removed: Number = 0
    # "" while it is open, else: filled, unfilled, self-trade, cancelled, expired, rejected.
    end: str = ""
    spent: bool = False
    # An iceberg shows at most `display` of what remains; any other order all of it.
    display: Number | None = None
    shown: Number = 0
    # When it came into its list, or was last shown anew, counted by the book.
    arrival: int = 0

    def remaining(self) -> Number:
        assert self.quantity is not None
        return self.quantity - self.filled - self.removed

    def show(self) -> None:
        self.shown = self.remaining() if self.display is None else min(self.display, self.remaining())


@dataclass(frozen=True)
class NaiveTrade:
    """A trade at the maker's price."""

    price: Number
    quantity: Number
    maker: int
    taker: int


@dataclass
class NaiveBook:
    """One market's book. `lot` is the smallest quantity; `unit` and `taker_rate` say what a quote amount buys."""

    lot: Number = 1
    unit: Fraction = Fraction(1)
    bids: list[NaiveOrder] = field(default_factory=list)
    asks: list[NaiveOrder] = field(default_factory=list)
    arrivals: int = 0

    def place(self, order: NaiveOrder, taker_rate: Fraction = Fraction(0)) -> list[NaiveTrade]:
        """Match an order and let its rest rest, if it may. An order that is refused changes nothing."""
        others = self._others(order)
        if order.post_only and others and _reaches(order, others[0]):
            order.end = "rejected"
            return []
        if order.time_in_force == TimeInForce.FOK:
            trial_book, trial = deepcopy((self, order))
            trial_book._match(trial, taker_rate)
            whole = trial.spent if order.amount is not None else trial.filled == order.quantity
            if trial.end or not whole or trial.removed:
                order.end = "rejected"
                return []
        trades = self._match(order, taker_rate)
        if not order.end:
            self._settle_end(order)
        return trades

    def cancel(self, number: int, end: str = "cancelled") -> bool:
        """Take an order out; False if it does not rest here."""
        for side in (self.bids, self.asks):
            for order in side:
                if order.number == number:
                    order.end = end
                    side.remove(order)
                    return True
        return False

    def levels(self, side: Side) -> list[tuple[Number, Number, int]]:
        """(price, quantity, orders) of a side, best first."""
        found: dict[Number, tuple[Number, int]] = {}
        for order in self.bids if side == Side.BUY else self.asks:
            assert order.price is not None
            quantity, count = found.get(order.price, (0, 0))
            found[order.price] = (quantity + order.shown, count + 1)
        return [(price, quantity, count) for price, (quantity, count) in found.items()]

    def _others(self, order: NaiveOrder) -> list[NaiveOrder]:
        return self.asks if order.side == Side.BUY else self.bids

    def _match(self, order: NaiveOrder, taker_rate: Fraction) -> list[NaiveTrade]:
        trades: list[NaiveTrade] = []
        others = self._others(order)
        notional: Number = 0
        while others and _reaches(order, others[0]) and not order.spent:
            maker = others[0]
            price = maker.price
            assert price is not None
            wanted = order.remaining() if order.amount is None else self._affordable(order, notional, price, taker_rate)
            if not wanted:
                order.spent = order.amount is not None
                break
            quantity = min(wanted, maker.shown)
            if maker.group == order.group:
                if order.prevention == SelfTradePrevention.DECREMENT_AND_CANCEL:
                    order.spent = order.amount is not None and quantity == wanted
                    notional += quantity * price
                    order.removed += quantity
                    maker.removed += quantity
                    self._take_off(maker, quantity)
                    continue
                if order.prevention != SelfTradePrevention.CANCEL_NEWEST:
                    self.cancel(maker.number, "self-trade")
                if order.prevention != SelfTradePrevention.CANCEL_OLDEST:
                    order.end = "self-trade"
                    break
                continue
            order.spent = order.amount is not None and quantity == wanted
            notional += quantity * price
            order.filled += quantity
            maker.filled += quantity
            trades.append(NaiveTrade(price, quantity, maker.number, order.number))
            self._take_off(maker, quantity)
        return trades

    def _take_off(self, maker: NaiveOrder, quantity: Number) -> None:
        """Less of a maker is shown; if nothing is, it ends or shows its next part as one that has just arrived."""
        maker.shown -= quantity
        if not maker.remaining():
            self.cancel(maker.number, "self-trade" if maker.removed else "filled")
        elif not maker.shown:
            self.cancel(maker.number, "")
            self.arrive(maker)

    def _affordable(self, order: NaiveOrder, notional: Number, price: Number, taker_rate: Fraction) -> Number:
        """The most whole lots whose cost, the taker's fee of a buy included, stays within the amount: by bisection."""
        assert order.amount is not None
        rate = taker_rate if order.side == Side.BUY else Fraction(0)

        def cost(lots: int) -> Fraction:
            total = Fraction(notional + lots * self.lot * price)
            return total + ceil(total * rate / self.unit) * self.unit

        low, high = 0, 1
        if cost(0) > order.amount:
            return 0
        while cost(high) <= order.amount:
            high *= 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if cost(middle) <= order.amount else (low, middle)
        return low * self.lot

    def _settle_end(self, order: NaiveOrder) -> None:
        if order.amount is not None:
            complete = order.spent and not order.removed
            order.end = "filled" if complete else "self-trade" if order.removed else "unfilled"
        elif not order.remaining():
            order.end = "self-trade" if order.removed else "filled"
        elif order.type == OrderType.MARKET or order.time_in_force in {TimeInForce.IOC, TimeInForce.FOK}:
            order.end = "unfilled"
        else:
            self.arrive(order)

    def arrive(self, order: NaiveOrder) -> None:
        """Put an order at the end of the queue at its price."""
        self.arrivals += 1
        order.arrival = self.arrivals
        order.show()
        self.rest(order)

    def rest(self, order: NaiveOrder) -> None:
        """Put an order into the queue where its price and arrival belong."""
        if order.side == Side.BUY:
            insort(self.bids, order, key=_bid_key)
        else:
            insort(self.asks, order, key=_ask_key)


def _reaches(order: NaiveOrder, maker: NaiveOrder) -> bool:
    if order.price is None:
        return True
    assert maker.price is not None
    return order.price >= maker.price if order.side == Side.BUY else order.price <= maker.price


def _bid_key(order: NaiveOrder) -> tuple[Number, int]:
    assert order.price is not None
    return -order.price, order.arrival


def _ask_key(order: NaiveOrder) -> tuple[Number, int]:
    assert order.price is not None
    return order.price, order.arrival
