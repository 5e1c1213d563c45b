"""The account events of committed batches, to whoever follows an account in this process. A follower that is slow is cut off."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from servers.engine.ring import AccountFrame, Ring

FRAMES_MAX: Final = 2_000


class Follower:
    """The frames of one account after a sequence; `slow` once some were dropped, `ended` once no more come."""

    __slots__ = ("_after", "_frames", "_ready", "account_id", "ended", "slow")

    def __init__(self, account_id: str, after: int) -> None:
        self.account_id = account_id
        # Frames up to here may still come, of batches that were under way when it began to follow.
        self._after = after
        self.slow = False
        self.ended = False
        self._frames: deque[AccountFrame] = deque()
        self._ready = asyncio.Event()

    def push(self, frame: AccountFrame) -> None:
        """Add a frame, or mark the follower slow when it has too many."""
        if frame.sequence <= self._after:
            return
        if len(self._frames) >= FRAMES_MAX:
            self.slow = True
        else:
            self._frames.append(frame)
        self._ready.set()

    def cut(self) -> None:
        """Say that it was too slow elsewhere."""
        self.slow = True
        self._ready.set()

    def end(self) -> None:
        """Say that nothing comes any more: the leader stops."""
        self.ended = True
        self._ready.set()

    async def take(self) -> list[AccountFrame]:
        """Wait for frames and take all of them; empty once slow or ended."""
        await self._ready.wait()
        self._ready.clear()
        frames = list(self._frames)
        self._frames.clear()
        if self.slow or self.ended:
            self._ready.set()
        return frames


class Feed:
    """Followers by account, and what was told lately. `wanted` are the accounts whose frames are to be made."""

    __slots__ = ("followers", "ring", "wanted")

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self.followers: dict[str, set[Follower]] = {}
        self.wanted: set[str] = set()
        self.ring = Ring(now_s)

    def follow(self, account_id: str, after: int = 0) -> Follower:
        """Start following what comes after a sequence; `leave` when done."""
        follower = Follower(account_id, after)
        self.followers.setdefault(account_id, set()).add(follower)
        self.wanted.add(account_id)
        self.ring.joined(account_id)
        return follower

    def leave(self, follower: Follower) -> None:
        """Stop following. Its account is recorded for a while, as it may be followed again."""
        remaining = self.followers.get(follower.account_id)
        if remaining is None:
            return
        remaining.discard(follower)
        if not remaining:
            del self.followers[follower.account_id]
            self.ring.keep(follower.account_id)
            self._forget()

    def publish(self, frames: list[AccountFrame]) -> None:
        """Hand frames of a committed batch to their followers."""
        if not frames:
            return
        self.ring.add(frames)
        for frame in frames:
            for follower in self.followers.get(frame.account_id, ()):
                follower.push(frame)
        self._forget()

    def _forget(self) -> None:
        self.wanted.difference_update(self.ring.expired())

    def end(self) -> None:
        """End every follower."""
        for followers in self.followers.values():
            for follower in followers:
                follower.end()
