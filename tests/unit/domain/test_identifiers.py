"""Ids and positions: what we write is what we read, and nothing else is."""

import pytest

from servers.domain.errors import PositionInvalid
from servers.domain.identifiers import (
    Position,
    account_environment,
    find_order,
    order_id,
    position_text,
    positions,
    trade_id,
)
from servers.domain.terms import Environment


@pytest.mark.parametrize(
    ("partition", "number"), [(1, 1), (2, 123_456_789), (9_999, 10**17 - 1), (3, 10**17 + 7), (3, 2 * 10**17 + 7)]
)
def test_an_order_id_is_read_as_it_was_written(partition: int, number: int) -> None:
    assert find_order(order_id(partition, number)) == (partition, number)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1-",
        "-1",
        "0-1",
        "1-0",
        "01-1",
        "1-01",
        "1-1 ",
        " 1-1",
        "1-1\n",
        "1--1",
        "1-t1",
        "a-b",
        "10000-1",
        "1-" + "9" * 19,
        "\u0661-\u0661",
        "1-1-1",
        "1.1",
        "1_0-1",
        "+1-1",
    ],
    ids=ascii,
)
def test_other_text_is_no_order_id(text: str) -> None:
    assert find_order(text) is None


def test_a_trade_is_not_taken_for_an_order() -> None:
    assert (trade_id(2, 7), find_order(trade_id(2, 7))) == ("2-t7", None)


def test_positions_are_read_as_they_were_written() -> None:
    text = "~".join((position_text(1, 3, 0), position_text(2, 1, 77)))
    assert text == "1.3.0~2.1.77"
    assert positions(text) == [Position(1, 3, 0), Position(2, 1, 77)]
    assert positions("") == []


@pytest.mark.parametrize(
    "text", ["1", "1.2", "1.2.3.4", "1.2.3~", "~1.2.3", "0.1.1", "1.2.-3", "1.2.3 ", "a.b.c", "1.2." + "9" * 19]
)
def test_a_position_that_was_not_given_is_refused(text: str) -> None:
    with pytest.raises(PositionInvalid) as refused:
        positions(text, "after_position")
    assert (refused.value.code, refused.value.reason) == ("INVALID_ARGUMENT", "POSITION_INVALID")
    assert [violation.field for violation in refused.value.violations] == ["after_position"]


@pytest.mark.parametrize(
    ("account_id", "environment"),
    [
        ("live-0190", Environment.LIVE),
        ("demo-0190", Environment.DEMO),
        ("venue:fees", Environment.UNSPECIFIED),
        ("", Environment.UNSPECIFIED),
        ("LIVE-1", Environment.UNSPECIFIED),
        ("demonstration-1", Environment.UNSPECIFIED),
    ],
)
def test_an_account_id_tells_its_environment(account_id: str, environment: Environment) -> None:
    assert account_environment(account_id) == environment
