"""JSON bodies at the gateway: what two readers could read differently goes no further."""

import json

import httpx
import pytest

from tests.e2e.gateway import Gateway
from tests.e2e.test_gateway_rest import ORDER

BODY = json.dumps(ORDER)
ITEMS = {"accountId": "demo-1", "orders": [ORDER, ORDER]}
DEPTH_MAX = 32
MEMBERS_MAX = 8192
KEY_MAX = 512


def with_more(more: str) -> str:
    return f"{BODY[:-1]}, {more}}}"


def nested(depth: int) -> str:
    """An object whose innermost value is `depth` deep."""
    return f'{{"unknown": {"[" * (depth - 1)}{"]" * (depth - 1)}}}'


TWICE = {
    "equal": with_more('"quantity": "9"'),
    "of equal value": with_more('"quantity": "0.1"'),
    "null the second time": with_more('"quantity": null'),
    "the first letter escaped": with_more(r'"\u0071uantity": "9"'),
    "every letter escaped": with_more('"' + "".join(f"\\u{ord(letter):04X}" for letter in "quantity") + '": "9"'),
    "the name in the contract": with_more('"account_id": "demo-2"'),
    "the name in the contract, escaped": with_more(r'"account\u005fid": "demo-2"'),
    "both names": '{"client_order_id": "a", "clientOrderId": "b"}',
    "with room around it": with_more('\n\t"quantity"\r : "9"'),
    "after a value full of quotes": with_more(r'"clientOrderId": "\"},{\"\\", "quantity": "9"'),
    "inside an item of a list": json.dumps(ITEMS).replace('"0.1"', '"0.1", "quantity": "9"', 1),
    "inside an object that nobody knows": with_more('"unknown": {"a": [{"b": 1, "b": 2}]}'),
    "one nobody knows": with_more('"unknown": 1, "unknown": 2'),
    "one that is no name": with_more(r'"\u00e9\n": 1, "é\n": 2'),
}
GOOD = {
    "as it is": BODY,
    "with room around it": f"\r\n\t {json.dumps(ORDER, indent=4)} \n",
    "the names of the contract": BODY.replace("accountId", "account_id").replace("timeInForce", "time_in_force"),
    "escaped": BODY.replace('"quantity"', r'"\u0071uantity"'),
    "a value that looks like a field": with_more(r'"unknown": "\", \"quantity\":"'),
    "the same name in another object": with_more('"unknown": {"quantity": 1, "accountId": [{"quantity": 1}]}'),
    "every kind of value": with_more('"unknown": [0, -0.5e-7, 1E+2, 12, true, false, null, "", {}, [], [[]]]'),
    "as deep as may be": BODY[:-1] + ", " + nested(DEPTH_MAX)[1:],
    "large": with_more(f'"unknown": "{"x" * 250_000}"'),
}
# What the transcoder alone would have read as an order.
NOT_STRICT = {
    "a name without quotes": with_more("unknown: 1"),
    "single quotes": with_more("'unknown': 1"),
    "a comma too many": BODY[:-1] + ",}",
    "a comma too many in a list": with_more('"unknown": [1,]'),
    "no comma": BODY[:-1] + ' "unknown": 1}',
    "a leading zero": with_more('"unknown": 01'),
    "a leading plus": with_more('"unknown": +1'),
    "a number in hexadecimal": with_more('"unknown": 0x10'),
    "a bare fraction": with_more('"unknown": .5'),
    "a fraction of nothing": with_more('"unknown": 1.'),
    "an escape that is none": with_more(r'"unknown": "\x41"'),
    "half an escape": with_more(r'"unknown": "\u12"'),
    "a line break in a text": with_more('"unknown": "a\nb"'),
    "a word that is none": with_more('"unknown": trUe'),
    "another space": with_more('"unknown":\u00a01'),
    "a comment": with_more('/**/ "unknown": 1'),
    "two bodies": BODY + BODY,
}


def place(client: httpx.Client, bearer: dict[str, str], body: str) -> httpx.Response:
    return client.post("/v1/orders", headers=bearer, content=body.encode())


def refusal(answer: httpx.Response) -> tuple[int, int, str, str]:
    body = answer.json()
    assert set(body) == {"code", "message", "details"}
    return answer.status_code, body["code"], body["details"][0]["reason"], body["message"]


@pytest.mark.parametrize("body", TWICE.values(), ids=TWICE)
def test_a_field_that_is_given_twice_is_refused(client: httpx.Client, bearer: dict[str, str], body: str) -> None:
    status, code, reason, message = refusal(place(client, bearer, body))
    assert (status, code, reason) == (400, 3, "MALFORMED_MESSAGE")
    assert message.endswith("given twice")


def test_the_refusal_names_a_field_and_repeats_nothing_else(client: httpx.Client, bearer: dict[str, str]) -> None:
    named = place(client, bearer, with_more('"account_id": "x"')).json()["message"]
    assert named == "the field accountId is given twice"
    for name in ('<b>"'.replace('"', r"\""), "x" * 65, r"a\r\nb"):
        assert place(client, bearer, f'{{"{name}": 1, "{name}": 2}}').json()["message"] == "a field is given twice"


@pytest.mark.parametrize("body", GOOD.values(), ids=GOOD)
def test_what_every_reader_reads_alike_passes(client: httpx.Client, bearer: dict[str, str], body: str) -> None:
    answer = place(client, bearer, body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["order"]["orderId"] == "1-7"


@pytest.mark.parametrize("body", NOT_STRICT.values(), ids=NOT_STRICT)
def test_what_is_nearly_json_is_refused(client: httpx.Client, bearer: dict[str, str], body: str) -> None:
    expected = (400, 3, "MALFORMED_MESSAGE", "the body is not JSON")
    assert refusal(place(client, bearer, body)) == expected


def test_depth_number_and_names_of_fields_are_bounded(client: httpx.Client, bearer: dict[str, str]) -> None:
    deeper = place(client, bearer, nested(DEPTH_MAX + 1))
    assert refusal(deeper) == (400, 3, "MALFORMED_MESSAGE", "the body is nested too deeply")
    for many in ("[" + "1," * MEMBERS_MAX + "1]", json.dumps({f"f{n}": n for n in range(MEMBERS_MAX + 1)})):
        answer = place(client, bearer, f'{{"unknown": {many}}}')
        assert refusal(answer) == (400, 3, "MALFORMED_MESSAGE", "the body has too many fields")
    assert place(client, bearer, with_more(f'"{"x" * (KEY_MAX - 1)}": 1')).status_code == 200
    longer = place(client, bearer, with_more(f'"{"x" * KEY_MAX}": 1'))
    assert refusal(longer) == (400, 3, "MALFORMED_MESSAGE", "the name of a field is too long")


def test_a_body_in_pieces_is_read_as_one(client: httpx.Client, bearer: dict[str, str]) -> None:
    pieces = [piece.encode() for piece in with_more('"quantity": "9"')]
    answer = client.post("/v1/orders", headers=bearer, content=iter(pieces))
    assert answer.json()["message"] == "the field quantity is given twice"


def test_other_calls_are_checked_as_well(client: httpx.Client, bearer: dict[str, str], edge: Gateway) -> None:
    for path in ("/v1/orders:cancelAll", "/v1/orders:batch", "/v1/marketdata:updateSubscriptions", "/v1/nothing"):
        answer = client.post(path, headers=bearer, content='{"accountId": "a", "accountId": "b"}')
        assert answer.json()["message"] == "the field accountId is given twice", path
    assert edge.healthy()
