"""REST through the gateway: what callers read, above all when something is refused."""

import gzip
import json

import httpx
import pytest

from tests.e2e.gateway import ORIGIN, Gateway

TYPE = "type.googleapis.com/google.rpc."
EXPOSED = {"grpc-status", "grpc-message", "grpc-status-details-bin", "retry-after", "x-request-id"} | {
    f"ratelimit-{name}" for name in ("limit", "remaining", "reset")
}
ORDER = {
    "accountId": "demo-1",
    "symbol": "ETH-USD",
    "side": "SIDE_BUY",
    "type": "ORDER_TYPE_MARKET",
    "timeInForce": "TIME_IN_FORCE_IOC",
    "quantity": "0.1",
}


def test_a_call_is_translated_there_and_back(client: httpx.Client, bearer: dict[str, str]) -> None:
    answer = client.post("/v1/orders", headers=bearer, json=ORDER)
    assert answer.status_code == 200
    body = answer.json()
    assert body["order"]["orderId"] == "1-7"
    assert body["order"]["side"] == "SIDE_BUY"
    assert (body["position"], body["replayed"], body["fills"]) == ("1.1.7", False, [])
    # Beyond what a number of JavaScript holds.
    assert body["order"]["sequence"] == str(2**63 + 1)


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_is_json_whatever_it_is_called(client: httpx.Client, bearer: dict[str, str], kind: str) -> None:
    # curl -d says the last of them.
    answer = client.post("/v1/orders:cancelAll", headers={**bearer, "content-type": kind}, content='{"accountId": "a"}')
    assert answer.json()["details"][0]["reason"] == "OVERLOADED"


def test_a_field_error_names_the_field(client: httpx.Client, bearer: dict[str, str]) -> None:
    answer = client.post("/v1/orders", headers=bearer, json=ORDER | {"quantity": "1e5"})
    assert answer.status_code == 400
    info, bad, *_ = answer.json()["details"]
    assert info == {"@type": TYPE + "ErrorInfo", "reason": "INVALID_FIELD", "domain": "venue", "metadata": {}}
    assert bad["@type"] == TYPE + "BadRequest"
    assert [violation["field"] for violation in bad["fieldViolations"]] == ["quantity"]


def test_every_kind_of_detail_can_be_read(client: httpx.Client, bearer: dict[str, str]) -> None:
    closed = client.delete("/v1/orders/1-7", headers=bearer)
    assert closed.status_code == 400
    assert closed.json()["code"] == 9
    assert [detail["@type"].removeprefix(TYPE) for detail in closed.json()["details"]] == [
        "ErrorInfo",
        "PreconditionFailure",
        "RequestInfo",
    ]
    assert closed.json()["details"][0]["metadata"] == {"order_id": "1-7"}
    shed = client.post("/v1/orders:cancelAll", headers=bearer, json={"accountId": "demo-1"})
    assert shed.status_code == 429
    kinds = {detail["@type"].removeprefix(TYPE): detail for detail in shed.json()["details"]}
    # Not less than what has to be waited, and some chance more.
    assert 2.0 <= float(kinds["RetryInfo"]["retryDelay"].removesuffix("s")) <= 3.0
    assert "QuotaFailure" in kinds


def test_an_order_is_cancelled_by_its_label(client: httpx.Client, bearer: dict[str, str]) -> None:
    named = {"accountId": "demo-1", "clientOrderId": "mine"}
    answer = client.delete("/v1/orders:byClientOrderId", headers=bearer, params=named)
    # The small server behind refuses every cancel: the call has come through, as one without an id.
    assert answer.json()["details"][0]["reason"] == "ORDER_CLOSED"
    assert answer.json()["details"][0]["metadata"] == {"order_id": ""}


def test_s20_a_fault_says_nothing_of_itself(client: httpx.Client, bearer: dict[str, str]) -> None:
    answer = client.get("/v1/orders/1-7", headers=bearer)
    assert answer.status_code == 500
    assert answer.json()["message"] == "internal error"
    assert "secret" not in answer.text
    named = next(detail for detail in answer.json()["details"] if detail["@type"] == TYPE + "RequestInfo")
    assert named["requestId"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, 5),
        ("PUT", "/v1/orders", 404, 5),
        ("GET", "/nothing", 404, 5),
        ("POST", "/nothing", 405, 5),
        ("GET", "/v1/markets?colour=red", 400, 3),
        ("GET", "/v1/markets?environment=ENVIRONMENT_MOON", 400, 3),
        ("GET", "/v1/markets/NO-SUCH", 404, 5),
        ("GET", "/v1/marketdata:subscribe?symbols=NO-SUCH&channels=CHANNEL_BOOK", 404, 5),
    ],
)
def test_refusals_are_json_with_the_code_of_grpc(
    client: httpx.Client, method: str, path: str, status: int, code: int
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) == {"code", "message", "details"}
    assert body["code"] == code
    assert body["message"]
    assert body["details"][0]["@type"] == TYPE + "ErrorInfo"


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff\xfe", b'{"quantity": }', b'{"accountId": "a"} {}', b"[" * 20_000])
def test_s19_what_is_not_json_or_too_deep_is_refused_with_a_reason(
    client: httpx.Client, bearer: dict[str, str], body: bytes
) -> None:
    answer = client.post("/v1/orders", headers=bearer, content=body)
    assert answer.status_code == 400
    assert answer.json()["code"] == 3
    assert answer.json()["details"][0]["reason"] == "MALFORMED_MESSAGE"


@pytest.mark.parametrize("value", ["1e20", "-1", "1.5", '"x"', "true", str(2**31)])
def test_a_number_out_of_range_is_refused(client: httpx.Client, bearer: dict[str, str], value: str) -> None:
    body = f'{{"accountId": "demo-1", "type": {value}, "side": {value}}}'
    assert client.post("/v1/orders", headers=bearer, content=body).status_code == 400


def test_a_method_that_is_not_there_yet_is_unimplemented(client: httpx.Client, bearer: dict[str, str]) -> None:
    answer = client.get("/v1/accounts", headers=bearer)
    assert (answer.status_code, answer.json()["code"]) == (501, 12)
    assert answer.json()["details"][0]["reason"] == "NOT_IMPLEMENTED"


def test_s19_a_large_body_is_refused_at_the_door(client: httpx.Client, bearer: dict[str, str]) -> None:
    too_large = client.post("/v1/orders", headers=bearer, json={"symbol": "A" * 262_144})
    assert (too_large.status_code, too_large.json()["code"]) == (413, 8)
    assert too_large.json()["details"][0]["reason"] == "MESSAGE_TOO_LARGE"
    fits = client.post("/v1/orders", headers=bearer, json={"symbol": "A" * 262_000})
    assert fits.json()["details"][0]["reason"] == "INVALID_FIELD"


def test_s19_a_body_without_a_length_is_bounded_too(client: httpx.Client, bearer: dict[str, str]) -> None:
    pieces = (b'{"symbol": "', *([b"A" * 10_000] * 60), b'"}')
    answer = client.post("/v1/orders", headers=bearer, content=iter(pieces))
    assert answer.status_code == 413


def test_s19_large_headers_are_refused(client: httpx.Client) -> None:
    answer = client.get("/v1/markets", headers={"x-padding": "a" * 40_000})
    assert (answer.status_code, answer.json()["code"]) == (431, 3)
    assert answer.json()["details"][0]["reason"] == "MALFORMED_MESSAGE"


def test_an_allowed_page_may_ask(client: httpx.Client) -> None:
    asked = {
        "origin": ORIGIN,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
    }
    before = client.options("/v1/orders", headers=asked)
    assert before.status_code == 200
    assert before.headers["access-control-allow-origin"] == ORIGIN
    assert "authorization" in before.headers["access-control-allow-headers"]
    assert "PATCH" in before.headers["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in before.headers
    # Errors too, or the page could not read why.
    refused = client.get("/v1/auth/me", headers={"origin": ORIGIN})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == ORIGIN
    assert set(refused.headers["access-control-expose-headers"].split(", ")) == EXPOSED


@pytest.mark.parametrize("origin", ["http://evil.example", "http://localhost:5174", ORIGIN + ".evil.example", "null"])
def test_another_page_may_not(client: httpx.Client, origin: str) -> None:
    before = client.options("/v1/orders", headers={"origin": origin, "access-control-request-method": "POST"})
    after = client.get("/v1/markets", headers={"origin": origin})
    assert after.status_code == 200
    for answer in (before, after):
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_every_answer_is_marked_as_what_it_is(client: httpx.Client, bearer: dict[str, str]) -> None:
    for answer in (client.get("/v1/markets"), client.get("/v1/auth/me"), client.get("/"), client.get("/v1/nothing")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["strict-transport-security"].startswith("max-age=")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-request-id"]
        assert "server" not in answer.headers


def test_the_log_has_the_path_without_what_was_asked(edge: Gateway, client: httpx.Client) -> None:
    spoofed = {"x-envoy-original-path": "/another", "x-envoy-original-method": "PUT"}
    answer = client.get("/v1/markets?pageToken=private", headers=spoofed)
    line = edge.logged(answer.headers["x-request-id"])
    assert (line["method"], line["path"]) == ("GET", "/v1/markets")
    assert line["rpc"] == "/venue.marketdata.v1.MarketDataService/ListMarkets"
    assert "private" not in edge.access_log.read_text()


@pytest.mark.parametrize(
    ("depth", "asked", "told"), [(200, "gzip", "gzip"), (200, "identity", None), (200, "br", None), (2, "gzip", None)]
)
def test_ops7_a_long_answer_is_compressed_for_who_takes_it(
    client: httpx.Client, depth: int, asked: str, told: str | None
) -> None:
    path = "/v1/markets/ETH-USD/book"
    with client.stream("GET", path, params={"depth": depth}, headers={"accept-encoding": asked}) as answer:
        raw = b"".join(answer.iter_raw())
    assert (answer.status_code, answer.headers.get("content-encoding")) == (200, told)
    text = gzip.decompress(raw) if told else raw
    assert len(json.loads(text)["asks"]) == depth
    # What a cache on the way must know: another caller may not be able to read it.
    assert ("accept-encoding" in answer.headers.get("vary", "").lower()) == (depth == 200)
    assert len(raw) < len(text) / 3 if told else raw == text
