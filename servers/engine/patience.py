"""Waiting for the next leader: a change of leaders takes a moment, and what was certainly not executed may be asked again.

NotLeader says so of a command. PartUnavailable does not: then the outcome is unknown, and only the caller may repeat.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from servers.domain.errors import NotLeader, PartUnavailable, VenueError

# What a planned change of leaders may take, and how long between two attempts.
PATIENCE_S: Final = 3.0
PAUSE_S: Final = 0.05
# What is left of the caller's own time to tell it that nobody came.
MARGIN_S: Final = 0.1
Result = TypeVar("Result")


def not_executed(error: VenueError) -> bool:
    """True where nothing of a command was sequenced, nor will be."""
    return isinstance(error, NotLeader)


def away(error: VenueError) -> bool:
    """True where a read may be asked again, as reading twice does no harm: the leader went while it was asked."""
    return isinstance(error, NotLeader) or (
        isinstance(error, PartUnavailable) and error.metadata["part"] in {"the engine", "a part of the venue"}
    )


async def until_led(
    ask: Callable[[float | None], Awaitable[Result]],
    again: Callable[[VenueError], bool],
    timeout_s: float | None = None,
) -> Result:
    """What `ask` (given the seconds that are left) comes to, asked again while `again` allows it and somebody may come to lead.

    Raises what `ask` raises; PartUnavailable where nobody came.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    until = began + (PATIENCE_S if timeout_s is None else min(PATIENCE_S, timeout_s - MARGIN_S))
    while True:
        left = None if timeout_s is None else began + timeout_s - loop.time()
        try:
            return await ask(left)
        except VenueError as error:
            if not again(error):
                raise
            if loop.time() + PAUSE_S > until:
                raise PartUnavailable("the engine") from error
        await asyncio.sleep(PAUSE_S)
