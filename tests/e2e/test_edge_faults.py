"""What the gateway does when the way to a server, or a server, is not well. f23, f26, f27 are lines of the fault plan."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from servers.embedded import endpoints
from tests.e2e.conftest import Tokens
from tests.e2e.fault_proxy import Fault, FaultProxy
from tests.e2e.gateway import ROOT, STOP_S, Gateway, Ports, gateway
from tests.e2e.launching import eventually
from tests.e2e.test_edge_limits import stat
from tests.e2e.test_gateway_grpc import ORDER
from tests.e2e.ways import refusal_in
from tests.servers import free_port
from venue.order.v1 import order_service_pb2, order_service_pb2_grpc

UNARY_S = 5.0


def behind(edge: Gateway, **changed: int) -> Ports:
    """Ports of a further gateway before the same servers."""
    fresh = Ports.free()
    return replace(
        edge.ports,
        **{"gateway": fresh.gateway, "admin": fresh.admin, "administration": fresh.administration, **changed},
    )


def place(channel: grpc.Channel, bearer: dict[str, str], timeout_s: float = 10) -> str:
    """OK, or the code's name."""
    try:
        order_service_pb2_grpc.OrderServiceStub(channel).PlaceOrder(
            ORDER, metadata=tuple(bearer.items()), timeout=timeout_s
        )
    except grpc.RpcError as error:
        code: Any = error
        return str(code.code().name)
    return "OK"


@pytest.fixture(scope="module")
def proxied(edge: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, FaultProxy]]:
    """A gateway whose way to the order server leads through the proxy."""
    with ExitStack() as held:
        proxy = FaultProxy(edge.ports.order)
        held.callback(proxy.close)
        folder = tmp_path_factory.mktemp("proxied")
        yield held.enter_context(gateway(behind(edge, order=proxy.port), folder)), proxy


@pytest.fixture
def way(proxied: tuple[Gateway, FaultProxy]) -> Iterator[tuple[Gateway, FaultProxy]]:
    """With a way that is well, before and after; and no call is left over."""
    running, proxy = proxied
    yield running, proxy
    proxy.fault = Fault.NONE
    eventually(running.healthy, "the way is well again")
    eventually(lambda: stat(running, "cluster.order.upstream_rq_active") == 0, "no call is left over")


@pytest.mark.parametrize("fault", [Fault.DELAYED, Fault.BYTEWISE])
def test_f23_a_slow_way_is_only_slow(way: tuple[Gateway, FaultProxy], bearer: dict[str, str], fault: Fault) -> None:
    running, proxy = way
    proxy.fault = fault
    with grpc.insecure_channel(running.target) as channel:
        assert place(channel, bearer) == "OK"


def test_f23_a_way_that_says_nothing_ends_at_the_deadline(
    way: tuple[Gateway, FaultProxy], bearer: dict[str, str]
) -> None:
    running, proxy = way
    with grpc.insecure_channel(running.target) as channel:
        assert place(channel, bearer) == "OK"
        proxy.fault = Fault.SILENT
        begun = time.monotonic()
        # The gateway's clock, unless a health check was the first to notice; long before the caller's own.
        assert place(channel, bearer, 20 * UNARY_S) in {"DEADLINE_EXCEEDED", "UNAVAILABLE"}
        assert time.monotonic() - begun < 10 * UNARY_S
        # Servers that are elsewhere do not notice.
        assert httpx.get(f"{running.url}/v1/markets").status_code == 200
        proxy.fault = Fault.NONE
        eventually(lambda: place(channel, bearer) == "OK", "calls get through again")


def test_f23_a_reset_costs_the_calls_that_were_under_way_and_no_later_one(
    way: tuple[Gateway, FaultProxy], bearer: dict[str, str]
) -> None:
    running, proxy = way
    with grpc.insecure_channel(running.target) as channel, ThreadPoolExecutor(1) as pool:
        fills = order_service_pb2_grpc.OrderServiceStub(channel).ListFills
        asked = order_service_pb2.ListFillsRequest(account_id="demo-1")
        # The small server thinks about it for longer than the gateway waits.
        hanging = pool.submit(lambda: fills(asked, metadata=tuple(bearer.items()), timeout=30))
        eventually(lambda: stat(running, "cluster.order.upstream_rq_active") == 1, "the call is under way")
        proxy.reset_all()
        error: Any = hanging.exception(timeout=20)
        # Not the gateway's deadline, which has a code of its own.
        assert error.code() == grpc.StatusCode.UNAVAILABLE
        eventually(running.healthy, "the server is found again")
        assert place(channel, bearer) == "OK"


def test_f26_verified_tokens_go_on_working_while_the_keys_are_away(
    edge: Gateway, tokens: Tokens, tmp_path: Path
) -> None:
    asked = threading.Event()
    keys = httpx.get(f"{edge.url}/.well-known/jwks.json").content
    listening = free_port()

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.set()
            self.send_response(200)
            self.send_header("content-length", str(len(keys)))
            self.end_headers()
            self.wfile.write(keys)

        def log_message(self, *_: object) -> None:
            pass

    def elsewhere(tree: Any) -> None:
        for cluster in tree["static_resources"]["clusters"]:
            if cluster["name"] == "self":
                (place,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
                place["endpoint"]["address"]["socket_address"]["port_value"] = listening
        for provider in providers(tree):
            provider["remote_jwks"]["cache_duration"] = "1s"

    server = ThreadingHTTPServer(("127.0.0.1", listening), Keys)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with gateway(behind(edge), tmp_path, change=elsewhere) as running:
        me = f"{running.url}/v1/auth/me"
        eventually(lambda: httpx.get(me, headers=tokens.bearer()).status_code == 200, "the keys are known")
        assert asked.is_set()
        server.shutdown()
        server.server_close()
        thread.join(10)
        failed = "jwks_fetch_failed"
        before = stat(running, failed)
        eventually(lambda: stat(running, failed) >= before + 2, "the keys were asked for in vain")
        # The same token, and one that nobody has seen before.
        assert {httpx.get(me, headers=tokens.bearer()).status_code for _ in range(20)} == {200}
        assert httpx.get(me, headers=tokens.bearer(iss="elsewhere")).status_code == 401


def test_f26_without_the_keys_no_token_is_said_to_be_bad(edge: Gateway, tokens: Tokens, tmp_path: Path) -> None:
    """As at a start beside an auth server that is away: who has a good token keeps it, and tries again."""
    nobody = free_port()

    def elsewhere(tree: Any) -> None:
        for cluster in tree["static_resources"]["clusters"]:
            if cluster["name"] == "self":
                (place,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
                place["endpoint"]["address"]["socket_address"]["port_value"] = nobody

    with gateway(behind(edge), tmp_path, change=elsewhere) as running:
        answer = httpx.get(f"{running.url}/v1/auth/me", headers=tokens.bearer())
        assert (answer.status_code, answer.json()["details"][0]["reason"]) == (503, "UNAVAILABLE")
        assert httpx.get(f"{running.url}/v1/auth/me").status_code == 401
        assert httpx.get(f"{running.url}/v1/markets").status_code == 200
        with grpc.insecure_channel(f"127.0.0.1:{running.ports.gateway}") as channel:
            stub = order_service_pb2_grpc.OrderServiceStub(channel)
            with pytest.raises(grpc.RpcError) as refused:
                stub.GetOrder(
                    order_service_pb2.GetOrderRequest(order_id="1-1"),
                    metadata=tuple((name.lower(), value) for name, value in tokens.bearer().items()),
                    timeout=UNARY_S,
                )
        assert refusal_in(refused.value).said == ("UNAVAILABLE", "UNAVAILABLE")
        message = order_service_pb2.GetOrderRequest(order_id="1-1").SerializeToString()
        over_web = httpx.post(
            f"{running.url}/venue.order.v1.OrderService/GetOrder",
            headers=tokens.bearer() | {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"},
            content=b"\0" + len(message).to_bytes(4, "big") + message,
        )
        assert (over_web.status_code, b"grpc-status:14" in over_web.content) == (200, True)


def providers(tree: Any) -> Iterator[Any]:
    for listener in tree["static_resources"]["listeners"]:
        for each in listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]:
            if each["name"].endswith("jwt_authn"):
                yield from each["typed_config"]["providers"].values()


@contextmanager
def beside(edge: Gateway, key: Path, folder: Path, ill: str) -> Iterator[Gateway]:
    """A gateway with two order servers, one of them ill."""
    ports = Ports.free()
    listening = [str(port) for port in (ports.order, ports.api, ports.marketdata)]
    command = [sys.executable, "-m", "tests.e2e.backends", str(key), *listening]
    log = folder / "ill.log"

    with log.open("wb") as output, ExitStack() as held:
        environment = {"PATH": "/usr/bin:/bin", "BACKENDS_ILL": ill}
        other = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
        held.callback(other.wait, STOP_S)
        held.callback(other.terminate)
        running = held.enter_context(gateway(behind(edge), folder))
        endpoints.write(
            folder / "endpoints", "order", [f"127.0.0.1:{port}" for port in (edge.ports.order, ports.order)]
        )
        eventually(lambda: stat(running, "cluster.order.membership_healthy") == 2, "both are well by their own word")
        yield running


def test_f27_a_server_that_only_refuses_is_left_out(
    edge: Gateway, signing_key_file: Path, tmp_path: Path, bearer: dict[str, str]
) -> None:
    with (
        beside(edge, signing_key_file, tmp_path, "refuses") as running,
        grpc.insecure_channel(running.target) as channel,
    ):
        said = [place(channel, bearer) for _ in range(100)]
        left_out = stat(running, "cluster.order.outlier_detection.ejections_enforced_total")
        # Left out after five in a row for two seconds or more, and its health checks do not bring it back.
        assert left_out >= 1
        assert 5 <= said.count("UNAVAILABLE") <= 6 * (left_out + 1), said


def test_f27_a_server_that_hangs_costs_its_callers_the_deadline_and_others_nothing(
    edge: Gateway, signing_key_file: Path, tmp_path: Path, bearer: dict[str, str]
) -> None:
    with beside(edge, signing_key_file, tmp_path, "hangs") as running, ThreadPoolExecutor(12) as pool:
        with grpc.insecure_channel(running.target) as channel:

            def timed(_: int) -> tuple[str, float]:
                begun = time.monotonic()
                return place(channel, bearer, 30), time.monotonic() - begun

            said = list(pool.map(timed, range(12)))
        assert {code for code, _ in said} == {"OK", "DEADLINE_EXCEEDED"}
        good = max(took for code, took in said if code == "OK")
        assert good < min(took for code, took in said if code != "OK")
