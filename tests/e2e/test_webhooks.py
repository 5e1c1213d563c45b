"""A webhook as a customer lives it: made over REST, told by a trade, verified by the example's receiver (MSG-1)."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.gateway import ROOT
from tests.e2e.launching import eventually
from tests.e2e.people import join
from tests.e2e.ways import Refused, Rest
from tests.servers import free_port

HOOKS = "webhook.v1.WebhookService"


@contextmanager
def receiving(log: Path, port: int, *secrets: str) -> Iterator[None]:
    """The receiver of the examples, as a process of its own."""
    command = [sys.executable, str(ROOT / "examples/python/webhook_receiver.py"), "--port", str(port), *secrets]
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


def told(log: Path) -> list[Any]:
    """The bodies that the receiver has verified."""
    lines = [line for line in log.read_text().splitlines() if line.startswith("msg_")]
    return [json.loads(line.partition(" ")[2]) for line in lines]


def test_a_filled_order_reaches_the_receiver_and_its_signature_is_right(rest: Rest, tmp_path: Path) -> None:
    buyer = join(rest, "buyer")
    port, log = free_port(), tmp_path / "receiver.log"
    asked = {
        "url": f"http://127.0.0.1:{port}/",
        "eventTypes": ["EVENT_TYPE_ORDER_FILLED"],
        "accountId": buyer.account_id,
    }
    made = rest.call(f"{HOOKS}.CreateEndpoint", asked, buyer.token)
    endpoint = {"endpointId": made["endpoint"]["endpointId"]}
    with receiving(log, port, "whsec_" + "A" * 44, made["secret"]):
        eventually(lambda: answered(port), "the receiver listens")
        sent = rest.call(f"{HOOKS}.SendTest", endpoint, buyer.token)
        eventually(lambda: [body["type"] for body in told(log)] == ["test"], "the test message comes", within_s=60)
        order = buyer.order("BUY", "", "0.1", type="ORDER_TYPE_MARKET", timeInForce="TIME_IN_FORCE_IOC")
        filled = rest.call("order.v1.OrderService.PlaceOrder", order, buyer.token)["order"]
        assert filled["status"] == "ORDER_STATUS_FILLED", filled
        eventually(lambda: len(told(log)) == 2, "the order is told", within_s=60)

        def deliveries() -> list[Any]:
            found: list[Any] = rest.call(f"{HOOKS}.ListDeliveries", endpoint, buyer.token)["deliveries"]
            return found

        # The receiver has the message before the venue has its answer, and it must be there to give one.
        delivered = [("DELIVERY_STATE_SUCCEEDED", 1)] * 2
        eventually(lambda: [(one["state"], one["attempts"]) for one in deliveries()] == delivered, "both have arrived")
        listed = deliveries()
    body = told(log)[1]
    data = body["data"]
    assert (body["type"], data["orderId"], data["symbol"]) == ("order_filled", filled["orderId"], "ETH-USD")
    assert (data["filledQty"], data["avgPrice"]) == (filled["filledQuantity"], filled["averagePrice"])
    assert listed[1]["messageId"] == sent["messageId"]
    # To the receiver nobody else is the venue.
    with receiving(log, port, made["secret"]):
        forged = {"webhook-id": "msg_x", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"}
        eventually(lambda: answered(port), "the receiver listens")
        assert httpx.post(f"http://127.0.0.1:{port}/", content=b"{}", headers=forged).status_code == 401
    assert len(told(log)) == 2


def answered(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/").status_code == 501
    except httpx.TransportError:
        return False


def test_s26_an_address_inside_is_refused(rest: Rest) -> None:
    person = join(rest, "inside")
    for url in ("http://10.0.0.1:8080/", "https://169.254.169.254/", "https://[fd00::1]/"):
        asked = {"url": url, "eventTypes": ["EVENT_TYPE_ORDER_FILLED"]}
        with pytest.raises(Refused) as refusal:
            rest.call(f"{HOOKS}.CreateEndpoint", asked, person.token)
        assert refusal.value.said == ("INVALID_ARGUMENT", "WEBHOOK_URL_REFUSED")
