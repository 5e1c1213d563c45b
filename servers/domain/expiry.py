"""Orders that expire (GTD, DAY), by when.

Invariant: `due` has an entry for every open order that expires; entries of orders that ended earlier, or whose day was made
shorter or longer, are dropped when they come up, or when they are most of it: who quotes for the day ends what he placed long
before the day does.
"""

from heapq import heapify, heappop, heappush
from typing import Final

from servers.domain.identifiers import age
from servers.domain.model import Market, Order
from servers.domain.placing import Floor
from servers.domain.positions import day_end
from servers.domain.terms import OrderStatus, TimeInForce

# So many entries of ended orders may wait to be cleared away, and as many more as there are open ones.
STALE_MAX: Final = 1_024
_EXPIRED: Final = int(OrderStatus.EXPIRED)
_DAY: Final = int(TimeInForce.DAY)


def _entry(order: Order) -> tuple[int, int, int]:
    return order.expire_time, age(order.number), order.number


class Expiry:
    """The expiring orders of a partition."""

    __slots__ = ("due", "due_max", "floor")

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        # When, how old, and which order.
        self.due: list[tuple[int, int, int]] = []
        self.due_max = STALE_MAX

    def load(self) -> None:
        """Find the expiring orders among the open ones."""
        self.due = [_entry(order) for order in self.floor.orders.values() if order.expire_time]
        self._order()

    def add(self, order: Order) -> None:
        """Take in an order that was placed."""
        if order.expire_time and order.number in self.floor.orders:
            self._push(order)

    def follow_hours(self, market: Market, now: int) -> None:
        """A market's hours were set anew: its DAY orders end when these close it, or at the end of the day they came on."""
        schedule, floor = market.schedule, self.floor
        closes = 0 if schedule is None else schedule.close_from(now)
        mine = [order for order in floor.orders.values() if order.market is market and order.time_in_force == _DAY]
        for order in sorted(mine, key=lambda order: age(order.number)):
            midnight = day_end(order.create_time)
            ends = min(midnight, closes or midnight)
            if ends != order.expire_time:
                floor.record.order(order)
                order.expire_time = ends
                floor.record.fold(order.number, ends)
                self._push(order)

    def _push(self, order: Order) -> None:
        heappush(self.due, _entry(order))
        if len(self.due) > self.due_max:
            self.due = [entry for entry in self.due if self._stands(entry)]
            self._order()

    def _stands(self, entry: tuple[int, int, int]) -> bool:
        """Whether the order of an entry is open, and expires when the entry says."""
        order = self.floor.orders.get(entry[2])
        return order is not None and order.expire_time == entry[0]

    def _order(self) -> None:
        heapify(self.due)
        self.due_max = 2 * len(self.due) + STALE_MAX

    def next(self) -> int | None:
        """When the next order expires, or None."""
        due = self.due
        while due:
            if self._stands(due[0]):
                return due[0][0]
            heappop(due)
        return None

    def fire(self) -> None:
        """Let the next order expire; of several at one time the oldest."""
        *_, number = heappop(self.due)
        self.floor.end(self.floor.orders[number], _EXPIRED, 0)
