"""Paths and bytes that try to get around the gateway, and what it does while nobody stands behind it.

b08 (paths) and b09 (bytes) are lines of the fault plan, s19 (limits) of the security checklist.
"""

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from tests.e2e.gateway import Gateway, Ports, envoy, gateway, http_filters, render
from tests.e2e.test_gateway_grpc import ORDER
from venue.order.v1 import order_service_pb2_grpc

INTERNALS = ("upstream", "connect error", "Connection refused", "delayed", "reset reason", "127.0.0.1", "Traceback")


def raw(edge: Gateway, data: bytes, *, pieces_every_s: float = 0.0) -> bytes:
    """What the gateway answers to these very bytes, until it closes the connection."""
    with socket.create_connection(("127.0.0.1", edge.ports.gateway), timeout=15) as connection:
        if pieces_every_s:
            for at in range(len(data)):
                try:
                    connection.sendall(data[at : at + 1])
                except OSError:
                    break
                time.sleep(pieces_every_s)
        else:
            connection.sendall(data)
        received = b""
        while True:
            try:
                piece = connection.recv(65536)
            except ConnectionResetError:
                return received
            if not piece:
                return received
            received += piece


def first_line(edge: Gateway, data: bytes) -> bytes:
    """Does not wait for the end, which the gateway puts off by a second so that slow clients can read the answer."""
    with socket.create_connection(("127.0.0.1", edge.ports.gateway), timeout=15) as connection:
        connection.sendall(data)
        return connection.makefile("rb").readline()


@pytest.mark.parametrize(
    "path",
    [
        "/v1//auth/me",
        "/v1/./auth/me",
        "/v1/markets/../auth/me",
        "/v1/markets/%2e%2e/auth/me",
        "//v1/auth/me",
        "/V1/auth/me",
        "/v1/auth/me/",
        "/v1/auth/me?x",
        "/v1/auth%2Fme",
        "/v1/markets/..%2fauth/me",
        "/venue.marketdata.v1.MarketDataService/../venue.auth.v1.AuthService/WhoAmI",
        "/venue.marketdata.v1.MarketDataService/ListMarkets/../../venue.auth.v1.AuthService/WhoAmI",
        "/venue.auth.v1.AuthService/Login/../WhoAmI",
        "/VENUE.AUTH.V1.AUTHSERVICE/WhoAmI",
    ],
)
def test_b08_no_spelling_of_a_path_gets_past_the_token(edge: Gateway, path: str) -> None:
    for method, body in (("GET", b""), ("POST", b"{}")):
        head = f"{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        assert first_line(edge, head.encode() + body).split()[1] in {b"400", b"401", b"404", b"405"}, (method, path)


@pytest.mark.parametrize(
    "path", ["/../../etc/passwd", "/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/page.js/../../envoy.yaml"]
)
def test_b08_no_file_outside_the_folder_is_served(edge: Gateway, path: str) -> None:
    line = first_line(edge, f"GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
    assert line.split()[1] in {b"400", b"404"}


ASK = b"GET /v1/markets HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST /v1/orders HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/orders HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nabcd",
        b"POST /v1/orders HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/orders HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/orders HTTP/1.1\r\nhost: a\r\ncontent-length: 4, 5\r\n\r\nabcd",
        b"POST /v1/orders HTTP/1.1\r\nhost: a\r\ncontent-length: +4\r\n\r\nabcd",
        b"POST /v1/orders HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n",
        b"POST /v1/orders HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n\r\n",
        ASK + b"x-name : value\r\n\r\n",
        ASK + b"x-name: a\x00b\r\n\r\n",
        ASK + b"x_name: value\r\n\r\n",
        b"GET /v1/markets HTTP/1.1\r\nconnection: close\r\n\r\n",
        b"GET /v1/markets HTTP/9.9\r\nhost: a\r\n\r\n",
        b"GET /v1/mar kets HTTP/1.1\r\nhost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_b09_ambiguous_requests_are_refused(edge: Gateway, request_bytes: bytes) -> None:
    answer = raw(edge, request_bytes)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 ", b"HTTP/1.1 505 ", b"HTTP/1.1 426 ")), answer[:200]
    assert answer.count(b"HTTP/1.1 ") == 1


def test_b09_s19_slow_headers_are_cut(edge: Gateway) -> None:
    begun = time.monotonic()
    answer = raw(edge, b"GET /v1/markets HTTP/1.1\r\nhost: a\r\nx-slow: " + b"a" * 100, pieces_every_s=0.1)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - begun < 14


def test_b09_s19_a_slow_body_is_cut(edge: Gateway) -> None:
    begun = time.monotonic()
    head = b"POST /v1/auth/login HTTP/1.1\r\nhost: a\r\ncontent-length: 200\r\n\r\n"
    answer = raw(edge, head + b'{"email": "' + b"a" * 100, pieces_every_s=0.05)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - begun < 14


def test_the_gateway_is_well_after_a_hundred_connections_that_talked_nonsense(
    edge: Gateway, client: httpx.Client
) -> None:
    for number in range(100):
        with socket.create_connection(("127.0.0.1", edge.ports.gateway), timeout=5) as connection:
            connection.sendall(bytes([number]) * 50 + b"\r\n\r\n")
    assert client.get("/v1/markets").status_code == 200


def test_the_configuration_is_valid_with_and_without_pages_of_others(tmp_path: Path) -> None:
    def nobody_else(tree: Any) -> None:
        manager = tree["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
        policy = manager["route_config"]["virtual_hosts"][0]["typed_per_filter_config"]["envoy.filters.http.cors"]
        policy["allow_origin_string_match"] = []

    for change in (None, nobody_else):
        path = render(Ports.free(), tmp_path, change)
        command = envoy("--mode", "validate", "-c", str(path), "-l", "error")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def lonely(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with nobody behind it."""
    with gateway(Ports.free(), tmp_path_factory.mktemp("lonely"), behind=False) as running:
        yield running


def test_what_is_away_is_unavailable_and_no_more_is_said(lonely: Gateway) -> None:
    answer = httpx.get(f"{lonely.url}/v1/markets")
    assert (answer.status_code, answer.json()["code"]) == (503, 14)
    assert answer.json()["details"][0]["reason"] == "UNAVAILABLE"
    assert not [word for word in INTERNALS if word in answer.text]
    with grpc.insecure_channel(lonely.target) as channel, pytest.raises(grpc.RpcError) as refused:
        order_service_pb2_grpc.OrderServiceStub(channel).PlaceOrder(ORDER, timeout=5, metadata=(("x-api-key", "a.b"),))
    error: Any = refused.value
    assert error.code() == grpc.StatusCode.UNAVAILABLE
    assert not [word for word in INTERNALS if word in error.details()]
    assert b"UNAVAILABLE" in dict(error.trailing_metadata() or ())["grpc-status-details-bin"]


def test_the_gateway_says_that_it_is_not_well(lonely: Gateway) -> None:
    assert httpx.get(f"{lonely.url}/healthz").status_code == 503
    # The page is still there to say so.
    assert httpx.get(f"{lonely.url}/").status_code == 200


def test_an_address_that_floods_is_told_to_wait(tmp_path: Path) -> None:
    def few(tree: Any) -> None:
        bucket = {"max_tokens": 5, "tokens_per_fill": 5, "fill_interval": "60s"}
        limit = http_filters(tree)["local_ratelimit"]
        limit["descriptors"][0]["token_bucket"] = bucket

    with gateway(Ports.free(), tmp_path, change=few, behind=False) as running:
        answers = [httpx.get(f"{running.url}/v1/markets") for _ in range(8)]
        assert answers[-1].status_code == 429
        assert int(answers[-1].headers["retry-after"]) > 0
        body = answers[-1].json()
        assert (body["code"], body["details"][0]["reason"]) == (8, "RATE_LIMITED")
        assert body["details"][1]["@type"].endswith("RetryInfo")
        with grpc.insecure_channel(running.target) as channel, pytest.raises(grpc.RpcError) as refused:
            order_service_pb2_grpc.OrderServiceStub(channel).PlaceOrder(ORDER, timeout=5)
        error: Any = refused.value
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert b"RATE_LIMITED" in dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
