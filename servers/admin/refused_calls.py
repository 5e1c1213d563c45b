"""Who tried what he may not: the guard's refusals of privileged methods, in the audit log.

Somebody known leaves one entry a minute for each method and reason; how many more there were stands in the next one. Strangers
leave none: anybody could fill the log, and there is nobody to name. Metrics count them, and the gateway's log has them.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from db import audit
from db.audit import Action, Entry
from servers.domain.errors import PartUnavailable, VenueError
from servers.transport.auditing import actor_of
from servers.transport.call import Call

EVERY_S: Final = 60.0
SEEN_MAX: Final = 10_000
WAITING_MAX: Final = 1_000
log = structlog.get_logger()


@dataclass(slots=True)
class Seen:
    """When (on the loop's clock) an entry was made last, and how many refusals had none since."""

    time: float
    left_out: int = 0


class RefusedCalls:
    """Takes refusals without waiting, and writes them in its own task."""

    def __init__(self, engine: AsyncEngine, *, every_s: float = EVERY_S) -> None:
        self._engine = engine
        self._every_s = every_s
        # By user, method and reason; the one noted longest ago first.
        self._seen: dict[tuple[str, str, str], Seen] = {}
        self._waiting: asyncio.Queue[Entry] = asyncio.Queue(WAITING_MAX)

    def note(self, call: Call, error: VenueError) -> None:
        """Note that a known caller was refused."""
        now = asyncio.get_running_loop().time()
        key = (call.identity.user_id, call.method, error.reason)
        before = self._seen.get(key)
        if before is not None and now - before.time < self._every_s:
            before.left_out += 1
            return
        if self._waiting.full():
            log.error("a refused call is not in the audit log: too many wait", user_id=key[0], method=key[1])
            return
        self._seen.pop(key, None)
        if len(self._seen) >= SEEN_MAX:
            self._seen.pop(next(iter(self._seen)))
        self._seen[key] = Seen(now)
        entry = Entry(
            actor=actor_of(call),
            action=Action.PRIVILEGE_REFUSED,
            object=f"rpc/{call.method.rpartition('/')[2]}",
            after={"lacking": dict(error.metadata), "left_out": 0 if before is None else before.left_out},
            outcome=error.reason,
        )
        self._waiting.put_nowait(entry)

    async def run(self) -> None:
        """Write for ever; the one that waits is kept while the database is away."""
        while True:
            entry = await self._waiting.get()
            while True:
                try:
                    await audit.record(self._engine, entry)
                    break
                except PartUnavailable as error:
                    log.warning("a refused call is not in the audit log yet", cause=str(error))
                    await asyncio.sleep(1.0)
