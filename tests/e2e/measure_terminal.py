"""How the terminal keeps up with a book that changes many times a second, and how fast it loads: figures for docs/terminal.md.

Not a test: what it finds depends on what else the machine does. It starts a venue of its own, and ends it.

    python -m tests.e2e.measure_terminal [CHANGES_A_SECOND]
"""

import asyncio
import json
import os
import sys
import tempfile
import threading
import time
from decimal import Decimal
from pathlib import Path

from tests.e2e.browser import play
from tests.e2e.launching import Venue, eventually, launched
from tests.e2e.people import PASSWORD, Person, join
from tests.e2e.ways import Rest
from venue.order.v1.order_service_pb2 import AmendOrderRequest
from venue_sdk import Client, Password

MARKET = "EUR-USD"
LEVELS = 6  # all of them in sight
CHANGES_A_SECOND = 60.0


async def changing(target: str, person: Person, rate: float, end: threading.Event, counted: list[int]) -> None:
    """A ladder of orders whose quantities change one after the other, so many a second, until the end."""
    async with Client(target, Password(person.email, PASSWORD)) as client:
        orders = []
        for level in range(LEVELS):
            price = Decimal("1.05") - level * Decimal("0.0001")
            orders.append((await client.place(person.account_id, MARKET, "BUY", 20, price=price)).accepted())
        sent: set[asyncio.Task[object]] = set()
        begun = time.monotonic()
        while not end.is_set():
            order = orders[counted[0] % LEVELS]
            quantity = "19" if counted[0] // LEVELS % 2 else "18"
            asked = AmendOrderRequest(order_id=order.order_id, quantity=quantity)
            task = asyncio.ensure_future(client.orders.AmendOrder(asked))
            sent.add(task)
            task.add_done_callback(sent.discard)
            counted[0] += 1
            await asyncio.sleep(max(0.0, begun + counted[0] / rate - time.monotonic()))
        await asyncio.gather(*sent)
        await client.cancel_all(person.account_id)


def measured(venue: Venue, rate: float) -> dict[str, object]:
    rest = Rest(venue.url)
    person = join(rest, "ladder")
    rest.close()
    end, counted = threading.Event(), [0]
    feeding = threading.Thread(target=lambda: asyncio.run(changing(venue.target, person, rate, end, counted)))
    feeding.start()
    eventually(lambda: counted[0] > LEVELS, "the book changes")
    begun, before = time.monotonic(), counted[0]
    try:
        frames = play("frames", venue, symbol=MARKET)
        sent = (counted[0] - before) / (time.monotonic() - begun)
    finally:
        end.set()
        feeding.join()
    load = [round(each, 1) for each in os.getloadavg()]
    return {"changes sent a second": round(sent, 1), "load of the machine": load, **frames}


def main() -> None:
    rate = float(sys.argv[1]) if len(sys.argv) > 1 else CHANGES_A_SECOND
    with tempfile.TemporaryDirectory() as folder, launched(Path(folder)) as venue:
        print(json.dumps(measured(venue, rate)))
        loads = play("look", venue)
        print(json.dumps({"interactive ms": loads["interactive"], "first load bytes": loads["loaded"]}))


if __name__ == "__main__":
    main()
