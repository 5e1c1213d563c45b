"""The operations that books are compared with, and the peer's book doing them: run by a Python that has the peer installed.

Nothing of the venue is imported here, because that Python does not have it.
"""

import json
import random
import sys
import time
from typing import Final, NamedTuple

SEED: Final = 7
TICK: Final = 0.01
MIDDLE: Final = 650_000


class Operation(NamedTuple):
    """An order (`cancels` -1), or the cancellation of the order that was placed as number `cancels`."""

    buy: bool
    ticks: int
    lots: int
    cancels: int


def operations(count: int) -> list[Operation]:
    """Two thirds rest within fifty ticks of the middle, a sixth meet them, a sixth cancel one of the last thousand."""
    chance = random.Random(SEED)
    made: list[Operation] = []
    placed = 0
    while len(made) < count:
        kind = chance.random()
        buy = chance.random() < 0.5
        if kind < 1 / 6 and placed:
            made.append(Operation(buy, 0, 0, chance.randrange(max(0, placed - 1_000), placed)))
            continue
        away = chance.randint(1, 50)
        if kind < 1 / 3:
            away = -away
        made.append(Operation(buy, MIDDLE - away if buy else MIDDLE + away, chance.randint(1, 100), -1))
        placed += 1
    return made


def run_peer(todo: list[Operation]) -> tuple[float, int]:
    """Seconds, and how many fills there were. Orders are made before, here and in the venue's book."""
    import litebook  # type: ignore[import-not-found,unused-ignore]  # in an environment of its own

    book = litebook.OrderBook(tick_size=TICK)
    sides = {True: litebook.OrderType.Buy, False: litebook.OrderType.Sell}
    orders = [book.create_order(sides[o.buy], round(o.ticks * TICK, 2), float(o.lots)) for o in todo if o.cancels < 0]
    ids = [order.id for order in orders]
    coming, fills = iter(orders), 0
    begun_s = time.perf_counter()
    for operation in todo:
        if operation.cancels >= 0:
            book.cancel(ids[operation.cancels])
        else:
            fills += len(book.add(next(coming)))
    return time.perf_counter() - begun_s, fills


if __name__ == "__main__":
    took_s, fills = run_peer(operations(int(sys.argv[1])))
    sys.stdout.write(json.dumps({"seconds": took_s, "fills": fills}))
