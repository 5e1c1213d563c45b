"""The events of an account, from a position on: what the tables have first, then live from the leader's feed."""

from collections.abc import AsyncIterator

from db.session import Pool
from servers.domain.errors import PositionInvalid
from servers.domain.identifiers import positions
from servers.engine.feed import AccountFrame
from servers.engine.fence import Fence
from servers.engine.missed import missed
from servers.engine.trading import Following


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


def backlog(
    pool: Pool, fence: Fence, partition: int, account_id: str, after: int, following: Following
) -> AsyncIterator[AccountFrame]:
    """The events after a sequence up to where following began. Raises GapError."""
    return missed(pool, fence, partition, account_id, after, following.account_sequence)


async def live(following: Following) -> AsyncIterator[list[AccountFrame]]:
    """The events since following began, as many together as there are, until the leader stops. Raises SlowConsumerError."""
    follower = following.follower
    while True:
        frames = await follower.take()
        if frames:
            yield frames
        if follower.slow:
            raise SlowConsumerError
        if follower.ended:
            return
