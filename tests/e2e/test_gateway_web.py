"""What a browser meets: gRPC-web with the client that pages use, and the page itself."""

import base64
from typing import Any

import httpx
import pytest

from tests.e2e import node_client
from tests.e2e.conftest import Tokens
from tests.e2e.gateway import ORIGIN, Gateway


@pytest.fixture(scope="module")
def seen(edge: Gateway, tokens: Tokens, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the Connect client saw."""
    script = node_client.bundle("grpc_web", tmp_path_factory.mktemp("bundle"))
    return node_client.run(script, {"url": edge.url, "token": tokens.token()})


def test_unary_calls_over_grpc_web(seen: Any) -> None:
    assert (seen["userId"], seen["orderId"], seen["sequence"]) == ("user-1", "1-7", str(2**63 + 1))


def test_a_stream_over_grpc_web_comes_frame_by_frame(seen: Any) -> None:
    assert [(frame["kind"], frame["sequence"]) for frame in seen["frames"]] == [
        ("ready", "0"),
        ("event", "1"),
        ("event", "2"),
        ("event", "3"),
    ]


def test_errors_over_grpc_web_keep_code_and_details(seen: Any) -> None:
    refused = seen["refusals"]
    hanging = refused.pop("hanging")
    # The caller's own clock may ring in the moment in which the server's word is under way.
    assert (hanging["code"], hanging["reason"]) in {("DeadlineExceeded", "TIMED_OUT"), ("DeadlineExceeded", None)}
    assert {name: (each["code"], each["reason"]) for name, each in refused.items()} == {
        "nobody": ("Unauthenticated", "UNAUTHENTICATED"),
        "closed": ("FailedPrecondition", "ORDER_CLOSED"),
        "fault": ("Internal", "INTERNAL"),
        "cut": ("DeadlineExceeded", "TIMED_OUT"),
        "inTheMiddle": ("NotFound", "MARKET_NOT_FOUND"),
    }
    assert refused["closed"]["preconditions"] == 1
    assert refused["nobody"]["message"] == "a valid access token is needed"
    assert refused["fault"]["message"] == "internal error"


def test_a_page_elsewhere_may_read_grpc_web(client: httpx.Client) -> None:
    path = "/venue.marketdata.v1.MarketDataService/ListMarkets"
    asked = {
        "origin": ORIGIN,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,x-grpc-web,x-user-agent,grpc-timeout",
    }
    before = client.options(path, headers=asked)
    assert (before.status_code, before.headers["access-control-allow-origin"]) == (200, ORIGIN)
    allowed = before.headers["access-control-allow-headers"].split(", ")
    assert set(asked["access-control-request-headers"].split(",")) <= set(allowed)


def test_grpc_web_as_text_for_readers_that_cannot_take_bytes(client: httpx.Client) -> None:
    headers = {"content-type": "application/grpc-web-text", "accept": "application/grpc-web-text", "x-grpc-web": "1"}
    path = "/venue.marketdata.v1.MarketDataService/ListMarkets"
    answer = client.post(path, headers=headers, content=base64.b64encode(bytes(5)))
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/grpc-web-text")
    assert answer.content


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/index.html", "text/html; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
    ],
)
def test_the_page_is_served_under_a_strict_policy(client: httpx.Client, path: str, kind: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_the_page_obeys_its_policy(client: httpx.Client) -> None:
    # No style or script within the page, which the policy would not run.
    page = client.get("/").text
    assert "<style" not in page
    assert " style=" not in page
    assert "<script>" not in page
    assert " onclick=" not in page


def test_files_are_read_only(client: httpx.Client) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.request(method, "/index.html").status_code == 405
