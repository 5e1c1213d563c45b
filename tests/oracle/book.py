"""A naive book: two lists sorted by price, then arrival; one meeting of two orders at a time; no plan, no levels, no ticks.

An iceberg of which nothing is shown any more leaves its list and comes in again as one that has just arrived. A reduce-only order
trades no further than its owner's position, which the book counts from its own trades.

Prices and quantities are any exact numbers (Fraction, or int in whatever unit), as long as one book keeps to one kind.
"""

from bisect import insort
from collections import defaultdict
from collections.abc import Callable
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
    owner: str = ""
    reduce_only: bool = False
    # Of an order without a price: how far it trades all the same, and what it may spend.
    bound: Number | None = None
    funds: Number | None = None
    filled: Number = 0
    removed: Number = 0
    # "" while it is open, else: filled, unfilled, self-trade, cancelled, expired, rejected and so on.
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
class Trial:
    """What an order would do: its trades, what becomes of it, and the price of the first order it would touch (0: none)."""

    trades: list[NaiveTrade]
    order: NaiveOrder
    first: Number


@dataclass
class NaiveBook:
    """One market's book. `lot` is the smallest quantity; `unit` and `taker_rate` say what a quote amount buys."""

    lot: Number = 1
    unit: Fraction = Fraction(1)
    bids: list[NaiveOrder] = field(default_factory=list)
    asks: list[NaiveOrder] = field(default_factory=list)
    arrivals: int = 0
    # What every owner bought less what he sold.
    positions: dict[str, Number] = field(default_factory=lambda: defaultdict(int))
    # The price of the first order that the last incoming one traded with or took off; 0: it touched none.
    first: Number = 0

    def place(
        self,
        order: NaiveOrder,
        taker_rate: Fraction = Fraction(0),
        told: Callable[[NaiveTrade], None] = lambda trade: None,
    ) -> list[NaiveTrade]:
        """Match an order, telling each trade as it is made, and let its rest rest, if it may."""
        trades = self._match(order, taker_rate, told)
        if not order.end:
            self._settle_end(order)
        return trades

    def trial(self, order: NaiveOrder, taker_rate: Fraction) -> Trial:
        """Place a copy of an order into a copy of the book, as one that need not be filled whole."""
        copy = NaiveBook(self.lot, self.unit, _copies(self.bids), _copies(self.asks), self.arrivals)
        copy.positions.update(self.positions)
        tried = _copies([order])[0]
        tried.end = ""
        tried.time_in_force = TimeInForce.IOC
        return Trial(copy.place(tried, taker_rate), tried, copy.first)

    def would_trade(self, order: NaiveOrder) -> bool:
        """Whether the best order of the other side is within reach."""
        others = self._others(order)
        return bool(others) and _reaches(order, others[0])

    def take_out(self, number: int) -> bool:
        """Take an order out that goes on living; False if it does not rest here."""
        for side in (self.bids, self.asks):
            for order in side:
                if order.number == number:
                    side.remove(order)
                    return True
        return False

    def cancel(self, number: int, end: str = "cancelled") -> bool:
        """Take an order out for good; False if it does not rest here."""
        for order in (*self.bids, *self.asks):
            if order.number == number:
                order.end = end
        return self.take_out(number)

    def rests(self, order: NaiveOrder) -> bool:
        return order in (self.bids if order.side == Side.BUY else self.asks)

    def levels(self, side: Side) -> list[tuple[Number, Number, int]]:
        """(price, quantity, orders) of a side, best first."""
        found: dict[Number, tuple[Number, int]] = {}
        for order in self.bids if side == Side.BUY else self.asks:
            assert order.price is not None
            quantity, count = found.get(order.price, (0, 0))
            found[order.price] = (quantity + order.shown, count + 1)
        return [(price, quantity, count) for price, (quantity, count) in found.items()]

    def reducible(self, owner: str, side: Side) -> Number:
        """How much an order of a side may take off its owner's position; 0 where it would grow it."""
        position = self.positions[owner]
        return max(-position if side == Side.BUY else position, 0)

    def trade(self, price: Number, quantity: Number, maker: NaiveOrder, taker: NaiveOrder) -> NaiveTrade:
        """Fill two orders, which stay where they are."""
        for order in (maker, taker):
            order.filled += quantity
            self.positions[order.owner] += quantity if order.side == Side.BUY else -quantity
        return NaiveTrade(price, quantity, maker.number, taker.number)

    def _others(self, order: NaiveOrder) -> list[NaiveOrder]:
        return self.asks if order.side == Side.BUY else self.bids

    def _next(self, order: NaiveOrder) -> NaiveOrder | None:
        """The best order that an incoming one meets: a reduce-only one whose owner has nothing left to reduce is passed over."""
        for maker in self._others(order):
            if not _reaches(order, maker):
                return None
            if maker.group == order.group or not maker.reduce_only or self.reducible(maker.owner, maker.side):
                return maker
        return None

    def _match(self, order: NaiveOrder, taker_rate: Fraction, told: Callable[[NaiveTrade], None]) -> list[NaiveTrade]:
        trades: list[NaiveTrade] = []
        notional: Number = 0
        limited = order.amount is not None or order.funds is not None
        self.first = 0
        while not order.spent and (maker := self._next(order)) is not None:
            price = maker.price
            assert price is not None
            wanted = self._wanted(order, notional, price, taker_rate)
            if not wanted:
                order.spent = limited
                break
            quantity = min(wanted, maker.shown)
            if maker.group == order.group:
                if order.prevention != SelfTradePrevention.CANCEL_NEWEST:
                    self.first = self.first or price
                if order.prevention == SelfTradePrevention.DECREMENT_AND_CANCEL:
                    order.spent = limited and quantity == wanted
                    notional += quantity * price if order.amount is not None else 0
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
            if maker.reduce_only:
                quantity = min(quantity, self.reducible(maker.owner, maker.side))
            self.first = self.first or price
            order.spent = limited and quantity == wanted
            notional += quantity * price
            trades.append(self.trade(price, quantity, maker, order))
            told(trades[-1])
            self._take_off(maker, quantity)
        return trades

    def _take_off(self, maker: NaiveOrder, quantity: Number) -> None:
        """Less of a maker is shown; if nothing is, it ends or shows its next part as one that has just arrived."""
        maker.shown -= quantity
        if not maker.remaining():
            self.cancel(maker.number, "self-trade" if maker.removed else "filled")
        elif not maker.shown:
            self.take_out(maker.number)
            self.arrive(maker)

    def _wanted(self, order: NaiveOrder, notional: Number, price: Number, taker_rate: Fraction) -> Number:
        if order.amount is not None:
            return self._affordable(order.amount, order.side, notional, price, taker_rate)
        if order.funds is not None:
            return min(order.remaining(), self._affordable(order.funds, order.side, notional, price, taker_rate))
        return order.remaining()

    def _affordable(self, amount: Number, side: Side, notional: Number, price: Number, taker_rate: Fraction) -> Number:
        """The most whole lots whose cost, the taker's fee of a buy included, stays within the amount: by bisection."""
        rate = taker_rate if side == Side.BUY else Fraction(0)

        def cost(lots: int) -> Fraction:
            total = Fraction(notional + lots * self.lot * price)
            return total + ceil(total * rate / self.unit) * self.unit

        low, high = 0, 1
        if cost(0) > amount:
            return 0
        while cost(high) <= amount:
            high *= 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if cost(middle) <= amount else (low, middle)
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


def _copies(orders: list[NaiveOrder]) -> list[NaiveOrder]:
    return [NaiveOrder(**vars(order)) for order in orders]


def _reaches(order: NaiveOrder, maker: NaiveOrder) -> bool:
    price = order.bound if order.price is None else order.price
    if price is None:
        return True
    assert maker.price is not None
    return price >= maker.price if order.side == Side.BUY else price <= maker.price


def _bid_key(order: NaiveOrder) -> tuple[Number, int]:
    assert order.price is not None
    return -order.price, order.arrival


def _ask_key(order: NaiveOrder) -> tuple[Number, int]:
    assert order.price is not None
    return order.price, order.arrival
