"""The epoll set in which gRPC's core waits for its sockets, as the system tells of it."""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

DESCRIPTORS: Final = Path("/proc/self/fd")
# So much of what the system tells of a set is read: more than a hundred members.
READ_MAX: Final = 16_384


def waiting_for(ports: set[int]) -> int | None:
    """The set that has what listens at one of the ports; None where there is none, as on another system than Linux."""
    with suppress(OSError):
        for name in sorted(DESCRIPTORS.iterdir()):
            with suppress(OSError):
                if name.readlink().name == "anon_inode:[eventpoll]" and any(
                    _listens(member, ports) for member in members(int(name.name))
                ):
                    return int(name.name)
    return None


def members(epoll: int) -> Iterator[int]:
    """The descriptors in a set, the first hundred or so. Raises OSError where there is no such set."""
    with (DESCRIPTORS.parent / "fdinfo" / str(epoll)).open() as told:
        for line in told.read(READ_MAX).splitlines():
            if line.startswith("tfd:"):
                yield int(line.split()[1])


def _listens(descriptor: int, ports: set[int]) -> bool:
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        return False
    with socket.socket(fileno=os.dup(descriptor)) as known:
        if known.family not in {socket.AF_INET, socket.AF_INET6}:
            return False
        return bool(known.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)) and known.getsockname()[1] in ports
