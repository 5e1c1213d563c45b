"""A whole venue with TLS at its gateway and of both sides among its servers, and its processes started anew under load.

s17 is a line of the security checklist, f12 one of the fault plan; both are part of OPS-7.
"""

import itertools
import ssl
import subprocess
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any, Self

import grpc
import httpx
import pytest

from tests.e2e.gateway import ROOT
from tests.e2e.launching import Venue, eventually, launched
from tests.servers import free_port
from venue.auth.v1 import auth_pb2, auth_pb2_grpc
from venue.marketdata.v1 import marketdata_pb2, marketdata_pb2_grpc
from venue.order.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc
from venue.type.v1 import type_pb2

DEMO = "demo@venue.local"


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Venue]:
    more = f"[[{free_port()}, {free_port()}]]"
    folder = tmp_path_factory.mktemp("sealed")
    with launched(folder, VENUE_TLS="self-signed", VENUE_MTLS="true", VENUE_MARKETDATA_MORE=more) as running:
        yield running


@pytest.fixture(scope="module")
def client(sealed: Venue) -> Iterator[httpx.Client]:
    assert sealed.trust is not None
    believing = ssl.create_default_context(cafile=str(sealed.trust.chain))
    with httpx.Client(base_url=sealed.url, verify=believing, timeout=15) as made:
        answer = made.post("/v1/auth/login", json={"email": DEMO, "password": sealed.logins[DEMO]})
        made.headers["authorization"] = f"Bearer {answer.json()['accessToken']}"
        yield made


def order_of(account_id: str) -> dict[str, str]:
    return {
        "accountId": account_id,
        "symbol": "ETH-USD",
        "side": "SIDE_BUY",
        "type": "ORDER_TYPE_LIMIT",
        "timeInForce": "TIME_IN_FORCE_GTC",
        "quantity": "0.1",
        "price": "1",
    }


def test_a_market_order_at_once_after_the_start_finds_quotes(sealed: Venue, client: httpx.Client) -> None:
    assert "quotes of the market maker" in sealed.log.read_text()
    account = client.post("/v1/accounts", json={"type": "ACCOUNT_TYPE_DEMO", "name": "early"}).json()["account"]
    taking = {"type": "ORDER_TYPE_MARKET", "timeInForce": "TIME_IN_FORCE_IOC", "quantity": "0.01"}
    for symbol in ("BTC-USD", "ETH-USD"):
        order = order_of(account["accountId"]) | taking | {"symbol": symbol}
        del order["price"]
        placed = client.post("/v1/orders", json=order)
        assert placed.json()["order"]["status"] == "ORDER_STATUS_FILLED", placed.text


def test_s17_a_person_trades_over_tls(sealed: Venue, client: httpx.Client) -> None:
    opened = client.post("/v1/accounts", json={"type": "ACCOUNT_TYPE_DEMO", "name": "first"}).json()["account"]
    placed = client.post("/v1/orders", json=order_of(opened["accountId"]))
    assert placed.json()["order"]["status"] == "ORDER_STATUS_OPEN", placed.text
    assert sealed.trust is not None
    with grpc.secure_channel(sealed.target, grpc.ssl_channel_credentials(sealed.trust.chain.read_bytes())) as channel:
        token = (("authorization", client.headers["authorization"]),)
        me = auth_pb2_grpc.AuthServiceStub(channel).WhoAmI(auth_pb2.WhoAmIRequest(), metadata=token, timeout=10)
        assert me.user.email == DEMO
        markets: Any = marketdata_pb2_grpc.MarketDataServiceStub(channel)
        # The servers reach each other, and the bus goes on.
        eventually(
            lambda: bool(markets.GetOrderBook(marketdata_pb2.GetOrderBookRequest(symbol="ETH-USD"), timeout=10).asks),
            "somebody quotes",
        )


def test_the_conformance_kit_asks_over_tls_as_a_known_user(sealed: Venue) -> None:
    assert sealed.trust is not None
    trusting = ["--target", sealed.target, "--ca", str(sealed.trust.chain)]
    known = ["--user", DEMO, "--password", sealed.logins[DEMO]]
    own: list[str] = []  # the configured gateway is known by its certificate
    asked: dict[str, Any] = {
        "cwd": ROOT,
        "env": sealed.environment() | {"COLUMNS": "200"},
        "capture_output": True,
        "text": True,
    }
    for way in (trusting, own):
        done = subprocess.run(sealed.command("conformance", *way, *known), check=False, **asked)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"kept at {sealed.target}" in done.stdout
    # Without the authority its certificate is nobody's, and nothing is asked.
    refused = subprocess.run(sealed.command("conformance", "--target", sealed.target, "--tls"), check=False, **asked)
    assert (refused.returncode, "nothing can be asked" in refused.stdout + refused.stderr) == (1, True)


def test_s17_the_commands_find_their_way(sealed: Venue) -> None:
    """Trading through the gateway, an operator's question to the engine, and the health of every process."""
    for command, said in (
        (("trade", "balances"), "USD"),
        (("trade", "book", "ETH-USD"), "ETH-USD"),
        (("market", "list"), "ETH-USD"),
        (("status",), "marketdata-2"),
    ):
        done = sealed.run(*command)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        assert said in done.stdout, command


def test_a_server_that_did_not_get_to_run_for_a_while_refuses_nobody(sealed: Venue, client: httpx.Client) -> None:
    for _ in range(2):
        with sealed.paused("api"):
            # Longer than two health checks of half a second, and shorter than callers wait.
            time.sleep(2.5)
        answer = client.get("/v1/accounts")
        assert answer.status_code == 200, answer.text


class Load:
    """Unary calls, one after the other in a thread each, over REST and gRPC, until it is left; and those that failed."""

    def __init__(self, sealed: Venue, token: str, account_id: str) -> None:
        assert sealed.trust is not None
        self._sealed = sealed
        self._trust = sealed.trust
        self._headers = {"authorization": f"Bearer {token}"}
        self._account_id = account_id
        self._ending = threading.Event()
        self.good: Counter[str] = Counter()
        self.failed: list[str] = []
        self._threads = [threading.Thread(target=self._over_rest), threading.Thread(target=self._over_grpc)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(30)

    def _over_rest(self) -> None:
        believing = ssl.create_default_context(cafile=str(self._trust.chain))
        with httpx.Client(base_url=self._sealed.url, verify=believing, timeout=15, headers=self._headers) as client:
            asked = (
                "/v1/auth/me",
                "/v1/markets/ETH-USD",
                "/v1/markets/ETH-USD/ticker",
                f"/v1/accounts/{self._account_id}",
            )
            for path in itertools.cycle(asked):
                if self._ending.wait(0.005):
                    return
                try:
                    answer = client.get(path)
                except httpx.TransportError as error:
                    self.failed.append(f"{path}: {error!r}")
                    continue
                if answer.status_code == 200:
                    self.good["rest"] += 1
                else:
                    self.failed.append(f"{path}: {answer.status_code} {answer.text[:200]}")

    def _over_grpc(self) -> None:
        trusted = grpc.ssl_channel_credentials(self._trust.chain.read_bytes())
        metadata = tuple(self._headers.items())
        with grpc.secure_channel(self._sealed.target, trusted) as channel:
            orders = order_service_pb2_grpc.OrderServiceStub(channel)
            for _ in itertools.count():
                if self._ending.wait(0.005):
                    return
                request = order_service_pb2.PlaceOrderRequest(
                    account_id=self._account_id,
                    symbol="ETH-USD",
                    side=type_pb2.SIDE_BUY,
                    type=order_pb2.ORDER_TYPE_LIMIT,
                    time_in_force=order_pb2.TIME_IN_FORCE_IOC,
                    quantity="0.01",
                    price="1",
                    request_id=str(uuid.uuid4()),
                )
                try:
                    orders.PlaceOrder(request, metadata=metadata, timeout=10)
                    self.good["grpc"] += 1
                except grpc.RpcError as error:
                    self.failed.append(f"PlaceOrder: {error}")


@pytest.mark.parametrize("name", ["api", "marketdata", "order", "envoy"])
def test_f12_a_restart_under_load_fails_no_unary_call(sealed: Venue, client: httpx.Client, name: str) -> None:
    before = sealed.pids()[name]
    opened = client.post("/v1/accounts", json={"type": "ACCOUNT_TYPE_DEMO", "name": name}).json()["account"]
    token = client.headers["authorization"].removeprefix("Bearer ")
    with Load(sealed, token, opened["accountId"]) as load:
        eventually(lambda: min(load.good["rest"], load.good["grpc"]) > 20, "calls are under way")
        done = subprocess.run(
            sealed.command("restart", name),
            cwd=ROOT,
            env=sealed.environment() | {"COLUMNS": "120"},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, (done.stdout, done.stderr)
        then = load.good.copy()
        eventually(lambda: all(load.good[way] > then[way] + 20 for way in ("rest", "grpc")), "calls go on")
    assert (load.failed[:3], len(load.failed)) == ([], 0), load.good
    after = sealed.pids()
    assert after[name] != before
    # What stood in is gone again, and everything is as it was.
    assert set(after) >= {"order", "api", "marketdata", "replica", "envoy", "bot"}
