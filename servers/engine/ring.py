"""The last account frames of a process, in memory, for streams that come back soon.

Frames are made only for accounts that somebody follows, or followed a moment ago; the rest costs nothing and is not here. Each
frame names the one before it, so what is returned is without a gap by itself, whatever was let go.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final, NamedTuple

from venue.engine.v1 import engine_pb2

# Of a partition, all accounts together.
FRAMES_MAX: Final = 50_000
BYTES_MAX: Final = 32 * 1024 * 1024
# How long an account that nobody follows any more is still recorded, and how many such there may be.
KEPT_S: Final = 60.0
KEPT_MAX: Final = 10_000


class AccountFrame(NamedTuple):
    """What one command changed for one account: `wire` is an AccountRecord's bytes, as most who take them pass them on."""

    account_id: str
    sequence: int
    previous_sequence: int
    wire: bytes

    @property
    def record(self) -> engine_pb2.AccountRecord:
        """Read anew each time."""
        return engine_pb2.AccountRecord.FromString(self.wire)


def tail(frames: "deque[AccountFrame] | list[AccountFrame]", after: int, until: int) -> list[AccountFrame]:
    """The frames after a sequence that lead to the one of sequence `until` without a gap: none if that one is not there."""
    found: list[AccountFrame] = []
    for frame in reversed(frames):
        if until <= after:
            break
        if frame.sequence == until:
            found.append(frame)
            until = frame.previous_sequence
        elif frame.sequence < until:
            break
    found.reverse()
    return found


class Ring:
    """Frames in the order of their commits, the oldest let go first."""

    def __init__(
        self,
        now_s: Callable[[], float],
        *,
        frames_max: int = FRAMES_MAX,
        bytes_max: int = BYTES_MAX,
        kept_s: float = KEPT_S,
        kept_max: int = KEPT_MAX,
    ) -> None:
        self._now_s = now_s
        self._frames_max = frames_max
        self._bytes_max = bytes_max
        self._kept_s = kept_s
        self._kept_max = kept_max
        self._order: deque[tuple[str, int]] = deque()
        self._by_account: dict[str, deque[AccountFrame]] = {}
        self._bytes = 0
        # Until when on the clock, the first to end first.
        self._kept: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._order)

    def keep(self, account_id: str) -> None:
        """Go on with an account whose last follower has left."""
        self._kept[account_id] = self._now_s() + self._kept_s
        self._kept.move_to_end(account_id)

    def joined(self, account_id: str) -> None:
        """An account is followed again."""
        self._kept.pop(account_id, None)

    def expired(self) -> list[str]:
        """Accounts that need not be recorded any more, once; called whenever some might be."""
        gone: list[str] = []
        while self._kept:
            account_id, end_s = next(iter(self._kept.items()))
            if end_s > self._now_s() and len(self._kept) <= self._kept_max:
                break
            del self._kept[account_id]
            gone.append(account_id)
        return gone

    def add(self, frames: list[AccountFrame]) -> None:
        """Frames of a committed batch."""
        for frame in frames:
            size = len(frame.wire)
            self._by_account.setdefault(frame.account_id, deque()).append(frame)
            self._order.append((frame.account_id, size))
            self._bytes += size
        while len(self._order) > self._frames_max or self._bytes > self._bytes_max:
            account_id, size = self._order.popleft()
            of_account = self._by_account[account_id]
            of_account.popleft()
            if not of_account:
                del self._by_account[account_id]
            self._bytes -= size

    def tail(self, account_id: str, after: int, until: int) -> list[AccountFrame]:
        """What there is of an account after one sequence up to another's frame, without a gap before that."""
        return tail(self._by_account.get(account_id, deque()), after, until)
