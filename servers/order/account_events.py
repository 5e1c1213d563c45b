"""The events of an account, from a position on: what was missed first, then live from the leader's feed."""

from collections.abc import AsyncIterator

from servers.domain.errors import PositionInvalid
from servers.domain.identifiers import positions
from servers.engine.missed import Past
from servers.engine.ring import AccountFrame
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


def backlog(past: Past, partition: int, after: int, following: Following) -> AsyncIterator[AccountFrame]:
    """The events after a sequence up to where following began. Raises GapError."""
    account_id = following.follower.account_id
    return past.missed(following.ring, partition, account_id, after, following.account_sequence)


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
