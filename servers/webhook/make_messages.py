"""Events of the record become messages to endpoints, in the transaction that moves the cursor: once, and none is left out.

What is to be delivered again is read the same way, for one endpoint and account, from where its user said.
"""

from collections import defaultdict
from collections.abc import Sequence

from db.crash_points import passing
from db.session import Connection, Pool
from db.webhook_work import (
    WINDOW,
    Listener,
    Message,
    list_ahead,
    list_happened,
    list_listeners,
    lock_cursor,
    lock_replay,
    make_messages,
    move_cursor,
    move_replay,
    written_until,
)
from servers.webhook.happenings import tell


class Maker:
    """Makes the messages of partitions."""

    def __init__(self, pool: Pool, partitions: Sequence[int]) -> None:
        self._pool = pool
        self._partitions = partitions
        # Whether anybody listened at the last look.
        self.is_heard = False

    async def step(self) -> bool:
        """Read on a little in every partition. Returns whether there is more. Raises psycopg.OperationalError."""
        async with self._pool.connection() as connection:
            found = await list_ahead(connection, self._partitions)
        self.is_heard = any(ahead.is_heard for ahead in found)
        more = False
        for ahead in found:
            if ahead.waits:
                more |= await self._read_on(ahead.partition)
                more |= await self._tell_again(ahead.partition)
        return more

    async def _read_on(self, partition: int) -> bool:
        async with self._pool.connection() as connection, connection.transaction():
            after = await lock_cursor(connection, partition)
            written = await written_until(connection, partition)
            if written <= after:
                return False
            # After the record's end: who listens by now was there when its last event happened, or its event is told later.
            listeners = await list_listeners(connection, partition)
            until = written
            if listeners:
                until = await self._make(connection, partition, listeners, after, min(written, after + WINDOW))
            passing("webhook-made")
            await move_cursor(connection, partition, until)
        passing("webhook-moved")
        return until < written

    async def _make(
        self, connection: Connection, partition: int, listeners: Sequence[Listener], after: int, until: int
    ) -> int:
        """Returns up to which sequence all messages are made."""
        told_to: dict[str, list[Listener]] = defaultdict(list)
        for listener in listeners:
            told_to[listener.account_id].append(listener)
        events, until = await list_happened(connection, partition, list(told_to), after, until)
        messages = [
            Message(
                to.endpoint_id, told.message_id, told.event_type, event.account_id, event.sequence, told.part, told.body
            )
            for event in events
            for told in tell(partition, event)
            for to in told_to[event.account_id]
            if told.event_type in to.event_types and event.time >= to.since
        ]
        if messages:
            await make_messages(connection, messages, anew=False)
        return until

    async def _tell_again(self, partition: int) -> bool:
        """Part of what a user wants delivered again."""
        async with self._pool.connection() as connection, connection.transaction():
            replay = await lock_replay(connection, partition)
            if replay is None:
                return False
            # What lies behind the cursor is told anyway.
            end = await lock_cursor(connection, partition)
            until = min(end, replay.after_sequence + WINDOW)
            events, until = await list_happened(
                connection, partition, [replay.account_id], replay.after_sequence, until
            )
            messages = [
                Message(
                    replay.endpoint_id, told.message_id, told.event_type, event.account_id, event.sequence, told.part, told.body
                )
                for event in events
                for told in tell(partition, event)
                if told.event_type in replay.event_types
            ]  # fmt: skip
            if messages:
                await make_messages(connection, messages, anew=True)
            await move_replay(connection, replay, until, done=until >= end)
            return True
