"""Orders that expire (GTD, DAY), by when.

Invariant: `due` has an entry for every open order that expires; entries of orders that ended earlier are dropped when they come
up.
"""

from heapq import heapify, heappop, heappush
from typing import Final

from servers.domain.model import Order
from servers.domain.placing import Floor
from servers.domain.terms import OrderStatus

_EXPIRED: Final = int(OrderStatus.EXPIRED)


class Expiry:
    """The expiring orders of a partition."""

    __slots__ = ("due", "floor")

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        # When, and which order.
        self.due: list[tuple[int, int]] = []

    def load(self) -> None:
        """Find the expiring orders among the open ones."""
        self.due = [(order.expire_time, order.number) for order in self.floor.orders.values() if order.expire_time]
        heapify(self.due)

    def add(self, order: Order) -> None:
        """Take in an order that was placed."""
        if order.expire_time and order.number in self.floor.orders:
            heappush(self.due, (order.expire_time, order.number))

    def next(self) -> int | None:
        """When the next order expires, or None."""
        due, orders = self.due, self.floor.orders
        while due:
            time, number = due[0]
            if number in orders:
                return time
            heappop(due)
        return None

    def fire(self) -> None:
        """Let the next order expire; of several at one time the oldest."""
        _, number = heappop(self.due)
        self.floor.end(self.floor.orders[number], _EXPIRED, 0)
