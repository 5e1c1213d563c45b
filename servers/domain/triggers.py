"""Orders that wait for a price, and what happens when it comes.

Invariant: between two commands every waiting order is among the open ones and in `watches`, and in a market that is open none
has its condition met. What a command's matching, a reference price or a market that opens has met is taken after the command,
in the order in which the prices came; at one price rising ones first, nearest stop price first, then who waits longest. Each
triggered order is matched before the next, and what its trades meet queues behind. An order is triggered at most once, so this
ends.
"""

from collections import deque
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final

from servers.domain.conditions import improves, met, reference, rises, trailing_stop
from servers.domain.matching import Plan, plan
from servers.domain.model import Market, Order
from servers.domain.reducing import cut_to_room
from servers.domain.risk import check_band, check_exposure, price_limit
from servers.domain.terms import (
    AccountStatus,
    CancelReason,
    MarketState,
    OrderStatus,
    RejectReason,
    Side,
    TimeInForce,
    TriggerSource,
)

if TYPE_CHECKING:
    from servers.domain.placing import Floor

_BUY: Final = int(Side.BUY)
_FOK: Final = int(TimeInForce.FOK)
_OPEN_MARKET: Final = int(MarketState.OPEN)
_ACTIVE: Final = int(AccountStatus.ACTIVE)
_LAST: Final = int(TriggerSource.LAST)
_SOURCES: Final = tuple(int(source) for source in TriggerSource if source)
_PENDING: Final = int(OrderStatus.PENDING_TRIGGER)
_OPEN: Final = int(OrderStatus.OPEN)
_CANCELLED: Final = int(OrderStatus.CANCELLED)
_FINAL: Final = int(OrderStatus.FILLED)
_REJECTED: Final = int(CancelReason.TRIGGER_REJECTED)
# Entries that may be out of date before they are cleared away.
STALE_MAX: Final = 1_024

Entry = tuple[int, int, int]


class Watch:
    """The orders of a market that wait for one of its prices.

    `stops` has rising ones (True) by stop price and falling ones by its negative, each with priority and number; `bests` has
    trailing sales (False) by best price and purchases by its negative. Entries that say what was so before are dropped when
    they come up.
    """

    __slots__ = ("bests", "count", "stops")

    def __init__(self) -> None:
        self.count = 0
        self.stops: dict[bool, list[Entry]] = {True: [], False: []}
        self.bests: dict[bool, list[Entry]] = {True: [], False: []}


class Triggers:
    """The waiting orders of a partition, and those whose time has come within the command under way."""

    __slots__ = ("due", "floor", "watches")

    def __init__(self, floor: "Floor") -> None:
        self.floor = floor
        # By symbol and source; there is none where nothing waits.
        self.watches: dict[tuple[str, int], Watch] = {}
        self.due: deque[Order] = deque()

    # Waiting

    def wait(self, order: Order) -> None:
        """Let an order that holds what it needs wait; one whose condition is met is triggered after the command.

        The price of the trade that an exit is born of is looked at for all that wait, once the trade is done.
        """
        order.status = _PENDING
        order.priority = self.floor.next_place()
        self.floor.enlist(order)
        self.add(order)
        if not order.born or order.trigger_source != _LAST:
            self.consider(order)

    def add(self, order: Order) -> None:
        """Take a waiting order in."""
        key = order.market.symbol, order.trigger_source
        watch = self.watches.get(key)
        if watch is None:
            watch = self.watches[key] = Watch()
        watch.count += 1
        self._follow(watch, order)
        self._watch(watch, order)

    def drop(self, order: Order) -> None:
        """Let a waiting order wait no more."""
        key = order.market.symbol, order.trigger_source
        watch = self.watches[key]
        watch.count -= 1
        if not watch.count:
            del self.watches[key]

    def move(self, order: Order, stop_price: int) -> None:
        """Give a waiting order another stop price and place in time."""
        order.stop_price = stop_price
        order.priority = self.floor.next_place()
        self._watch(self.watches[order.market.symbol, order.trigger_source], order)
        self.consider(order)

    def consider(self, order: Order) -> None:
        """Trigger a waiting order after the command if its condition is met."""
        market = order.market
        if market.state == _OPEN_MARKET and met(order, reference(market, order.trigger_source)):
            self.due.append(order)

    def _watch(self, watch: Watch, order: Order) -> None:
        rising = rises(order)
        heap = watch.stops[rising]
        heappush(heap, (order.stop_price if rising else -order.stop_price, order.priority, order.number))
        if len(heap) > 2 * watch.count + STALE_MAX:
            heap[:] = [entry for entry in heap if self._waits(entry, rising) is not None]
            heapify(heap)

    def _follow(self, watch: Watch, order: Order) -> None:
        if order.best_price:
            buys = order.side == _BUY
            heap = watch.bests[buys]
            heappush(heap, (-order.best_price if buys else order.best_price, order.priority, order.number))
            if len(heap) > 2 * watch.count + STALE_MAX:
                heap[:] = [entry for entry in heap if self._trails(entry) is not None]
                heapify(heap)

    def _trails(self, entry: Entry) -> Order | None:
        """The order that follows the price from where an entry says."""
        order = self.floor.orders.get(entry[2])
        return order if order is not None and order.status == _PENDING and order.best_price == abs(entry[0]) else None

    def _waits(self, entry: Entry, rising: bool) -> Order | None:
        """The order of an entry, if the entry still says what is so."""
        key, priority, number = entry
        order = self.floor.orders.get(number)
        if order is None or order.status != _PENDING or order.priority != priority:
            return None
        return order if order.stop_price == (key if rising else -key) else None

    # Prices

    def traded(self, market: Market) -> None:
        """Look at the price of a trade: an exit that the trade brought to life sees it too, but no price before."""
        self.observe(market, _LAST, market.last_ticks * market.tick_size)

    def opened(self, market: Market) -> None:
        """Look at all prices of a market that takes orders again."""
        for source in _SOURCES:
            self.observe(market, source, reference(market, source))

    def observe(self, market: Market, source: int, price: int) -> None:
        """Let trailing stops follow a price (0: none), and what it meets be triggered after the command if the market is open."""
        watch = self.watches.get((market.symbol, source))
        if watch is None or not price:
            return
        for buys in (False, True):
            self._trail(watch, buys, price)
        if market.state != _OPEN_MARKET:
            return
        for rising in (True, False):
            heap = watch.stops[rising]
            while heap and (heap[0][0] <= price if rising else -heap[0][0] >= price):
                order = self._waits(heappop(heap), rising)
                if order is not None:
                    self.due.append(order)

    def _trail(self, watch: Watch, buys: bool, price: int) -> None:
        heap, record = watch.bests[buys], self.floor.record
        while heap and (-heap[0][0] > price if buys else heap[0][0] < price):
            order = self._trails(heappop(heap))
            if order is None or not improves(order, price):
                continue
            order.best_price = price
            order.stop_price = trailing_stop(order, price)
            record.order(order)
            record.fold(order.number, order.stop_price)
            self._follow(watch, order)
            self._watch(watch, order)

    # What has come

    def run(self) -> None:
        """Trigger what is due, and what that meets, until nothing is."""
        due = self.due
        while due:
            order = due.popleft()
            if order.status == _PENDING:
                self._trigger(order)

    def _trigger(self, order: Order) -> None:
        """Place a waiting order as what it becomes, or end it."""
        floor, record = self.floor, self.floor.record
        self.drop(order)
        record.order(order)
        links = floor.links
        if order.list_number:
            links.triggered(order)
        record.fold(order.number, order.stop_price)
        order.trigger_time = record.time
        order.status = _OPEN
        if not order.price:
            order.ticks = 0
        if order.reduce_only:
            cut_to_room(order, ())
        found, reason = self.decide(order)
        if reason:
            order.reject_reason = reason
            floor.forget(order)
            floor.finish(order, _CANCELLED, _REJECTED)
            return
        if order.list_number:
            links.trading(order)
        need = floor.first_need(order, found)
        if need != order.held:
            floor.ledger.hold(order.account, order.market.pays[order.side], need - order.held)
            order.held = need
        floor.match(order, found)
        if order.status >= _FINAL:
            floor.forget(order)

    def decide(self, order: Order) -> tuple[Plan, int]:
        """What a triggered order would do, and the reason (RejectReason) why it cannot be placed; 0: none. Changes nothing.

        A purchase without a limit buys what its hold and the free funds pay for.
        """
        floor = self.floor
        opposite = floor.books[order.market.symbol].opposite[order.side]
        bounds = floor.limits.of(order.account, order.market)
        limit = order.ticks or price_limit(order, bounds)
        found = plan(order, opposite, limit, order.lots, -1)
        own = order.held
        held = floor.links.held(order) if order.list_number else own
        funds = held + floor.ledger.available(order.account, order.market.pays[order.side])
        short = not order.price and order.side == _BUY and floor.first_need(order, found) > funds
        if short and order.time_in_force != _FOK:
            affordable = plan(order, opposite, limit, order.lots, funds)
            if affordable.filled_lots:
                found = affordable
        if order.account.status != _ACTIVE:
            return found, int(RejectReason.ACCOUNT_NOT_ACTIVE)
        reason = check_band(order.ticks, order.market, bounds) if order.ticks and not bounds.plain else 0
        reason = reason or check_exposure(order, found, bounds, ()) or floor.refusal(order, found, held)
        order.held = own
        return found, reason
