"""Random commands with orders that wait: stops, take-profits, trailing stops, lists of two, brackets, and prices from outside."""

from itertools import accumulate

from servers.domain import commands as c
from servers.domain.identifiers import member_number
from servers.domain.money import parse
from servers.domain.terms import OrderType, TimeInForce, TriggerSource
from tests.property.traffic import MARKETS, SYMBOLS, Traffic

_WAITING = (
    OrderType.STOP,
    OrderType.STOP_LIMIT,
    OrderType.TAKE_PROFIT,
    OrderType.TAKE_PROFIT_LIMIT,
    OrderType.TRAILING_STOP,
)
_LIMITED = (OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT_LIMIT)
_LIVES = (TimeInForce.GTC, TimeInForce.GTC, TimeInForce.GTD, TimeInForce.DAY, TimeInForce.IOC, TimeInForce.FOK)
_TICKS = (95, 96, 97, 98, 99, 100, 101, 102, 103, 104, 105)
_SOURCES = (*map(int, TriggerSource), 0, 1, 1)


class ConditionalTraffic(Traffic):
    """The traffic of before, and among it every kind of order that waits or is linked."""

    # How often each kind is asked for.
    shares: tuple[float, float, float, float, float] = (0.2, 0.08, 0.08, 0.06, 0.04)

    def next(self) -> c.Command:
        dice = self.random.random()
        waits, brackets, pairs, references, retargets = accumulate(self.shares)
        if dice < waits:
            return self._wait(self._place())
        if dice < brackets:
            return self._bracket(self._place())
        if dice < pairs:
            return self._oco()
        if dice < references:
            return self._reference()
        if dice < retargets and self.numbers:
            return self._retarget()
        return super().next()

    def _price(self, symbol: str) -> int:
        return self.random.choice(_TICKS) * parse(MARKETS[symbol][0]) + (self.random.random() < 0.02)

    def _wait(self, order: c.PlaceOrder, *, resting: bool = False) -> c.PlaceOrder:
        """Make an order wait for a price."""
        random = self.random
        kind = random.choice(_WAITING)
        order.type, order.quote_amount = int(kind), 0
        order.quantity = order.quantity or random.randrange(1, 40) * parse(MARKETS[order.symbol][1])
        order.time_in_force = int(random.choice(_LIVES[:4] if resting else _LIVES))
        order.expire_time = self.time + 20_000 if order.time_in_force == TimeInForce.GTD else 0
        order.price = self._price(order.symbol) if kind in _LIMITED else 0
        order.trigger_source = random.choice(_SOURCES)
        rests = order.price and order.time_in_force not in {TimeInForce.IOC, TimeInForce.FOK}
        order.post_only = bool(order.post_only and rests)
        order.display_quantity = order.display_quantity if rests else 0
        if kind != OrderType.TRAILING_STOP:
            order.stop_price = self._price(order.symbol)
        elif random.random() < 0.5:
            order.trailing_amount = random.randrange(1, 5) * parse(MARKETS[order.symbol][0])
        else:
            order.trailing_percent = random.randrange(1, 500)
        return order

    def _exit(self, symbol: str) -> c.ExitTerms | None:
        random = self.random
        if random.random() < 0.2:
            return None
        price = self._price(symbol) if random.random() < 0.4 else 0
        label = f"label {random.randrange(8)}" if random.random() < 0.2 else ""
        return c.ExitTerms(self._price(symbol), price, random.choice(_SOURCES), label)

    def _bracket(self, order: c.PlaceOrder) -> c.PlaceOrder:
        if self.random.random() < 0.2:
            order = self._wait(order)
        order.take_profit, order.stop_loss = self._exit(order.symbol), self._exit(order.symbol)
        if order.take_profit or order.stop_loss:
            self.numbers += [member_number(order.sequence, index) for index in (1, 2)]
            for index in (1, 2):
                self.sent[member_number(order.sequence, index)] = order
        return order

    def _oco(self) -> c.PlaceOco:
        """Two of one account, market and side; now and then not."""
        first = self._wait(self._place(), resting=True)
        self.sequence -= 1
        second = self._place(first if self.random.random() < 0.98 else None)
        second.user_id, second.time, second.request_id = first.user_id, first.time, ""
        second.session_id = first.session_id
        if self.random.random() < 0.4:
            second = self._wait(second, resting=True)
        else:
            self._rest(second)
        number = member_number(first.sequence, 1)
        self.numbers[-1] = number
        self.sent[number] = second
        orders = (first, second) if self.random.random() < 0.5 else (second, first)
        stamp = (first.sequence, self.time, first.user_id, first.request_id, first.fingerprint)
        for order in orders:
            order.time, order.request_id, order.fingerprint = self.time, first.request_id, first.fingerprint
        return c.PlaceOco(*stamp, orders)

    def _rest(self, order: c.PlaceOrder) -> None:
        order.type, order.time_in_force, order.expire_time = int(OrderType.LIMIT), int(TimeInForce.GTC), 0
        order.quantity = order.quantity or self.random.randrange(1, 40) * parse(MARKETS[order.symbol][1])
        order.price, order.quote_amount = self._price(order.symbol), 0

    def _reference(self) -> c.SetReferencePrices:
        symbol = self.random.choice(SYMBOLS)
        prices = [self.random.choice((0, self._price(symbol), self._price(symbol) + 1)) for _ in range(2)]
        command = c.SetReferencePrices(*self._stamp(), symbol, *prices)
        if command.sequence % 5 == 0 and symbol in self.indexed:
            command.mark_price, command.index_price, command.stale_index_time = 0, 0, self.indexed.pop(symbol)
            return command
        if prices[1]:
            self.indexed[symbol] = command.time
        return command

    def _retarget(self) -> c.AmendOrder:
        """Another stop price, and perhaps another quantity, for a recent order, which may not wait."""
        random = self.random
        number = self._number(12)
        sent = self.sent[number]
        quantity = random.choice((0, random.randrange(1, 40))) * parse(MARKETS[sent.symbol][1])
        price = random.choice((0, 0, self._price(sent.symbol)))
        stamp = self._stamp("", "")
        return c.AmendOrder(*stamp, number, "", "", price, quantity, 0, random.choice((0, self._price(sent.symbol))))
