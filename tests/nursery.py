"""Processes begun as copies of one that has loaded their code, as the supervisor begins them: for tests that start many."""

import atexit
import contextlib
import functools
import gc
import json
import os
import platform
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final, Protocol

import setproctitle

from servers import main as entry
from servers.embedded.preload import copied

COPIES: Final = platform.system() == "Linux"
REQUEST_MAX: Final = 1 << 20
ENDS_WITHIN_S: Final = 10.0
ROOT: Final = Path(__file__).resolve().parents[1]


class Running(Protocol):
    """What the tests use of a started process; `subprocess.Popen` has it too."""

    pid: int

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, sig: int) -> None: ...


class Copied:
    """A process that another one is the parent of: known by a descriptor, which no other process can come to have."""

    def __init__(self, pid: int, descriptor: int, parent: "Nursery") -> None:
        self.pid = pid
        self._descriptor, self._parent = descriptor, parent

    def __del__(self) -> None:
        os.close(self._descriptor)

    def poll(self) -> int | None:
        return self._parent.code_of(self.pid) if self._ended(0.0) else None

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        if not self._ended(timeout):
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return self._parent.code_of(self.pid)

    def send_signal(self, sig: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, sig)

    def _ended(self, timeout_s: float | None) -> bool:
        watched = select.poll()
        watched.register(self._descriptor, select.POLLIN)
        return bool(watched.poll(None if timeout_s is None else timeout_s * 1000))


class Nursery:
    """The process that the others are copies of. It ends with the one that asked for it."""

    def __init__(self) -> None:
        self._asking, asked = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with asked:
            command = [sys.executable, "-m", "tests.nursery", str(asked.fileno())]
            self._process = subprocess.Popen(command, cwd=ROOT, pass_fds=(asked.fileno(),), stdin=subprocess.DEVNULL)
        self._one_at_a_time = threading.Lock()
        atexit.register(self._close)

    def _close(self) -> None:
        """Nobody asks any more: it ends by itself, or is made to."""
        self._asking.close()
        try:
            self._process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def start(self, names: list[str], environment: dict[str, str], output: int) -> Copied:
        request = json.dumps([names, environment]).encode()
        with self._one_at_a_time:
            socket.send_fds(self._asking, [request], [output])
            answer, descriptors, _, _ = socket.recv_fds(self._asking, REQUEST_MAX, 1)
        assert descriptors, "the nursery has ended"
        return Copied(int(answer), descriptors[0], self)

    def code_of(self, pid: int) -> int:
        """The exit code of one that has ended, minus a signal's number where it was that."""
        with self._one_at_a_time:
            self._asking.send(str(pid).encode())
            return int(self._asking.recv(REQUEST_MAX))


@functools.cache
def nursery() -> Nursery:
    return Nursery()


def start(names: list[str], environment: dict[str, str], output: int) -> Running:
    """Start `python -m servers.main NAME...` with its output in a file: as a copy where the system bears that."""
    if COPIES:
        return nursery().start(names, environment, output)
    command = [sys.executable, "-m", "servers.main", *names]
    return subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)


def serve(asked: socket.socket) -> None:
    """Copy this process whenever asked, and tell how a copy ended, until nobody can ask any more."""
    codes: dict[int, int] = {}
    while True:
        request, descriptors, _, _ = socket.recv_fds(asked, REQUEST_MAX, 1)
        if not request:
            return
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                codes[ended[0]] = os.waitstatus_to_exitcode(ended[1])
        if not descriptors:
            asked.send(str(codes[int(request)]).encode())
            continue
        (output,) = descriptors
        names, environment = json.loads(request)
        pid = os.fork()
        if pid == 0:
            asked.close()
            for number in (1, 2):
                os.dup2(output, number)
            os.close(output)
            copied(entry, 0, names, [sys.executable, "-m", "servers.main", *names], environment)
        os.close(output)
        descriptor = os.pidfd_open(pid)
        socket.send_fds(asked, [str(pid).encode()], [descriptor])
        os.close(descriptor)


if __name__ == "__main__":
    setproctitle.getproctitle()
    entry.load()
    gc.collect()
    gc.freeze()
    serve(socket.socket(fileno=int(sys.argv[1])))
