"""The whole venue as `make up` starts it: a person logs in, opens an account and trades, over REST."""

import httpx
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from servers.embedded.addresses import DATABASE, postgres_url
from servers.embedded.state import State
from tests.e2e.launching import Venue, eventually

DEMO = "demo@venue.local"


@pytest.fixture(scope="module")
def bearer(venue: Venue) -> dict[str, str]:
    """Headers of the seeded demo user, logged in."""
    with httpx.Client(base_url=venue.url, timeout=10) as client:
        answer = client.post("/v1/auth/login", json={"email": DEMO, "password": venue.logins[DEMO]})
    assert answer.status_code == 200, answer.text
    return {"authorization": f"Bearer {answer.json()['accessToken']}"}


def test_everything_answers_through_one_port(venue: Venue, bearer: dict[str, str]) -> None:
    with httpx.Client(base_url=venue.url, timeout=10) as client:
        assert client.get("/").text.startswith("<!doctype html>")
        markets = client.get("/v1/markets").json()["markets"]
        assert {"BTC-USD", "ETH-USD"} <= {market["symbol"] for market in markets}
        assert {ticker["symbol"] for ticker in client.get("/v1/tickers").json()["tickers"]} == {
            market["symbol"] for market in markets
        }
        assert client.get("/v1/auth/me", headers=bearer).json()["user"]["email"] == DEMO
        assert client.get("/v1/auth/me").status_code == 401


def test_a_person_can_trade(venue: Venue, bearer: dict[str, str]) -> None:
    with httpx.Client(base_url=venue.url, timeout=10, headers=bearer) as client:
        opened = client.post("/v1/accounts", json={"type": "ACCOUNT_TYPE_DEMO", "name": "first"})
        assert opened.status_code == 200, opened.text
        account_id = opened.json()["account"]["accountId"]
        order = {
            "accountId": account_id,
            "symbol": "ETH-USD",
            "side": "SIDE_BUY",
            "type": "ORDER_TYPE_LIMIT",
            "timeInForce": "TIME_IN_FORCE_GTC",
            "quantity": "0.1",
            "price": "1",
        }
        placed = client.post("/v1/orders", json=order)
        assert placed.status_code == 200, placed.text
        assert placed.json()["order"]["status"] == "ORDER_STATUS_OPEN", placed.text
        cancelled = client.delete(f"/v1/orders/{placed.json()['order']['orderId']}")
        assert cancelled.json()["order"]["status"] == "ORDER_STATUS_CANCELLED", cancelled.text


def test_an_order_is_found_changed_and_cancelled_by_its_label(venue: Venue, bearer: dict[str, str]) -> None:
    with httpx.Client(base_url=venue.url, timeout=10, headers=bearer) as client:
        account_id = client.post("/v1/accounts", json={"type": "ACCOUNT_TYPE_DEMO"}).json()["account"]["accountId"]
        named = {"accountId": account_id, "clientOrderId": "mine"}
        order = named | {"symbol": "ETH-USD", "side": "SIDE_BUY", "type": "ORDER_TYPE_LIMIT", "quantity": "0.2"}
        order |= {"price": "10", "timeInForce": "TIME_IN_FORCE_GTC"}
        placed = client.post("/v1/orders", json=order).json()["order"]
        path = "/v1/orders:byClientOrderId"
        changed = client.patch(path, json=named | {"quantity": "0.1"})
        assert changed.status_code == 200, changed.text
        assert client.get(path, params=named).json()["order"]["quantity"] == "0.1"
        gone = client.delete(path, params=named).json()["order"]
    assert (gone["orderId"], gone["status"]) == (placed["orderId"], "ORDER_STATUS_CANCELLED")


def test_what_was_left_out_is_asked_for_by_name(venue: Venue, bearer: dict[str, str]) -> None:
    with httpx.Client(base_url=venue.url, timeout=10, headers=bearer) as client:
        refused = client.post("/v1/orders", json={"accountId": "demo-1", "symbol": "ETH-USD", "quantity": "1"})
    violations = next(detail["fieldViolations"] for detail in refused.json()["details"] if "fieldViolations" in detail)
    assert {each["field"]: each["description"] for each in violations}["side"] == "is required"


def halts(venue: Venue) -> dict[str, float]:
    """What the order process says of its partitions."""
    page = httpx.get(f"http://127.0.0.1:{venue.port('ORDER_METRICS')}/metrics", timeout=10).text
    families = {family.name: family.samples for family in text_string_to_metric_families(page)}
    return {sample.labels["partition"]: sample.value for sample in families["venue_partition_halted"]}


def test_a_halted_partition_is_said_to_be(venue: Venue) -> None:
    well = venue.run("status")
    assert (well.returncode, "is halted" in well.stdout) == (0, False), well.stdout
    assert halts(venue) == {"1": 0, "2": 0}
    password = State(venue.state).secret("postgres")
    with psycopg.connect(postgres_url(password, venue.port("POSTGRES"), DATABASE), autocommit=True) as database:
        try:
            # The first one is that of live accounts.
            database.execute("UPDATE partitions SET halted_reason = 'somebody has to look' WHERE partition = 1")
            said = venue.run("status")
            assert said.returncode == 1
            assert "partition 1 is halted: somebody has to look" in said.stdout
            eventually(lambda: halts(venue) == {"1": 1, "2": 0}, "one is halted")
        finally:
            database.execute("UPDATE partitions SET halted_reason = NULL")
    eventually(lambda: halts(venue) == {"1": 0, "2": 0}, "none is halted")
    eventually(lambda: venue.run("status").returncode == 0, "all is well")
