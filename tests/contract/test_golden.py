"""Requests written down once go on being understood: one JSON file an RPC, as a REST client would send it."""

import json
from pathlib import Path

import pytest
from google.protobuf import json_format, message_factory

from servers.transport import validation
from tests.contract.descriptors import methods

GOLDEN = Path(__file__).resolve().parent / "golden"


def test_every_method_has_a_golden_request() -> None:
    assert sorted(path.stem for path in GOLDEN.glob("*.json")) == sorted(
        name.removeprefix("venue.") for name in methods()
    )


@pytest.mark.parametrize("name", sorted(methods()), ids=lambda name: name.removeprefix("venue."))
def test_a_golden_request_is_read_whole_and_valid(name: str) -> None:
    written = json.loads((GOLDEN / f"{name.removeprefix('venue.')}.json").read_text())
    message = message_factory.GetMessageClass(methods()[name].input_type)()
    json_format.ParseDict(written, message)
    validation.check(message)
    assert json_format.MessageToDict(message) == written
    assert validation.parse(type(message), message.SerializeToString()) == message
