"""An event loop without a clock or I/O of its own: time passes when nothing else can happen, and processes can be stopped.

Every callback belongs to the process in whose context it was scheduled. One that is killed or paused runs none of its callbacks,
whatever it was waiting for: it stops between two steps, at any await, as a process does.
"""

import asyncio
import contextvars
import heapq
from collections import deque
from collections.abc import Callable
from typing import Any

PROCESS: contextvars.ContextVar["Process | None"] = contextvars.ContextVar("process", default=None)


class StuckError(AssertionError):
    """Nothing is left that could ever happen."""


class Process:
    """What runs in one simulated process: its callbacks while it is stopped, its clocks, and when it is to be killed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.parked: list[asyncio.Handle] | None = None
        self.wall_offset_us = 0
        # After so many more callbacks `stop` is called; 0: not.
        self.countdown = 0
        self.stop: Callable[[], None] = self.park
        self.context = contextvars.copy_context()
        self.context.run(PROCESS.set, self)

    def park(self) -> None:
        """Stop: nothing of it runs from now on."""
        if self.parked is None:
            self.parked = []


class VirtualLoop(asyncio.BaseEventLoop):
    """Callbacks one at a time, in the order they became ready; the earliest timer sets the time when none is."""

    _ready: "deque[asyncio.Handle]"

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        # (when, order of scheduling, handle)
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._count = 0
        self.set_debug(False)

    def time(self) -> float:
        return self._now

    def run_in_executor(  # type: ignore[override]  # plainer
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> Any:
        """What a thread would do is done at once."""
        future = self.create_future()
        future.set_result(func(*args))
        return future

    def resume(self, process: Process) -> None:
        """Let a stopped process go on where it was."""
        parked, process.parked = process.parked or [], None
        self._ready.extend(parked)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:  # type: ignore[override]  # plainer
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, timer))
        return timer

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:  # type: ignore[override]  # plainer
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:  # type: ignore[override]  # plainer
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def _run_once(self) -> None:
        timers, ready = self._timers, self._ready
        if not ready:
            while timers and timers[0][2]._cancelled:
                heapq.heappop(timers)
            if not timers:
                raise StuckError("nothing is scheduled and nobody can go on")
            self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            ready.append(heapq.heappop(timers)[2])
        self._run(ready.popleft())

    @staticmethod
    def _run(handle: asyncio.Handle) -> None:
        if handle._cancelled:
            return
        process = handle._context.get(PROCESS)  # type: ignore[attr-defined]  # every handle has one
        if process is None:
            handle._run()
        elif process.parked is not None:
            process.parked.append(handle)
        else:
            handle._run()
            if process.countdown:
                process.countdown -= 1
                if not process.countdown:
                    process.stop()

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are dropped when they come up."""

    def close(self) -> None:
        self._timers.clear()
        super().close()

    def _process_events(self, event_list: Any) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """There is one thread."""
