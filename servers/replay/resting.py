"""Which orders of the flow may rest in the book, known without asking: never fewer than do.

An order that reaches none of the opposite ones cannot trade, whatever of what is under way comes first. What is known to be gone
is forgotten when an answer says so: of its own order, or of one that traded through where it rested.
"""

import heapq
from collections.abc import Iterator
from typing import Final

from servers.domain.terms import Side
from servers.replay.steps import Step
from venue.order.v1 import order_pb2

_RESTING: Final = {order_pb2.ORDER_STATUS_OPEN, order_pb2.ORDER_STATUS_PARTIALLY_FILLED}


class _Ladder:
    """Numbers of orders by rank: the price, negative for bids, so that the best is always the least."""

    def __init__(self) -> None:
        self.levels: dict[int, set[int]] = {}
        self._heap: list[int] = []

    def best(self) -> int | None:
        while self._heap and not self.levels.get(self._heap[0]):
            self.levels.pop(heapq.heappop(self._heap), None)
        return self._heap[0] if self._heap else None

    def add(self, rank: int, number: int) -> None:
        level = self.levels.get(rank)
        if level is None:
            level = self.levels[rank] = set()
            heapq.heappush(self._heap, rank)
        level.add(number)

    def better_than(self, rank: int) -> Iterator[int]:
        """Takes out, level by level, what ranks before `rank`."""
        while (best := self.best()) is not None and best < rank:
            yield from self.levels.pop(best)


class Resting:
    """Orders sent and not known to be gone."""

    def __init__(self) -> None:
        self._ladders = {Side.BUY: _Ladder(), Side.SELL: _Ladder()}
        self._where: dict[int, tuple[Side, int]] = {}

    def __len__(self) -> int:
        return len(self._where)

    def may_trade(self, step: Step) -> bool:
        """Whether a placement reaches anything that may rest on the other side."""
        best = self._ladders[_other(step.side)].best()
        return step.places and best is not None and best <= -_rank(step.side, step.price)

    def sent(self, step: Step) -> None:
        """A placement is on its way."""
        if step.places:
            rank = _rank(step.side, step.price)
            self._where[step.number] = (step.side, rank)
            self._ladders[step.side].add(rank, step.number)

    def gone(self, number: int) -> None:
        """An order does not rest, or not any more."""
        found = self._where.pop(number, None)
        if found is not None:
            side, rank = found
            self._ladders[side].levels[rank].discard(number)

    def placed(self, step: Step, order: order_pb2.Order, last_price: int | None, *, alone: bool) -> None:
        """A placement was answered; `last_price` is that of its last fill.

        `alone`: nothing else was under way, so the answer also tells what the other side no longer has: with something left,
        all that it reached; filled, all that is better than where it ended.
        """
        rests = order.status in _RESTING
        if not rests:
            self.gone(step.number)
        if not alone:
            return
        reached = -_rank(step.side, step.price) + 1 if rests else None
        if order.status == order_pb2.ORDER_STATUS_FILLED and last_price is not None:
            reached = -_rank(step.side, last_price)
        if reached is not None:
            for number in self._ladders[_other(step.side)].better_than(reached):
                del self._where[number]


def _rank(side: Side, price: int) -> int:
    return -price if side == Side.BUY else price


def _other(side: Side) -> Side:
    return Side.SELL if side == Side.BUY else Side.BUY
