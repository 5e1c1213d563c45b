"""Where the events of gRPC's core are taken: by the loop itself where nothing else waits for gRPC's sockets, else by a thread.

gRPC's asyncio server has a thread that waits for events and wakes the loop for each: of a call's time of 0.27 ms that is more
than half (decision 36). Core's older way of waiting (servers/polling.py) keeps its sockets in one epoll set, which can be waited
for as any file: the loop does that, and takes events without waiting, as soon as a socket has something.

A channel in the same process has a thread that waits in the same set and takes away what the loop would be woken by. So while a
channel is open, or where there is no such set, a thread of this module waits for the events and hands them to the loop together.
"""

import asyncio
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from weakref import WeakSet

import structlog
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # its stub is not the one that is looked at

from servers import polling
from servers.transport.papers import channels

log = structlog.get_logger()
# How often the loop looks for events that no socket told of, as the end of a call whose deadline passed, and whether channels
# came or went.
LOOK_EVERY_S: Final = 0.01
# How long the thread waits at a time, and so how long the loop waits for it to end.
WAIT_S: Final = 0.1
# So many calls, and more than half of all, that came without a socket telling of them are no chance.
UNTOLD_MAX: Final = 20
# Events in one turn of the loop, so that others have theirs.
TURN_MAX: Final = 128
NOTHING: Final = cygrpc.CompletionType.queue_timeout
END: Final = cygrpc.CompletionType.queue_shutdown
DESCRIPTORS: Final = Path("/proc/self/fd")
# Queues of this process that are open.
_open: "WeakSet[Events]" = WeakSet()


class Events:
    """A completion queue of gRPC's core; what is started on it is told of in the loop. A tag is called with its event."""

    def __init__(self) -> None:
        self.queue: Any = cygrpc.CompletionQueue()
        self._loop: asyncio.AbstractEventLoop
        self._sockets: int | None = None
        self._reading = False
        self._thread: threading.Thread | None = None
        self._leave = False
        self._gone = asyncio.Event()
        self._taken: deque[Any] = deque()
        self._told = False
        self._due = False
        self._timer: asyncio.TimerHandle | None = None
        # Calls that a socket told of, and that were found by looking.
        self._looks = False
        self._came = [0, 0]
        self._ended = asyncio.Event()

    @property
    def in_loop(self) -> bool:
        """Whether the loop waits for the sockets itself."""
        return self._reading

    def watch(self, ports: set[int]) -> None:
        """From now on, in the loop that runs; the server listens at these ports already."""
        self._loop = asyncio.get_running_loop()
        self._sockets = sockets_of(ports) if polling.older() else None
        _open.add(self)
        self._look()

    def soon(self) -> None:
        """Something was started that may be done already, which no socket tells of."""
        if self._reading and not self._due:
            self._due = True
            self._loop.call_soon(self._turn)

    async def close(self) -> None:
        """What is still under way has to end before: an event of each is waited for."""
        self.queue.shutdown()
        self.soon()
        await self._ended.wait()
        _open.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        self._stop_reading()
        if self._thread is not None:
            await self._gone.wait()

    # In the loop

    def _look(self) -> None:
        if self._ended.is_set():
            return
        self._timer = self._loop.call_later(LOOK_EVERY_S, self._look)
        self._choose()
        if self._reading:
            self._looks = True
            self._turn()
            self._looks = False

    def came(self) -> None:
        """A call has come: whoever is told of one looks whether sockets tell, as they do where gRPC waits in the set."""
        self._came[self._looks] += 1
        told, untold = self._came
        if untold > max(UNTOLD_MAX, told) and self._sockets is not None:
            log.warning("gRPC's sockets tell of nothing: a thread waits for its events")
            self._stop_reading()
            self._sockets = None

    def _choose(self) -> None:
        """Who waits from now on."""
        alone = self._sockets is not None and not channels and len(_open) == 1
        if alone and self._thread is not None:
            self._leave = True
        elif alone and not self._reading:
            self._loop.add_reader(self._sockets, self._turn)  # type: ignore[arg-type]  # looked at above
            self._reading = True
        elif not alone:
            self._stop_reading()
            self._leave = False
            if self._thread is None:
                self._gone.clear()
                self._thread = threading.Thread(target=self._wait, name="grpc-events", daemon=True)
                self._thread.start()

    def _stop_reading(self) -> None:
        if self._reading:
            self._loop.remove_reader(self._sockets)  # type: ignore[arg-type]
            self._reading = False

    def _turn(self) -> None:
        self._due = False
        more = True
        try:
            for _ in range(TURN_MAX):
                more = self._reading and (event := self.queue.poll(0)).completion_type != NOTHING
                if not more:
                    return
                self._tell(event)
        finally:
            if more:
                # No socket tells of events that are there already.
                self.soon()

    def _tell(self, event: Any) -> None:  # noqa: ANN401  gRPC's own type
        if event.completion_type == END:
            self._ended.set()
        else:
            event.tag(event)

    def _drain(self) -> None:
        self._told = False
        try:
            while self._taken:
                self._tell(self._taken.popleft())
        finally:
            if self._taken:
                self._loop.call_soon(self._drain)

    def _left(self) -> None:
        """The thread has ended: whoever waits now looks at what came since."""
        self._drain()
        assert self._thread is not None
        self._thread.join()
        self._thread = None
        self._gone.set()
        if not self._ended.is_set():
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


def sockets_of(ports: set[int]) -> int | None:
    """The epoll set in which gRPC waits for what listens at one of the ports; None where there is none."""
    with suppress(OSError):
        for name in sorted(DESCRIPTORS.iterdir()):
            with suppress(OSError):
                if name.readlink().name == "anon_inode:[eventpoll]" and any(
                    _listens(fd, ports) for fd in _members(name)
                ):
                    return int(name.name)
    return None


def _members(epoll: Path) -> Iterator[int]:
    for line in (epoll.parent.parent / "fdinfo" / epoll.name).read_text().splitlines():
        if line.startswith("tfd:"):
            yield int(line.split()[1])


def _listens(descriptor: int, ports: set[int]) -> bool:
    with suppress(OSError, IndexError, TypeError), socket.socket(fileno=os.dup(descriptor)) as known:
        listening = known.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        return bool(listening) and known.getsockname()[1] in ports
    return False
