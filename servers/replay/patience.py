"""Asking the engine while it may be on its way back."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from servers.domain.errors import Unavailable, VenueError
from servers.engine.client import Engine
from venue.engine.v1 import engine_pb2 as pb

AWAY_S: Final = 30.0
PAUSE_S: Final = 0.1
T = TypeVar("T")


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Repeat while the engine is away. Raises what it raises after AWAY_S."""
    deadline = time.monotonic() + AWAY_S
    while True:
        try:
            return await ask()
        except Unavailable:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(PAUSE_S)


async def query(engine: Engine, request: pb.QueryRequest) -> pb.QueryResponse:
    """Raises VenueError."""
    return await patiently(lambda: engine.query(request))


async def submit(engine: Engine, commands: list[pb.Command]) -> list[bytes]:
    """The answers; the commands must be safe to repeat. Raises the first refusal."""

    async def ask() -> list[bytes]:
        answers: list[bytes] = []
        for outcome in await engine.submit(commands, AWAY_S):
            if isinstance(outcome, VenueError):
                raise outcome
            answers.append(outcome)
        return answers

    return await patiently(ask)
