"""What a person keeps when a process dies, and when the whole venue is stopped and started again."""

import itertools
import time
import uuid
from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.launching import Venue, eventually
from tests.e2e.people import Person, balances, join, ledger, log_in, sums, totals
from tests.e2e.rest import Json
from tests.e2e.ways import Heard, Native, Refused, Rest

ORDERS = "order.v1.OrderService"
AGAIN_S = 60.0
UNKNOWN = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "INTERNAL", "UNKNOWN"}


@pytest.fixture(scope="module")
def native(venue: Venue) -> Iterator[Native]:
    made = Native(venue.target)
    yield made
    made.close()


@pytest.fixture(scope="module")
def oscar(rest: Rest) -> Person:
    return join(rest, "oscar")


def insist(way: Native, request: Json, token: str) -> Json:
    """Place the order as the contract tells clients to: while the outcome is unknown, again with the same request_id."""
    end = time.monotonic() + AGAIN_S
    while True:
        try:
            answer: Json = way.call(f"{ORDERS}.PlaceOrder", request, token)
        except Refused as refusal:
            if refusal.code not in UNKNOWN or time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return answer


def resting(person: Person, number: int) -> Json:
    price = f"10.{number:02}"
    return person.order("BUY", price, "0.1", clientOrderId=f"n{number}", requestId=str(uuid.uuid4()))


def labels(heard: Heard) -> list[str]:
    """Of the orders that a stream told of as they came into the book."""
    updates = [update["order"] for frame in heard.of("event") for update in frame["event"]["updates"]]
    return [order["clientOrderId"] for order in updates if order["status"] == "ORDER_STATUS_OPEN"]


def last_position(heard: Heard) -> str:
    position: str = heard.frames[-1]["position"]
    return position


def test_a_killed_engine_loses_nothing_and_streams_go_on_where_they_were(
    venue: Venue, native: Native, oscar: Person
) -> None:
    account = {"accountId": oscar.account_id}
    before = native.listen(f"{ORDERS}.StreamOrders", account, oscar.token)
    before.until(lambda frames: any("snapshot" in frame for frame in frames), "the snapshot")
    requests = [resting(oscar, number) for number in range(20)]
    answers = [insist(native, request, oscar.token) for request in requests[:10]]
    before.until(lambda _frames: len(labels(before)) >= 5, "five orders")
    pid = venue.pids()["order"]
    venue.kill("order")
    begun = time.monotonic()
    answers += [insist(native, request, oscar.token) for request in requests[10:]]
    print(f"served again {time.monotonic() - begun:.1f} s after the kill")
    assert venue.pids()["order"] != pid
    eventually(lambda: before.ended, "the end of the broken stream")
    after = reopened(native, account | {"resumeAfter": last_position(before)}, oscar.token)
    after.until(lambda _frames: len(labels(before)) + len(labels(after)) >= 20, "twenty orders")
    assert labels(before) + labels(after) == [request["clientOrderId"] for request in requests]
    assert after.frames[0]["ready"]["resumed"] is True
    assert after.of("gap") == []
    events = before.of("event") + after.of("event")
    chain = [(event["previousSequence"], event["sequence"]) for event in events]
    assert all(later[0] == earlier[1] for earlier, later in itertools.pairwise(chain)), chain
    after.close()
    before.close()
    # The first answers again, whoever gave them.
    again = [native.call(f"{ORDERS}.PlaceOrder", request, oscar.token) for request in requests]
    assert [each["order"] for each in again] == [each["order"] for each in answers]
    assert all(each["replayed"] for each in again)
    held = balances(native, oscar)["USD"]["held"]
    gone = native.call(f"{ORDERS}.CancelAllOrders", account, oscar.token)
    assert len(gone["orders"]) == 20
    assert balances(native, oscar, gone["position"])["USD"]["held"] == "0" != held


def reopened(way: Native, request: Json, token: str) -> Heard:
    """The stream, once the server takes it again."""
    end = time.monotonic() + AGAIN_S
    while True:
        heard = way.listen(f"{ORDERS}.StreamOrders", request, token)
        eventually(lambda heard=heard: bool(heard.frames) or heard.ended, "a frame")  # type: ignore[misc]
        if heard.frames:
            return heard
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_second_start_finds_everything_as_it_was(venue: Venue, rest: Rest, oscar: Person) -> None:
    placed = rest.call(f"{ORDERS}.PlaceOrder", resting(oscar, 77), oscar.token)
    has, entries = balances(rest, oscar, placed["position"]), ledger(rest, oscar, placed["position"])
    begun = time.monotonic()
    venue.down()
    print(f"stopped in {time.monotonic() - begun:.1f} s")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{venue.url}/healthz")
    assert venue.pids() == {}
    print(f"second start in {venue.up():.1f} s")
    token = log_in(rest, oscar.email)
    back = Person("oscar", oscar.email, token, "", oscar.account_id, "")
    assert balances(rest, back) == has
    assert ledger(rest, back, placed["position"]) == entries
    assert sums(entries) == totals(has)
    order = {"orderId": placed["order"]["orderId"]}
    assert rest.call(f"{ORDERS}.GetOrder", order, token)["order"] == placed["order"]
    # A token of before is as good as it was, and so is a request_id.
    request = resting(oscar, 77) | {"requestId": placed["order"]["requestId"]}
    assert rest.call(f"{ORDERS}.PlaceOrder", request, oscar.token)["replayed"] is True
    assert rest.call(f"{ORDERS}.CancelOrder", order, token)["order"]["status"] == "ORDER_STATUS_CANCELLED"
    books = ("marketdata.v1.MarketDataService.GetOrderBook", {"symbol": "ETH-USD", "depth": 1})
    eventually(lambda: rest.call(*books)["asks"] != [], "the market maker's book")
