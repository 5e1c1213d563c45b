"""The events of an account, from a position on: what the tables have first, then live from the leader's feed."""

import time
from collections.abc import AsyncIterator
from typing import Final

from db.events import list_events
from db.session import Pool
from servers.domain.errors import PositionInvalid
from servers.domain.identifiers import positions
from servers.engine.feed import AccountFrame
from servers.engine.fence import PATIENCE_S, Fence
from servers.engine.local import Following
from venue.engine.v1 import engine_pb2

PAGE: Final = 500


class GapError(Exception):
    """Events after a position are not kept any more."""

    def __init__(self, after: int) -> None:
        super().__init__(f"events after {after} are lost")
        self.after = after


class SlowConsumerError(Exception):
    """The follower did not take its frames in time and lost some."""


def resume_sequence(partition: int, resume_after: str, following: Following) -> int | None:
    """The sequence to go on after, None for a fresh start. Raises PositionInvalid: not of this partition, or not yet there."""
    named = positions(resume_after, "resume_after")
    if not named:
        return None
    mine = [position for position in named if position.partition == partition]
    if len(mine) != 1 or mine[0].sequence > following.sequence or mine[0].epoch > following.epoch:
        raise PositionInvalid("resume_after")
    return mine[0].sequence


async def backlog(
    pool: Pool, fence: Fence, partition: int, account_id: str, after: int, following: Following
) -> AsyncIterator[AccountFrame]:
    """The events after a sequence up to where following began. Raises GapError."""
    until = following.account_sequence
    if until <= after:
        return
    if not await fence.reach(partition, until, time.monotonic() + PATIENCE_S):
        raise GapError(after)
    last = after
    while last < until:
        async with pool.connection() as connection:
            rows = await list_events(
                connection, partition, account_id, after_sequence=last, until_sequence=until, limit=PAGE
            )
        if not rows or rows[0].previous_sequence > last:
            raise GapError(last)
        for row in rows:
            record = engine_pb2.AccountRecord.FromString(row.payload)
            yield AccountFrame(account_id, row.sequence, row.previous_sequence, record)
            last = row.sequence


async def live(following: Following) -> AsyncIterator[AccountFrame]:
    """The events since following began, until the leader stops. Raises SlowConsumerError."""
    follower = following.follower
    while True:
        for frame in await follower.take():
            yield frame
        if follower.slow:
            raise SlowConsumerError
        if follower.ended:
            return
