"""Headers at the edge: what every answer carries (S17), what no client may send (S18), and who else's page may ask (S21).

The names are lines of the security checklist; together they are what OPS-7 asks of headers and other pages.
"""

import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from tests.e2e.gateway import ORIGIN, Gateway, Ports, connection, gateway
from venue.marketdata.v1 import marketdata_pb2, marketdata_pb2_grpc

# Names the edge or a server writes and somebody believes, and such that others have believed elsewhere.
OURS = (
    "x-jwt-sub", "x-jwt-roles", "x-envoy-original-path", "x-envoy-retry-on", "x-envoy-max-retries", "x-envoy-internal",
    "x-envoy-upstream-rq-timeout-ms", "x-envoy-external-address", "x-venue-internal", "x-venue-user", "x-request-id",
    "x-real-ip", "x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix", "x-forwarded-client-cert", "forwarded",
    "x-forwarded-for",
)  # fmt: skip
FORGED = "203.0.113.9"
HSTS = "max-age=63072000; includeSubDomains"
TRADES = "/venue.marketdata.v1.MarketDataService/ListTrades"


def believed(metadata: str) -> dict[str, str]:
    """The headers of OURS that reached the server."""
    return {name: value for name, value in json.loads(metadata) if name in OURS}


@pytest.mark.parametrize("path", ["/v1/markets/ETH-USD/trades", "/v1/orders?accountId=demo-1"])
def test_s18_headers_of_the_edge_are_not_a_clients_to_send(
    client: httpx.Client, bearer: dict[str, str], path: str
) -> None:
    answer = client.get(path, headers={**dict.fromkeys(OURS, FORGED), **bearer})
    assert answer.status_code == 200
    reached = believed(answer.json()["nextPageToken"])
    assert FORGED not in " ".join(reached.values())
    assert reached["x-forwarded-for"] == "127.0.0.1"
    assert reached["x-request-id"] == answer.headers["x-request-id"]
    assert set(reached) <= {"x-forwarded-for", "x-request-id", "x-envoy-original-path", "x-envoy-external-address"}


def test_names_that_grpc_refuses_stay_outside(client: httpx.Client) -> None:
    strange = {"x-pi|pe": "a", "x-`tick`": "a", "x-trace-bin": "no base64", "x-mine": "passes"}
    answer = client.get("/v1/markets/ETH-USD/trades", headers=strange)
    assert answer.status_code == 200, answer.text
    assert {name for name, _ in json.loads(answer.json()["nextPageToken"])} & set(strange) == {"x-mine"}


def test_s18_nor_are_they_over_grpc_and_grpc_web(edge: Gateway, client: httpx.Client) -> None:
    with grpc.insecure_channel(edge.target) as channel:
        trades = marketdata_pb2_grpc.MarketDataServiceStub(channel).ListTrades(
            marketdata_pb2.ListTradesRequest(symbol="ETH-USD"),
            metadata=tuple((name, FORGED) for name in OURS),
            timeout=5,
        )
    message = marketdata_pb2.ListTradesRequest(symbol="ETH-USD").SerializeToString()
    web = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1", **dict.fromkeys(OURS, FORGED)}
    answer = client.post(TRADES, headers=web, content=b"\0" + len(message).to_bytes(4, "big") + message)
    size = int.from_bytes(answer.content[1:5], "big")
    over_web = marketdata_pb2.ListTradesResponse.FromString(answer.content[5 : 5 + size])
    for heard in (trades.next_page_token, over_web.next_page_token):
        reached = believed(heard)
        assert FORGED not in " ".join(reached.values())
        assert reached["x-forwarded-for"] == "127.0.0.1"


def test_s18_a_proxy_in_front_is_believed_as_far_as_it_was_said(edge: Gateway, tmp_path: Path) -> None:
    ports = Ports.free()
    behind = replace(edge.ports, gateway=ports.gateway, admin=ports.admin, administration=ports.administration)

    def one_hop(tree: Any) -> None:
        connection(tree)["xff_num_trusted_hops"] = 1

    with gateway(behind, tmp_path, change=one_hop) as running:
        answer = httpx.get(
            f"{running.url}/v1/markets/ETH-USD/trades", headers={"x-forwarded-for": f"{FORGED}, 198.51.100.7"}
        )
        assert believed(answer.json()["nextPageToken"])["x-forwarded-for"] == "198.51.100.7"


# Refused by the parser, the path check, the token check, a limit, a route; answered by a server, a file, the health check.
ASKED = {
    400: b"GET /v1/markets HTTP/1.1\r\nconnection: close\r\n\r\n",
    401: b"GET /v1/auth/me HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    404: b"GET /nothing HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    405: b"POST /nothing HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    413: b"POST /v1/auth/login HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 300000\r\n\r\n"
    + b"a" * 300_000,
    426: b"GET / HTTP/1.0\r\n\r\n",
    431: b"GET / HTTP/1.1\r\nhost: a\r\nx-padding: " + b"a" * 40_000 + b"\r\n\r\n",
    501: b"POST /v1/auth/refresh HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}",
}
ANSWERED = (b"/v1/markets", b"/", b"/page.js", b"/healthz", b"/.well-known/jwks.json")


def answer_to(edge: Gateway, request: bytes) -> tuple[int, httpx.Headers]:
    """Status and headers; the end of the connection is not waited for."""
    with socket.create_connection(("127.0.0.1", edge.ports.gateway), timeout=15) as connection:
        connection.sendall(request)
        lines = connection.makefile("rb")
        status = int(lines.readline().split()[1])
        pairs = [line.decode().strip().partition(": ") for line in iter(lines.readline, b"\r\n")]
    return status, httpx.Headers([(name, value) for name, _, value in pairs])


def test_s17_every_answer_carries_the_security_headers(edge: Gateway) -> None:
    asked = list(ASKED.items())
    asked += [(200, b"GET " + path + b" HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n") for path in ANSWERED]
    for status, request in asked:
        answered, headers = answer_to(edge, request)
        assert answered == status, request[:40]
        assert headers.get_list("strict-transport-security") == [HSTS], request[:40]
        assert headers.get_list("x-content-type-options") == ["nosniff"]
        assert headers.get_list("referrer-policy") == ["no-referrer"]
        assert headers.get_list("cache-control") == ["no-store"]
        (policy,) = headers.get_list("content-security-policy")
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        # Nothing says what answers here, or in which version.
        assert not [name for name in headers if name in {"server", "x-powered-by", "via"} or name.startswith("x-envoy")]


@pytest.mark.parametrize(
    "origin", ["http://evil.example", ORIGIN + ".evil.example", ORIGIN.upper(), ORIGIN + "/", "null", "*"]
)
def test_s21_another_page_is_told_nothing(client: httpx.Client, bearer: dict[str, str], origin: str) -> None:
    asking = {"origin": origin, "access-control-request-method": "POST"}
    answers = [
        client.options("/v1/orders", headers=asking),
        client.get("/v1/markets", headers={"origin": origin}),
        client.get("/v1/auth/me", headers={"origin": origin}),
        client.get("/v1/auth/me", headers={"origin": origin, **bearer}),
    ]
    for answer in answers:
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_s21_the_allowed_page_is_named_and_no_cookie_is_taken(client: httpx.Client, bearer: dict[str, str]) -> None:
    answer = client.get("/v1/auth/me", headers={"origin": ORIGIN, **bearer})
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "access-control-allow-credentials" not in answer.headers
    # What a browser sends of itself is no credential.
    token = bearer["authorization"].removeprefix("Bearer ")
    assert (
        client.get("/v1/auth/me", headers={"cookie": f"token={token}; authorization=Bearer {token}"}).status_code == 401
    )
