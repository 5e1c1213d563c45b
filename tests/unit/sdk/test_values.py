"""Numbers of the SDK: what is written, read and refused."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venue.order.v1 import order_pb2
from venue.type.v1 import type_pb2
from venue_sdk.values import DECIMAL, Order, read, text, value


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (Decimal("1.500"), "1.5"),
        (Decimal("1E+3"), "1000"),
        (Decimal("1E-18"), "0.000000000000000001"),
        (Decimal("-0.00"), "0"),
        (Decimal("0.1000000000000000000000"), "0.1"),
        (7, "7"),
        ("007.10", "7.1"),
        ("-3", "-3"),
    ],
)
def test_numbers_are_written_plainly(number: Decimal | int | str, written: str) -> None:
    assert text(number) == written


@pytest.mark.parametrize(
    "number", ["1e4", "+1", "", ".5", "5.", "1" * 19, Decimal("1E-19"), Decimal("NaN"), Decimal("Infinity")]
)
def test_what_the_contract_cannot_hold_is_refused(number: Decimal | str) -> None:
    with pytest.raises(ValueError, match="no decimal"):
        text(number)


@pytest.mark.parametrize("number", [0.1, True, None])
def test_a_float_is_no_number(number: object) -> None:
    with pytest.raises(TypeError, match="not exact"):
        text(number)  # type: ignore[arg-type]


@given(st.decimals(min_value=-(10**18) + 1, max_value=10**18 - 1, places=18))
def test_what_is_written_reads_as_the_same_number(number: Decimal) -> None:
    written = text(number)
    assert DECIMAL.fullmatch(written)
    assert value(written) == number


def test_a_message_is_read_as_a_value() -> None:
    message = order_pb2.Order(
        order_id="1-7",
        symbol="ETH-USD",
        side=type_pb2.SIDE_BUY,
        type=order_pb2.ORDER_TYPE_STOP_LIMIT,
        status=order_pb2.ORDER_STATUS_PARTIALLY_FILLED,
        quantity="1.5",
        price="3000",
        filled_quantity="0.5",
        remaining_quantity="1",
        fee="0",
        sequence=7,
    )
    message.create_time.FromDatetime(datetime(2026, 1, 2, tzinfo=UTC))
    order = read(Order, message)
    assert (order.side, order.type, order.status, order.reject_reason) == ("BUY", "STOP_LIMIT", "PARTIALLY_FILLED", "")
    assert (order.quantity, order.price, order.stop_price, order.average_price) == (
        Decimal("1.5"),
        Decimal(3000),
        None,
        None,
    )
    assert (order.create_time, order.is_open, order.message) == (datetime(2026, 1, 2, tzinfo=UTC), True, message)


def test_an_enum_value_of_a_later_contract_is_its_number() -> None:
    assert read(Order, order_pb2.Order(status=999, quantity="1")).status == "999"  # type: ignore[arg-type]
