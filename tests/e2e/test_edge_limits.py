"""The limits at the edge (line S19 of the security checklist), and the addresses that are counted (AUT-8).

Sizes and times that need no HTTP/2 of the test's own stand in test_gateway_rest.py and test_gateway_paths.py under the same name.
"""

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import h2.events
import h2.exceptions
import h2.settings
import httpx
import pytest
import yaml
from google.rpc import error_details_pb2, status_pb2

from servers.transport.guard import BYTES_MAX
from servers.transport.server import HEADER_BYTES_MAX
from tests.e2e.frames import Frames
from tests.e2e.gateway import Gateway, Ports, connection, gateway, http_filters, render
from tests.e2e.test_gateway_grpc import ORDER
from tests.e2e.test_gateway_paths import first_line
from venue.marketdata.v1 import marketdata_pb2, marketdata_pb2_grpc
from venue.order.v1 import order_service_pb2_grpc

STREAMS_MAX = 100
# More than sockets hold: a gateway that a busy machine does not let run has not read the first of them yet.
RESETS_MAX = 50_000
COUNTED = "/v1/markets"
# The address whose bucket fills by a call a second.
QUICK = "198.51.100.4"


def stat(edge: Gateway, name: str) -> int:
    lines = httpx.get(f"http://127.0.0.1:{edge.ports.admin}/stats", params={"filter": name}).text.splitlines()
    return sum(int(line.rpartition(":")[2]) for line in lines if line.rpartition(":")[2].strip().isdigit())


@contextmanager
def frames_to(port: int) -> Iterator[Frames]:
    made = Frames(port)
    try:
        yield made
    finally:
        made.close()


def test_s19_more_than_64_headers_are_refused(edge: Gateway) -> None:
    for count, status in ((50, b"200"), (70, b"431")):
        lines = "".join(f"x-h{number}: a\r\n" for number in range(count))
        asked = f"GET /v1/markets HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{lines}\r\n".encode()
        assert first_line(edge, asked).split()[1] == status


def test_s19_what_the_edge_lets_in_the_servers_can_take(tmp_path: Path) -> None:
    tree = yaml.safe_load(render(Ports.free(), tmp_path).read_text())
    assert http_filters(tree)["body_size_limit"]["max_request_bytes"] >= BYTES_MAX
    assert http_filters(tree)["grpc_json_transcoder"]["max_request_body_size"] >= BYTES_MAX
    assert connection(tree)["max_request_headers_kb"] * 1024 < HEADER_BYTES_MAX
    assert connection(tree)["request_headers_timeout"] == "5s"
    assert connection(tree)["stream_idle_timeout"] == "300s"
    assert connection(tree)["common_http_protocol_options"]["idle_timeout"] == "3600s"


def test_s19_a_connection_carries_a_hundred_streams(edge: Gateway, client: httpx.Client) -> None:
    with frames_to(edge.ports.gateway) as frames:
        assert frames.settings()[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] == STREAMS_MAX
        # Who does not care what it was told opens a hundred, and loses the connection over the next.
        frames.inner.remote_settings[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] = 1000
        frames.inner.remote_settings.acknowledge()
        path = "/v1/auth/login"  # waits for a body
        for _ in range(STREAMS_MAX):
            frames.ask(path, end=False, method="POST")
        frames.inner.ping(b"still on")
        frames.send()
        frames.until(lambda event: isinstance(event, h2.events.PingAckReceived))
        frames.ask(path, end=False, method="POST")
        while not frames.closed:
            frames.events()
    assert client.get("/v1/markets").status_code == 200


def test_s19_who_only_resets_is_shown_the_door(edge: Gateway, client: httpx.Client) -> None:
    before = stat(edge, "premature_resets")
    with frames_to(edge.ports.gateway) as frames:
        frames.settings()
        sent = 0
        try:
            while not frames.closed and sent < RESETS_MAX:
                frames.reset(frames.ask("/v1/markets"))
                sent += 1
        except h2.exceptions.ProtocolError:
            pass
        while not frames.closed:
            frames.events()
    # Envoy does not wait for all 500: half of them, each short, cannot be outweighed any more.
    assert 250 <= sent < RESETS_MAX
    assert stat(edge, "premature_resets") == before + 1
    assert client.get("/v1/markets").status_code == 200


def test_s19_pings_that_nobody_reads_the_answers_of_end_the_connection(edge: Gateway, client: httpx.Client) -> None:
    before = stat(edge, "outbound_control_flood")
    with frames_to(edge.ports.gateway) as frames:
        frames.settings()
        frames.socket.settimeout(1.0)
        for _ in range(1_000_000):
            frames.inner.ping(b"12345678")
            if len(frames.inner._data_to_send) > 16_000:
                try:
                    frames.send()
                except TimeoutError:
                    break
                if frames.closed:
                    break
    end = time.monotonic() + 30
    while stat(edge, "outbound_control_flood") == before and time.monotonic() < end:
        time.sleep(0.05)
    assert stat(edge, "outbound_control_flood") > before
    assert client.get("/v1/markets").status_code == 200


def test_s19_a_server_ends_a_connection_that_only_pings(edge: Gateway) -> None:
    with frames_to(edge.ports.order) as frames:
        frames.settings()
        said: Any = None
        for _ in range(50):
            frames.inner.ping(b"12345678")
            frames.send()
            gone = [event for event in frames.events() if isinstance(event, h2.events.ConnectionTerminated)]
            if gone:
                (said, *_) = gone
                break
        assert said is not None
        assert said.additional_data == b"too_many_pings"


def test_s19_a_connection_that_nobody_uses_is_closed(edge: Gateway, tmp_path: Path) -> None:
    ports = Ports.free()
    behind = replace(edge.ports, gateway=ports.gateway, admin=ports.admin, administration=ports.administration)

    def hurry(tree: Any) -> None:
        connection(tree)["common_http_protocol_options"]["idle_timeout"] = "0.3s"
        connection(tree)["stream_idle_timeout"] = "0.3s"
        connection(tree)["drain_timeout"] = "0.1s"

    with gateway(behind, tmp_path, change=hurry) as running:
        with frames_to(running.ports.gateway) as frames:
            while not frames.closed:
                frames.events()
        # A request that never ends its body counts as unused too.
        head = b"POST /v1/auth/login HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n{"
        assert first_line(running, head).split()[1] == b"408"


@pytest.fixture(scope="module")
def strict(edge: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """As in production, but for the number: five calls an hour without a credential. One proxy stands before it."""
    ports = Ports.free()
    behind = replace(edge.ports, gateway=ports.gateway, admin=ports.admin, administration=ports.administration)

    def few(tree: Any) -> None:
        bucket = http_filters(tree)["anonymous"]["descriptors"][0]["token_bucket"]
        assert bucket == {"max_tokens": 1_200_000, "tokens_per_fill": 1_200_000, "fill_interval": "60s"}
        # In an hour: none comes back while a test runs.
        bucket |= {"max_tokens": 5, "tokens_per_fill": 5, "fill_interval": "3600s"}
        quick = {"max_tokens": 5, "tokens_per_fill": 60, "fill_interval": "60s"}
        entries = [{"key": "header_match", "value": "anonymous"}, {"key": "remote_address", "value": QUICK}]
        http_filters(tree)["anonymous"]["descriptors"].insert(0, {"entries": entries, "token_bucket": quick})
        connection(tree)["xff_num_trusted_hops"] = 1

    with gateway(behind, tmp_path_factory.mktemp("strict"), change=few) as running:
        yield running


def exhausted(strict: Gateway, address: str) -> httpx.Response:
    """The first refusal of an address; five calls come before it."""
    for number in range(60):
        answer = httpx.get(f"{strict.url}{COUNTED}", headers={"x-forwarded-for": address})
        if answer.status_code != 200:
            assert number >= 5
            return answer
        assert 0 <= int(answer.headers["ratelimit-remaining"]) <= 4
        assert answer.headers["ratelimit-limit"].split(",")[0] == "5"
        assert int(answer.headers["ratelimit-reset"]) >= 0
    raise AssertionError("never refused")


def details(status: status_pb2.Status) -> tuple[str, float, str]:
    """Reason, seconds to wait, and whose quota it was."""
    info, retry, quota = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.RetryInfo(),
        error_details_pb2.QuotaFailure(),
    )
    found = {part.type_url.rpartition(".")[2]: part for part in status.details}
    assert found["ErrorInfo"].Unpack(info)
    assert found["RetryInfo"].Unpack(retry)
    assert found["QuotaFailure"].Unpack(quota)
    return info.reason, retry.retry_delay.ToTimedelta().total_seconds(), quota.violations[0].subject


def test_aut8_an_address_without_a_credential_has_so_many_calls_a_minute(strict: Gateway) -> None:
    refused = exhausted(strict, "198.51.100.1")
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert refused.headers["ratelimit-remaining"] == "0"
    kinds = {part["@type"].rpartition(".")[2]: part for part in refused.json()["details"]}
    assert kinds["ErrorInfo"]["reason"] == "RATE_LIMITED"
    assert kinds["RetryInfo"]["retryDelay"] == "1s"
    assert kinds["QuotaFailure"]["violations"][0]["subject"] == "ADDRESS"
    # gRPC and gRPC-web draw on the same, and are told as much.
    gone = (("x-forwarded-for", "198.51.100.1"),)
    with grpc.insecure_channel(strict.target) as channel:
        stub = marketdata_pb2_grpc.MarketDataServiceStub(channel)
        with pytest.raises(grpc.RpcError) as over_grpc:
            stub.ListMarkets(marketdata_pb2.ListMarketsRequest(), metadata=gone, timeout=5)
    error: Any = over_grpc.value
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    packed = dict(error.trailing_metadata())["grpc-status-details-bin"]
    assert details(status_pb2.Status.FromString(packed)) == ("RATE_LIMITED", 1.0, "ADDRESS")
    web = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1", "x-forwarded-for": "198.51.100.1"}
    path = "/venue.marketdata.v1.MarketDataService/ListMarkets"
    frame = httpx.post(f"{strict.url}{path}", headers=web, content=bytes(5)).content
    lines = dict(line.split(":", 1) for line in frame[5:].decode().split("\r\n")[:-1])
    over_web = base64.b64decode(lines["grpc-status-details-bin"])
    assert details(status_pb2.Status.FromString(over_web)) == ("RATE_LIMITED", 1.0, "ADDRESS")


def test_who_has_a_token_is_not_counted_with_them_and_another_address_by_itself(
    strict: Gateway, bearer: dict[str, str]
) -> None:
    exhausted(strict, "198.51.100.2")
    named = {"x-forwarded-for": "198.51.100.2"}
    for _ in range(10):
        answer = httpx.get(f"{strict.url}/v1/auth/me", headers={**named, **bearer})
        assert answer.status_code == 200
        # What is left to a user is the server's to say.
        assert answer.headers["ratelimit-limit"].split(",")[0] != "5"
    assert httpx.get(f"{strict.url}{COUNTED}", headers={"x-forwarded-for": "198.51.100.3"}).status_code == 200
    # What a caller puts before the proxy's own word is no other address.
    before = {"x-forwarded-for": "192.0.2.1, 198.51.100.2"}
    assert httpx.get(f"{strict.url}{COUNTED}", headers=before).status_code == 429
    # A bad credential opens nothing, not even what is open to everybody.
    junk = {**named, "authorization": "Bearer junk"}
    assert httpx.get(f"{strict.url}{COUNTED}", headers=junk).status_code == 401
    assert httpx.get(f"{strict.url}/v1/auth/me", headers=junk).status_code == 401
    # The page is no call.
    assert all(httpx.get(f"{strict.url}/page.js", headers=named).status_code == 200 for _ in range(10))


def test_the_one_who_waits_as_told_comes_in_again(strict: Gateway) -> None:
    refused = exhausted(strict, QUICK)
    assert 0 < int(refused.headers["retry-after"]) <= 60
    time.sleep(1.1)
    assert httpx.get(f"{strict.url}{COUNTED}", headers={"x-forwarded-for": QUICK}).status_code == 200


def test_an_order_needs_no_more_than_a_token(strict: Gateway, bearer: dict[str, str]) -> None:
    metadata = (("x-forwarded-for", "198.51.100.5"), *bearer.items())
    with grpc.insecure_channel(strict.target) as channel:
        place = order_service_pb2_grpc.OrderServiceStub(channel).PlaceOrder
        assert {place(ORDER, metadata=metadata, timeout=5).order.order_id for _ in range(20)} == {"1-7"}
