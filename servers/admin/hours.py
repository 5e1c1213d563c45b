"""Trading hours as a person writes them: `mon-fri=13:30-20:00+600`, in UTC, the auction's seconds after the plus."""

import re
from collections.abc import Iterable
from typing import Final

from venue.marketdata.v1 import marketdata_pb2

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WRITTEN: Final = re.compile(
    r"(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))?=(?P<opens>\d\d:\d\d)-(?P<closes>\d\d:\d\d)(?:\+(?P<auction>\d{1,5}))?",
    re.ASCII,
)


class BadHoursError(ValueError):
    """Hours that cannot be read."""


def parse_hours(written: Iterable[str]) -> list[marketdata_pb2.TradingHours]:
    """Hours of single weekdays. Raises BadHoursError."""
    found = []
    for text in written:
        match = _WRITTEN.fullmatch(text.lower())
        first, last = (match["first"], match["last"] or match["first"]) if match else ("", "")
        if match is None or first not in DAYS or last not in DAYS or DAYS.index(first) > DAYS.index(last):
            raise BadHoursError(
                f"{text}: write hours as mon-fri=13:30-20:00, or with an auction of 600 s before: ...+600"
            )
        found += [
            marketdata_pb2.TradingHours(
                weekday=day + 1,
                open_second=_seconds(match["opens"]),
                close_second=_seconds(match["closes"]),
                auction_seconds=int(match["auction"] or 0),
            )
            for day in range(DAYS.index(first), DAYS.index(last) + 1)
        ]
    return found


def _seconds(clock: str) -> int:
    hour, minute = clock.split(":")
    return int(hour) * 3600 + int(minute) * 60


def hours_text(hours: marketdata_pb2.TradingHours) -> str:
    """One weekday's hours as they are written."""
    auction = f"+{hours.auction_seconds}" if hours.auction_seconds else ""
    return f"{DAYS[hours.weekday - 1]}={_clock(hours.open_second)}-{_clock(hours.close_second)}{auction}"


def _clock(second: int) -> str:
    rest = f":{second % 60:02}" if second % 60 else ""
    return f"{second // 3600:02}:{second // 60 % 60:02}{rest}"
