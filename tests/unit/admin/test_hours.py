"""Trading hours as a person writes them."""

import pytest

from servers.admin.hours import BadHoursError, hours_text, parse_hours


def test_hours_of_several_days_are_those_of_each() -> None:
    parsed = parse_hours(["mon-wed=09:00-17:30+600", "sat=00:00-24:00"])
    assert [(h.weekday, h.open_second, h.close_second, h.auction_seconds) for h in parsed] == [
        (1, 32_400, 63_000, 600),
        (2, 32_400, 63_000, 600),
        (3, 32_400, 63_000, 600),
        (6, 0, 86_400, 0),
    ]
    assert [hours_text(hours) for hours in parsed[2:]] == ["wed=09:00-17:30+600", "sat=00:00-24:00"]
    assert parse_hours([]) == []


@pytest.mark.parametrize("text", ["", "mon", "mon=9-17", "mon=09:00", "fri-mon=09:00-17:00", "xyz=09:00-17:00"])
def test_what_cannot_be_read_says_how_hours_are_written(text: str) -> None:
    with pytest.raises(BadHoursError, match="write hours as"):
        parse_hours([text])
