"""A whole venue with TLS at its gateway and of both sides among its servers (line S17 of the security checklist)."""

import ssl
import subprocess
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest

from tests.e2e.gateway import ROOT
from tests.e2e.launching import Venue, eventually, launched
from venue.auth.v1 import auth_pb2, auth_pb2_grpc
from venue.marketdata.v1 import marketdata_pb2, marketdata_pb2_grpc

DEMO = "demo@venue.local"


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Venue]:
    with launched(tmp_path_factory.mktemp("sealed"), VENUE_TLS="self-signed", VENUE_MTLS="true") as running:
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
        # The market maker reaches its servers, they each other, and the bus goes on.
        eventually(
            lambda: bool(markets.GetOrderBook(marketdata_pb2.GetOrderBookRequest(symbol="ETH-USD"), timeout=10).asks),
            "somebody quotes",
        )


def test_s17_the_commands_find_their_way(sealed: Venue) -> None:
    """Trading through the gateway, an operator's question to the engine, and the health of every process."""
    for command, said in (
        (("trade", "balances"), "USD"),
        (("trade", "book", "ETH-USD"), "ETH-USD"),
        (("market", "list"), "ETH-USD"),
        (("status",), "ok"),
    ):
        done = subprocess.run(
            sealed.command(*command),
            cwd=ROOT,
            env=sealed.environment() | {"COLUMNS": "120"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        assert said in done.stdout, command
