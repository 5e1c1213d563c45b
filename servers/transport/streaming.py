"""What every stream does besides its frames: a heartbeat after a silence, and a goodbye before the server ends it."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from typing import Generic, TypeVar

from servers.transport.call import Call

SILENCE_S = 15.0
Frame = TypeVar("Frame")


async def lively(
    frames: AsyncIterator[Frame],
    call: Call,
    *,
    heartbeat: Callable[[], Frame],
    goodbye: Callable[[str], Frame],
    silence_s: float = SILENCE_S,
    ahead: int = 1,
) -> AsyncGenerator[Frame, None]:
    """Yields the frames, a heartbeat after `silence_s` without one, and `goodbye(reason)` last where the server ends the stream.

    Takes at most `ahead` frames more than were sent, so that a slow reader is felt by whoever makes them. What `frames` raises
    is raised here. `goodbye` is called when everything taken was sent: it may name the last frame as the place to resume.
    """
    assert call.end is not None, "only the guard's streams end"
    pump = _Pump(frames, ahead)
    call.end.add_done_callback(pump.wake)
    try:
        while True:
            while pump.taken:
                yield pump.next()
            if call.end.done():
                yield goodbye(call.end.result())
                return
            if pump.finished:
                pump.raise_failure()
                return
            if not await pump.wait(silence_s):
                yield heartbeat()
    finally:
        call.end.remove_done_callback(pump.wake)
        await pump.close()


class _Pump(Generic[Frame]):
    """Takes frames in a task of its own, and wakes the one who waits for them."""

    def __init__(self, frames: AsyncIterator[Frame], ahead: int) -> None:
        self.taken: deque[Frame] = deque()
        self._ahead = ahead
        self._awake = asyncio.Event()
        self._room = asyncio.Event()
        self._task = asyncio.create_task(self._run(frames))
        self._task.add_done_callback(self.wake)

    @property
    def finished(self) -> bool:
        return self._task.done() and not self.taken

    def next(self) -> Frame:
        frame = self.taken.popleft()
        self._room.set()
        return frame

    def wake(self, _cause: object) -> None:
        self._awake.set()

    async def wait(self, silence_s: float) -> bool:
        """False where nothing happened for so long."""
        try:
            async with asyncio.timeout(silence_s):
                await self._awake.wait()
        except TimeoutError:
            return False
        self._awake.clear()
        return True

    def raise_failure(self) -> None:
        """Raises what ended the frames, if it was an exception."""
        self._task.result()

    async def close(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait([self._task])
        if not self._task.cancelled():
            # Whoever is interested has asked already; unasked, asyncio would complain.
            self._task.exception()

    async def _run(self, frames: AsyncIterator[Frame]) -> None:
        try:
            async for frame in frames:
                self.taken.append(frame)
                self._awake.set()
                while len(self.taken) >= self._ahead:
                    self._room.clear()
                    await self._room.wait()
        finally:
            if isinstance(frames, AsyncGenerator):
                await frames.aclose()
