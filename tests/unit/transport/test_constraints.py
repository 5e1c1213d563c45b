"""The quick check and protovalidate are of one mind about every request of the contract."""

import copy
import json
from itertools import combinations
from pathlib import Path
from typing import Any

import protovalidate
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.message import Message
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from buf.validate import validate_pb2
from servers.transport.constraints import sure_check
from tests.contract.descriptors import methods

GOLDEN = Path(__file__).resolve().parents[2] / "contract" / "golden"
# Rules that only protovalidate knows.
ASKED_ALWAYS = {
    "venue.account.v1.AccountService.ListTransactions",
    "venue.account.v1.AccountService.StreamStatement",
    "venue.auth.v1.AuthService.CreateApiKey",
    "venue.auth.v1.AuthService.Register",
    "venue.funding.v1.FundingService.SubmitKyc",
    "venue.notify.v1.NotificationService.UpdatePreferences",
    "venue.webhook.v1.WebhookService.Redeliver",
    "venue.webhook.v1.WebhookService.UpdateEndpoint",
}
QUICK = sorted(set(methods()) - ASKED_ALWAYS)
TEXTS = [
    "", "0", "1", "-1", "+1", "0.5", "00.50", "1\n", "1.", ".5", "1e3", "NaN", "١", "x", "BTC-USD", "BTC-USD\n", "btc", "B-",
    "\x00", "\x7f", "ß", "9" * 18, "9" * 19, "0." + "1" * 18, "0." + "1" * 19, "0" * 18 + ".1", "x" * 32, "x" * 33, "x" * 64,
    "x" * 65, "x" * 600, "ä" * 64, "018f5b5e-7c1a-7000-8000-000000000001", "018F5B5E-7C1A-7000-8000-000000000001",
    "018f5b5e-7c1a-7000-8000-00000000000g", "018f5b5e7c1a70008000000000000001", "018f5b5e-7c1a-7000-8000-000000000001\n",
]  # fmt: skip
validator = protovalidate.Validator()


def golden(name: str) -> dict[str, Any]:
    written: dict[str, Any] = json.loads((GOLDEN / f"{name.removeprefix('venue.')}.json").read_text())
    return written


def message_of(name: str, written: dict[str, Any]) -> Message:
    return json_format.ParseDict(written, message_factory.GetMessageClass(methods()[name].input_type)())


def places(written: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where in a JSON tree something can be changed."""
    if isinstance(written, dict):
        return [path, *(place for key, value in written.items() for place in places(value, (*path, key)))]
    if isinstance(written, list):
        return [path, *(place for key, value in enumerate(written) for place in places(value, (*path, key)))]
    return [path]


def changed(draw: st.DrawFn, value: Any) -> Any:
    match value:
        case bool():
            return draw(st.booleans())
        case int():
            return draw(st.sampled_from([-1, 0, 1, 500, 2**31 - 1]))
        case str() if value.isupper() and "_" in value:
            return draw(st.sampled_from([value, 0, 1, 2, 4, 99]))
        case str() if value.endswith(("Z", "s")) and value[0].isdigit():
            return value
        case str():
            return draw(st.sampled_from(TEXTS) | st.text("01.9-\nAB", max_size=40))
        case list():
            return draw(st.sampled_from([[], value[:1], value * 2, value * 60]))
        case _:
            return {key: value[key] for key in value if draw(st.booleans())}


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, Message]:
    """A golden request with up to three of its values changed or gone."""
    name = draw(st.sampled_from(QUICK))
    written = copy.deepcopy(golden(name))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.sampled_from(places(written)))
        inner: Any = written
        for key in place[:-1]:
            inner = inner[key]
        if not place:
            written = changed(draw, written)
        elif isinstance(inner, dict) and draw(st.integers(0, 3)) == 0:
            del inner[place[-1]]
        else:
            inner[place[-1]] = changed(draw, inner[place[-1]])
    try:
        return name, message_of(name, written)
    except json_format.ParseError:
        # Not a message at all, so no question of constraints.
        reject()


@pytest.mark.parametrize("name", QUICK)
def test_a_golden_request_needs_no_second_opinion(name: str) -> None:
    sure = sure_check(methods()[name].input_type)
    assert sure is not None
    assert sure(message_of(name, golden(name))) is True


@pytest.mark.parametrize("name", sorted(ASKED_ALWAYS))
def test_an_unknown_rule_leaves_it_to_protovalidate(name: str) -> None:
    assert sure_check(methods()[name].input_type) is None


@settings(max_examples=600, deadline=None)
@given(requests())
def test_both_agree(request: tuple[str, Message]) -> None:
    name, message = request
    sure = sure_check(methods()[name].input_type)
    assert sure is not None
    assert sure(message) is (validator.collect_violations(message) == [])


PLACE_ORDER = "venue.order.v1.OrderService.PlaceOrder"
PLAIN = {
    "account_id": "018f5b5e-7c1a-7000-8000-000000000001",
    "symbol": "BTC-USD",
    "side": 1,
    "type": 2,
    "time_in_force": 1,
    "quantity": "0.5",
    "price": "100",
}
OTHERS = {
    "stop_price": "99",
    "post_only": True,
    "reduce_only": True,
    "client_order_id": "mine",
    "tag": "desk",
    "request_id": "018f5b5e-7c1a-7000-8000-000000000002",
    "quote_amount": "7",
    "self_trade_prevention": 2,
    "trigger_source": 1,
    "trailing_amount": "3",
    "trailing_percent": "1.5",
    "display_quantity": "0.1",
    "expire_time": {"seconds": 4_000_000_000},
    "take_profit": {"stop_price": "120"},
    "stop_loss": {"stop_price": "80"},
}


@pytest.mark.parametrize("form", [{}, {"type": 1, "time_in_force": 2}, {"type": 3, "price": ""}, {"time_in_force": 4}])
def test_no_field_hides_behind_the_usual_ones(form: dict[str, Any]) -> None:
    """Fields more, fewer and broken: some take just the bytes that others leave."""
    kind = methods()[PLACE_ORDER].input_type
    make, sure = message_factory.GetMessageClass(kind), sure_check(kind)
    assert sure is not None
    odd = {"symbol": "btc", "price": "1.", "quantity": "0", "client_order_id": "\u00e4", "request_id": "x", "side": 9}
    valid = 0
    for count in range(3):
        for names in combinations([*PLAIN, *OTHERS], count):
            plain = {**PLAIN, **form}
            written = {name: value for name, value in plain.items() if name not in names}
            written |= {name: OTHERS[name] for name in names if name in OTHERS}
            for broken in ({}, *({name: odd[name]} for name in names if name in odd)):
                message = make(**{**written, **broken})
                holds = validator.collect_violations(message) == []
                assert sure(message) is holds, (names, broken)
                valid += holds
    assert valid


RULES: list[tuple[str, dict[str, Any]]] = [
    ("a regular expression without its ends", {"string": {"pattern": "a"}}),
    ("an e-mail address", {"string": {"email": True}}),
    ("a rule in CEL", {"cel": [{"id": "x", "message": "x", "expression": "this != ''"}]}),
    ("a rule that is always ignored", {"ignore": "IGNORE_ALWAYS", "string": {"minLen": "1"}}),
]


@pytest.mark.parametrize("rules", [rules for _, rules in RULES], ids=[name for name, _ in RULES])
def test_what_is_not_understood_is_never_guessed(rules: dict[str, Any]) -> None:
    file = descriptor_pb2.FileDescriptorProto(
        name="odd.proto", package="odd", syntax="proto3", dependency=["buf/validate/validate.proto"]
    )
    field = file.message_type.add(name="Odd").field.add(
        name="text", number=1, type="TYPE_STRING", label="LABEL_OPTIONAL"
    )
    json_format.ParseDict(rules, field.options.Extensions[validate_pb2.field])
    pool = descriptor_pool.DescriptorPool()
    seen: set[str] = set()

    def add(name: str) -> None:
        if name not in seen:
            seen.add(name)
            known = descriptor_pool.Default().FindFileByName(name)
            for dependency in known.dependencies:
                add(dependency.name)
            pool.AddSerializedFile(known.serialized_pb)

    add("buf/validate/validate.proto")
    pool.AddSerializedFile(file.SerializeToString())
    assert sure_check(pool.FindMessageTypeByName("odd.Odd")) is None
