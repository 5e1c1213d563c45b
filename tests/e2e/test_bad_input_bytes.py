"""Bytes that are no message: bodies that are not JSON, and what gRPC's framing lets through that is not protobuf."""

import json

import pytest

from tests.contract.descriptors import methods
from tests.e2e.mutations import public, request_of, unserved
from tests.e2e.probe import GrpcProbe, RestProbe, Said, Victim
from tests.e2e.rest import form, rules
from tests.e2e.strong import TokenFor

DEEP = 20_000
MALFORMED = ("INVALID_ARGUMENT", "MALFORMED_MESSAGE")
TOO_LARGE = ("RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE")
# Field 1 with the wire type of a start group, ten thousand deep.
GROUPS = b"\x0b" * 10_000
NOT_PROTOBUF = {
    "a length that runs past the end": b"\x0a\xff",
    "a varint without an end": b"\x08" + b"\x80" * 9,
    "a varint of eleven bytes": b"\x08" + b"\xff" * 10 + b"\x01",
    "wire types that do not exist": b"\x0f\x0e",
    "groups ten thousand deep": GROUPS,
    "a group without a beginning": b"\x0c",
    "text": b"hello, venue",
    "JSON": b'{"accountId": "a"}',
    "a length of four gigabytes": b"\x0a\xff\xff\xff\xff\x0f",
}
# Nothing but these: the rest of a body is judged by its fields.
NOT_JSON = {
    "nothing closed": b'{"accountId": "a"',
    "something after it": b"%s {}",
    "a word after it": b"%s nonsense",
    "a list": b"[%s]",
    "a number": b"7",
    "a word": b"nonsense",
    "twenty thousand lists": b"[" * DEEP,
    "twenty thousand objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "deep in a field of its own": b'{"unknown": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "bytes that are not UTF-8": b'{"\xff\xfe": 1}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a comment": b"/* %s */ {",
    "NaN": b'{"pageSize": NaN}',
    "a bare NUL": b"\x00",
}
BODIES = [method for method in public() if any(rule.body for rule in rules(methods()[f"venue.{method}"]))]
# The others' requests would be good ones, as nothing in them is required.
WITH_TEXT = [
    method
    for method in public()
    if any(field.type == field.TYPE_STRING for field in methods()[f"venue.{method}"].input_type.fields)
]

# Of these, an empty request is a good one.
DEMANDING_NOTHING = (
    "ListAccounts",
    "ListMarkets",
    "ListApiKeys",
    "ListSessions",
    "ListTransactions",
    "ListBeneficiaries",
    "ListDeposits",
    "ListEndpoints",
    "ListWithdrawals",
    "ListMarketStatistics",
    "DataService.Session",
)


def told(said: Said) -> tuple[str, str]:
    return said.code, said.reason


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("method", BODIES)
def test_s20_a_body_that_is_not_json_is_refused(method: str, over_rest: RestProbe, victim: Victim) -> None:
    request = request_of(method, victim.person.account_id, victim.order_id)
    verb, path, _, body = form(methods()[f"venue.{method}"], request)
    good = json.dumps(body).encode()
    answers = {
        name: told(over_rest.send(verb, path, victim.person.token, text.replace(b"%s", good)))
        for name, text in NOT_JSON.items()
    }
    assert answers == dict.fromkeys(NOT_JSON, MALFORMED)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("method", BODIES)
def test_a_body_that_is_too_large_is_refused(method: str, over_rest: RestProbe, victim: Victim) -> None:
    verb, path, _, _ = form(methods()[f"venue.{method}"], request_of(method, victim.person.account_id, victim.order_id))
    body = json.dumps({"unknown": "a" * 300_000})
    assert told(over_rest.send(verb, path, victim.person.token, body)) == TOO_LARGE


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("method", public())
def test_s20_bytes_that_are_no_message_are_refused(method: str, over_grpc: GrpcProbe, token_for: TokenFor) -> None:
    token = token_for(method)
    answers = {name: told(over_grpc.send(method, raw, token)) for name, raw in NOT_PROTOBUF.items()}
    right = ("UNIMPLEMENTED", "NOT_IMPLEMENTED") if method in unserved() else MALFORMED
    assert answers == dict.fromkeys(NOT_PROTOBUF, right)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("method", public())
def test_a_message_that_is_too_large_is_refused(method: str, over_grpc: GrpcProbe, token_for: TokenFor) -> None:
    # Field 999 is nobody's, so its size is all that can be wrong.
    large = b"\xba\x3e" + varint(300_000) + b"a" * 300_000
    right = ("UNIMPLEMENTED", "NOT_IMPLEMENTED") if method in unserved() else TOO_LARGE
    assert told(over_grpc.send(method, large, token_for(method))) == right


def varint(number: int) -> bytes:
    written = b""
    while number > 127:
        written += bytes([number & 127 | 128])
        number >>= 7
    return written + bytes([number])


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("method", WITH_TEXT)
def test_a_field_of_another_wire_type_does_not_count(method: str, over_grpc: GrpcProbe, token_for: TokenFor) -> None:
    # Protobuf takes it for a field it does not know, so every text is empty and every number zero.
    fields = methods()[f"venue.{method}"].input_type.fields
    raw = b"".join(varint(field.number << 3 | 5) + b"\x01\x02\x03\x04" for field in fields)
    expected = {
        "UNIMPLEMENTED": method in unserved(),
        "OK": method.endswith(DEMANDING_NOTHING),
    }
    right = next((code for code, is_right in expected.items() if is_right), "INVALID_ARGUMENT")
    assert over_grpc.send(method, raw, token_for(method)).code == right


ORDER = "order.v1.OrderService.PlaceOrder"


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    "text",
    [b"\xff\xfe", b"\xc0\xaf", b"\xed\xa0\x80", b"a\x00b", b"\\ud800", b"\\udc00\\ud800", b"\\u0000"],
    ids=[
        "not UTF-8",
        "overlong",
        "surrogate",
        "NUL",
        "lone surrogate",
        "swapped surrogates",
        "escaped NUL",
    ],
)
def test_text_that_is_none_is_refused(text: bytes, over_rest: RestProbe, victim: Victim) -> None:
    request = request_of(ORDER, victim.person.account_id, victim.order_id)
    for name in ("accountId", "symbol", "quantity", "clientOrderId", "requestId"):
        body = json.dumps(request | {name: "@"}).encode().replace(b'"@"', b'"' + text + b'"')
        said = over_rest.send("POST", "/v1/orders", victim.person.token, body)
        # An id may hold any text that is text: there is no such account.
        right = {"INVALID_ARGUMENT", "NOT_FOUND"} if name == "accountId" else {"INVALID_ARGUMENT"}
        assert said.code in right, (name, said)


@pytest.mark.usefixtures("untouched")
def test_text_that_is_none_is_refused_over_grpc(over_grpc: GrpcProbe, token_for: TokenFor) -> None:
    for method in public():
        fields = methods()[f"venue.{method}"].input_type.fields
        for field in fields:
            if field.type == field.TYPE_STRING and not field.is_repeated and method not in unserved():
                raw = varint(field.number << 3 | 2) + b"\x02\xff\xfe"
                assert told(over_grpc.send(method, raw, token_for(method))) == MALFORMED, (method, field.name)


@pytest.mark.usefixtures("untouched")
def test_a_byte_order_mark_and_a_field_twice(over_rest: RestProbe, victim: Victim) -> None:
    request = request_of(ORDER, victim.person.account_id, victim.order_id)
    body = json.dumps(request)
    marked = over_rest.send("POST", "/v1/orders", victim.person.token, "\ufeff" + body)
    assert told(marked) == MALFORMED
    for name, value in request.items():
        once = json.dumps({name: value})[1:-1]
        # Of equal value, and escaped: still twice.
        for again in (once, once.replace(name[0], f"\\u{ord(name[0]):04x}", 1)):
            twice = over_rest.send("POST", "/v1/orders", victim.person.token, f"{body[:-1]}, {again}}}")
            assert told(twice) == MALFORMED, again
            assert f"the field {name} is given twice" in twice.text
