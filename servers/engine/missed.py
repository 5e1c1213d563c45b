"""Events of an account that a stream of it has missed, from the tables."""

import time
from collections.abc import AsyncIterator
from typing import Final

from db.events import list_events
from db.session import Pool
from servers.engine.feed import AccountFrame
from servers.engine.fence import PATIENCE_S, Fence
from venue.engine.v1 import engine_pb2

PAGE: Final = 500


class GapError(Exception):
    """Events after a sequence are not kept any more, or not written in time."""

    def __init__(self, after: int) -> None:
        super().__init__(f"events after {after} are lost")
        self.after = after


async def missed(
    pool: Pool, fence: Fence, partition: int, account_id: str, after: int, until: int
) -> AsyncIterator[AccountFrame]:
    """The events after a sequence up to that of a later event, in order. Raises GapError."""
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
