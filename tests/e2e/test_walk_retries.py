"""One request sent many times at once, in every way: one order."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.e2e import node_client
from tests.e2e.launching import Venue
from tests.e2e.people import balances, join
from tests.e2e.rest import Json
from tests.e2e.ways import Rest, Way, opened

TIMES = 48
REQUEST_ID = "018f5b5e-7c1a-7000-8000-00000000abcd"


def test_a_request_sent_many_times_at_once_is_one_order(
    venue: Venue, rest: Rest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    peggy = join(rest, "peggy")
    request = peggy.order("BUY", "5", "2", requestId=REQUEST_ID)
    with ExitStack() as stack:
        ways: list[Way] = [
            stack.enter_context(
                opened(
                    name, venue.url, venue.target, lambda: node_client.bundle("bridge", tmp_path_factory.mktemp("web"))
                )
            )
            for name in ("grpc", "rest", "web")
        ]

        def send(number: int) -> Json:
            answer: Json = ways[number % 3].call("order.v1.OrderService.PlaceOrder", request, peggy.token)
            return answer

        with ThreadPoolExecutor(TIMES) as pool:
            answers = list(pool.map(send, range(TIMES)))
    assert [answer["replayed"] for answer in answers].count(False) == 1
    first = next(answer for answer in answers if not answer["replayed"])
    assert all(answer | {"replayed": False} == first for answer in answers)
    account = {"accountId": peggy.account_id, "minPosition": first["position"]}
    listed = rest.call("order.v1.OrderService.ListOrders", account, peggy.token)["orders"]
    assert listed == [first["order"]]
    assert balances(rest, peggy)["USD"]["held"] == "10.02"
    cancelled = rest.call("order.v1.OrderService.CancelAllOrders", {"accountId": peggy.account_id}, peggy.token)
    assert len(cancelled["orders"]) == 1
