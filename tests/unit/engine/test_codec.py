"""A placement as the machine gets it is what its message says, by whichever way it was read."""

from itertools import combinations
from typing import Any

import pytest

from servers.domain.commands import PlaceOrder
from servers.domain.money import parse
from servers.engine.codec import decode
from venue.engine.v1 import engine_pb2 as pb
from venue.order.v1 import order_service_pb2

PLAIN = ("account_id", "symbol", "price", "quantity", "side", "type", "time_in_force")
TEXTS = ("account_id", "symbol", "client_order_id", "request_id", "tag")
DECIMALS = ("price", "quantity", "quote_amount", "display_quantity", "stop_price", "trailing_amount")
NUMBERS = ("side", "type", "time_in_force", "self_trade_prevention", "trigger_source")
FLAGS = ("post_only", "reduce_only")
NAMES = (*TEXTS, *DECIMALS, *NUMBERS, *FLAGS)


def placed(body: order_service_pb2.PlaceOrderRequest) -> PlaceOrder:
    command = decode(pb.Command(sequence=7, time_us=8, user_id="someone", place_order=body))
    assert isinstance(command, PlaceOrder)
    assert (command.sequence, command.time, command.user_id) == (7, 8, "someone")
    return command


def check(body: order_service_pb2.PlaceOrderRequest) -> None:
    command = placed(body)
    said = {name: getattr(body, name) for name in NAMES} | {"request_id": body.request_id.lower()}
    said |= {name: parse(getattr(body, name) or "0") for name in DECIMALS}
    assert {name: getattr(command, name) for name in NAMES} == said


def body_with(given: set[str], text: str = "x", number: int = 1) -> order_service_pb2.PlaceOrderRequest:
    values: dict[str, Any] = {
        **dict.fromkeys(TEXTS, text),
        **dict.fromkeys(DECIMALS, "12"),
        **dict.fromkeys(NUMBERS, number),
        **dict.fromkeys(FLAGS, True),
    }
    return order_service_pb2.PlaceOrderRequest(**{name: values[name] for name in given})


def test_a_placement_is_read_field_by_field() -> None:
    """Up to three fields more or fewer than those of a plain order: some take just the bytes that others leave."""
    for count in range(4):
        for changed in combinations(NAMES, count):
            check(body_with(set(PLAIN) ^ set(changed)))


@pytest.mark.parametrize("text", ["ä", "x" * 127, "x" * 128, "x" * 300])
@pytest.mark.parametrize("number", [1, 127, 128, -1])
def test_nor_do_lengths_hide_a_field(text: str, number: int) -> None:
    for changed in ((), *((name,) for name in NAMES)):
        check(body_with(set(PLAIN) ^ set(changed), text, number))


def test_nor_does_what_this_program_does_not_know() -> None:
    body = body_with(set(PLAIN) ^ {"price", "reduce_only"})
    body.MergeFromString(b"\xf8\x3f\x01")
    check(body)
