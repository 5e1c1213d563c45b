"""Where the events of gRPC's core are taken: by the loop itself where nothing else waits for gRPC's sockets, else by a thread.

gRPC's asyncio server has a thread that waits for events and wakes the loop for each: of a call's time of 0.27 ms that is more
than half (decision 36). Core's older way of waiting (servers/polling.py) keeps its sockets in one epoll set, which can be waited
for as any file: the loop does that, and takes events without waiting, as soon as a socket has something.

A channel in the same process has a thread that waits in the same set and takes away what the loop would be woken by. So while a
channel is open, or where there is no such set, a thread of this module waits for the events and hands them to the loop together.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final
from weakref import WeakSet

import structlog
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # its stub is not the one that is looked at

from servers import polling
from servers.transport import epoll, papers

log = structlog.get_logger()
# How often the loop looks for events that no socket told of, as the end of a call whose deadline passed: while there are calls,
# and else; and how often it asks how many sockets there are.
LOOK_EVERY_S: Final = 0.02
LOOK_SELDOM_S: Final = 0.1
COUNT_EVERY_S: Final = 0.25
# How long the thread waits at a time, and so how long the loop waits for it to end.
WAIT_S: Final = 0.1
# Calls that were found by looking, and several times those that a socket told of, are no chance. For how long they are believed.
UNTOLD_MAX: Final = 20
UNTOLD_TIMES: Final = 4
DISTRUST_S: Final = 60.0
# Events in one turn of the loop, so that others have theirs.
TURN_MAX: Final = 128
# Core asks the system for up to so many sockets at once, and deals with one each time it is asked for an event, which may be
# none: a ping has none. So it is asked as often as there are sockets before there is nothing more, within these.
ASK_MIN: Final = 4
ASK_MAX: Final = 100
NOTHING: Final = cygrpc.CompletionType.queue_timeout
END: Final = cygrpc.CompletionType.queue_shutdown
# Queues of this process that are open.
_open: "WeakSet[Events]" = WeakSet()


class Events:
    """A completion queue of gRPC's core; what is started on it is told of in the loop. A tag is called with its event."""

    def __init__(self, busy: Callable[[], bool]) -> None:
        self.queue: Any = cygrpc.CompletionQueue()
        # Whether there is anything under way.
        self._busy = busy
        self._loop: asyncio.AbstractEventLoop
        # The set of sockets, how often it is asked, when its sockets were counted, and until when it is not believed.
        self._sockets: int | None = None
        self._asks = ASK_MIN
        self._counted = 0.0
        self._distrusted = 0.0
        self._reading = False
        self._due = False
        # Calls that a socket told of, and that were found by looking, of late.
        self._looks = False
        self._came = [0, 0]
        self._timer: asyncio.TimerHandle | None = None
        self._slow = False
        self._thread: threading.Thread | None = None
        self._leave = False
        self._gone = asyncio.Event()
        self._taken: deque[Any] = deque()
        self._told = False
        self._ended = asyncio.Event()

    @property
    def in_loop(self) -> bool:
        """Whether the loop waits for the sockets itself."""
        return self._reading

    def watch(self, ports: set[int]) -> None:
        """From now on, in the loop that runs; the server listens at these ports already."""
        self._loop = asyncio.get_running_loop()
        self._sockets = epoll.waiting_for(ports) if polling.older() else None
        _open.add(self)
        papers.on_channel.append(self._choose)
        self._look()

    def came(self) -> None:
        """A call has come: whoever is told of one looks whether sockets tell, as they do where gRPC waits in the set."""
        if not self._reading:
            return
        self._came[self._looks] += 1
        told, untold = self._came
        if untold > UNTOLD_MAX and untold > UNTOLD_TIMES * told:
            log.warning("gRPC's sockets tell of nothing: a thread waits for its events")
            self._distrusted = self._loop.time() + DISTRUST_S
            self._choose()
        if told + untold > 10 * UNTOLD_MAX:
            self._came = [told // 2, untold // 2]
        if self._slow:
            self._look_later()

    def soon(self) -> None:
        """Something was started that may be done already, which no socket tells of."""
        if self._reading and not self._due:
            self._due = True
            self._loop.call_soon(self._sweep)

    async def close(self) -> None:
        """What is still under way has to end before: an event of each is waited for."""
        self.queue.shutdown()
        self.soon()
        await self._ended.wait()
        _open.discard(self)
        papers.on_channel.remove(self._choose)
        if self._timer is not None:
            self._timer.cancel()
        self._stop_reading()
        if self._thread is not None:
            await self._gone.wait()

    # In the loop

    def _look(self) -> None:
        if self._ended.is_set():
            return
        self._look_later()
        self._choose()
        if self._reading and self._sockets is not None:
            now = self._loop.time()
            if now - self._counted > COUNT_EVERY_S:
                self._counted = now
                with suppress(OSError):
                    self._asks = min(ASK_MAX, max(ASK_MIN, sum(1 for _ in epoll.members(self._sockets))))
            self._looks = True
            try:
                self._take(self._asks)
            finally:
                self._looks = False

    def _look_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._slow = not (self._reading and self._busy())
        self._timer = self._loop.call_later(LOOK_SELDOM_S if self._slow else LOOK_EVERY_S, self._look)

    def _choose(self) -> None:
        """Who waits from now on."""
        if self._ended.is_set():
            return
        alone = not papers.channels and len(_open) == 1 and self._loop.time() >= self._distrusted
        if alone and self._sockets is not None:
            if self._thread is not None:
                self._leave = True
            elif not self._reading:
                self._loop.add_reader(self._sockets, self._ready)
                self._reading = True
                self._came = [0, 0]
                self.soon()
            return
        self._stop_reading()
        self._leave = False
        if self._thread is None:
            self._gone.clear()
            self._thread = threading.Thread(target=self._wait, name="grpc-events", daemon=True)
            self._thread.start()

    def _stop_reading(self) -> None:
        if self._reading and self._sockets is not None:
            self._loop.remove_reader(self._sockets)
            self._reading = False

    def _ready(self) -> None:
        """What is there first; the rest once that was begun."""
        self._take(1)
        self.soon()

    def _sweep(self) -> None:
        self._due = False
        self._take(self._asks)

    def _take(self, asks: int) -> None:
        """Events until there was none for so many times."""
        left, more = asks, TURN_MAX
        try:
            while left and more and self._reading:
                event = self.queue.poll(0)
                if event.completion_type == NOTHING:
                    left -= 1
                    continue
                left, more = asks, more - 1
                self._tell(event)
        finally:
            if left:
                self.soon()

    def _tell(self, event: Any) -> None:  # noqa: ANN401  gRPC's own type
        if event.completion_type == END:
            self._ended.set()
        else:
            event.tag(event)

    def _drain(self) -> None:
        self._told = False
        more = TURN_MAX
        try:
            while self._taken and more:
                more -= 1
                self._tell(self._taken.popleft())
        finally:
            if self._taken:
                self._loop.call_soon(self._drain)

    def _left(self) -> None:
        """The thread has ended: whoever waits now looks at what came since."""
        assert self._thread is not None
        self._thread.join()
        self._thread = None
        self._gone.set()
        self._drain()
        self._choose()

    # In the thread

    def _wait(self) -> None:
        while not self._leave:
            event = self.queue.poll(time.time() + WAIT_S)
            if event.completion_type == NOTHING:
                continue
            self._taken.append(event)
            if not self._told:
                self._told = True
                self._loop.call_soon_threadsafe(self._drain)
            if event.completion_type == END:
                break
        with suppress(RuntimeError):  # the loop was closed meanwhile
            self._loop.call_soon_threadsafe(self._left)
