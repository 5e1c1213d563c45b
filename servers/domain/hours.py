"""Trading hours: at which times of a week, in UTC, a market opens, closes, and collects orders for its opening auction."""

from bisect import bisect_right
from typing import Final, NamedTuple

from servers.domain.errors import DefinitionInvalid
from servers.domain.terms import MarketState

DAY_S: Final = 86_400
WEEK_S: Final = 7 * DAY_S
_SECOND_US: Final = 1_000_000
# 1970 began on a Thursday; a week begins on Monday.
_EPOCH_S: Final = 3 * DAY_S
_OPEN: Final = int(MarketState.OPEN)
_PRE_OPEN: Final = int(MarketState.PRE_OPEN)
_OUTSIDE: Final = int(MarketState.OUTSIDE_HOURS)


class Hours(NamedTuple):
    """When a market trades on a weekday (1 Monday to 7 Sunday), in seconds since midnight, and how long it collects before."""

    weekday: int
    open_second: int
    close_second: int
    auction_seconds: int


def hours_text(hours: tuple[Hours, ...]) -> str:
    """Hours as the tables keep them."""
    return ";".join(" ".join(map(str, each)) for each in sorted(hours))


def hours_of(text: str) -> tuple[Hours, ...]:
    """Hours from their text."""
    return tuple(Hours(*map(int, each.split())) for each in text.split(";")) if text else ()


class Schedule:
    """The changes of a week, as (second since Monday 00:00, what the market does from then on)."""

    __slots__ = ("_changes", "_seconds")

    def __init__(self, hours: tuple[Hours, ...]) -> None:
        """Raises DefinitionInvalid: hours that no day has, that overlap, or whose auction begins before the close before."""
        spans = []
        for weekday, opens, closes, auction in sorted(hours):
            if not (1 <= weekday <= 7 and 0 <= opens < closes <= DAY_S and 0 <= auction < DAY_S):
                raise DefinitionInvalid("hours", "must lie within a weekday, and open before they close")
            day = (weekday - 1) * DAY_S
            spans.append((day + opens, day + closes, auction))
        changes: list[tuple[int, int]] = []
        closed = spans[-1][1] - WEEK_S if spans else 0
        for opens, closes, auction in spans:
            pause = opens - closed
            if pause < 0 or (auction and pause <= auction):
                raise DefinitionInvalid("hours", "must not overlap, and an auction begins after the close before it")
            if pause:
                changes.append((closed % WEEK_S, _OUTSIDE))
                if auction:
                    changes.append(((opens - auction) % WEEK_S, _PRE_OPEN))
                changes.append((opens, _OPEN))
            closed = closes
        self._changes = sorted(changes)
        self._seconds = [second for second, _ in self._changes]

    def state_at(self, time_us: int) -> int:
        """What the market does at a time (microseconds since 1970)."""
        if not self._changes:
            return _OPEN
        second = (time_us // _SECOND_US + _EPOCH_S) % WEEK_S
        return self._changes[bisect_right(self._seconds, second) - 1][1]

    def next_after(self, time_us: int, state: int = 0) -> int:
        """When the next change after a time is (into a state, if one is given); 0: never."""
        now = time_us // _SECOND_US
        second = (now + _EPOCH_S) % WEEK_S
        first = bisect_right(self._seconds, second)
        count = len(self._changes)
        for index in range(first, first + count):
            at, to = self._changes[index % count]
            if not state or to == state:
                return (now + at - second + (WEEK_S if index >= count else 0)) * _SECOND_US
        return 0

    def close_from(self, time_us: int) -> int:
        """When the market closes, a time at which it is closed already included; 0: never."""
        return time_us if self.state_at(time_us) == _OUTSIDE else self.close_after(time_us)

    def close_after(self, time_us: int) -> int:
        """When the market closes next; 0: never."""
        return self.next_after(time_us, _OUTSIDE)
