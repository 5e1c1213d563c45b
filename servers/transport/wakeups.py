"""How gRPC's thread wakes the loop: one read for all events that came, where gRPC itself reads once for each.

Its thread writes a byte for every event, into a pair of sockets, and the loop's side takes one byte a turn and then every event
there is. So the bytes of the others wake the loop as many times for nothing: a call has four events, and each cost a turn of the
loop and a read. What `gather_wakeups` gives gRPC instead is a pipe, whose end for reading takes all there is at once.

gRPC has no setting for this. It asks its own name `socket` for the pair, when the first server or channel of the process is
made; nobody else's sockets are touched. Decision 30 has the figures.
"""

import os
import sys
from types import ModuleType
from typing import Any, Final

import grpc.aio  # noqa: F401  its C part has the name that is changed
import structlog

log = structlog.get_logger()
ASYNC_PART: Final = "grpc._cython.cygrpc"
# More events than come in a turn of the loop. What is left wakes it once more.
READ_BYTES: Final = 4_096


class End:
    """One end of the pipe, with the calls of a socket that gRPC makes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        """As a socket's: -1 once it is closed."""
        return self._descriptor

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001  a socket's signature
        """Raises OSError where it is closed."""
        os.set_blocking(self._descriptor, flag)

    def recv(self, _size: int) -> bytes:
        """Everything there is, however little is asked for. An event is put down before its byte, so none is missed."""
        try:
            return os.read(self._descriptor, READ_BYTES)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        """Once is enough."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def pair() -> tuple[End, End]:
    """The end to read and the end to write, as `socket.socketpair` gives them."""
    reading, writing = os.pipe()
    return End(reading), End(writing)


def gather_wakeups() -> None:
    """Before the first server or channel of the process.

    Where gRPC asks for its pair in another way, it stays as it was and the log says so.
    """
    inside: Any = sys.modules.get(ASYNC_PART)
    if not isinstance(getattr(inside, "socket", None), ModuleType):
        log.warning("gRPC wakes the loop for each event", reason="it has no name `socket` any more")
        return
    # A module: what C code made of Python looks names up in nothing else.
    pipes: Any = ModuleType("socket")
    pipes.socketpair = pair
    inside.socket = pipes
