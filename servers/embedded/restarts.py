"""A part of the supervisor: it sees at once that a program has ended, and tries one that cannot start again and again.

The supervisor looks after its programs in turns a second apart, and sooner only where one of its files has something to be
read. A program that writes its log itself gives it nothing to read, so a dead one was begun again up to two seconds later,
and a venue took a second for every step of its end. Now the system's word that a child has ended is something to be
read.

Between its tries to start a program it would wait a second more each time, and give up at last. A program may be missing
another for longer, and nobody need look after it: the wait has a bound. Supervisor calls `make` when it starts.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from supervisor import events  # type: ignore[import-untyped]
from supervisor.medusa import asyncore_25 as asyncore  # type: ignore[import-untyped]
from supervisor.states import SupervisorStates  # type: ignore[import-untyped]

# More than the signals between two looks; what were left would be read at the next.
READ_MAX = 4096
# Between two tries to start a program.
WAIT_MAX_S = 10


class Options(Protocol):
    """What is used of the supervisor's options: how a child becomes its program, and what the supervisor is about to do."""

    execve: Callable[[str, Sequence[str], Mapping[str, str]], object]
    mood: int


class Supervisor(Protocol):
    options: Options

    def reap(self) -> object: ...


class Process(Protocol):
    """A program that did not start: how many tries it is said to have had, and when the next one is due."""

    backoff: int
    delay: float


class Failure(Protocol):
    process: Process


class Wakeups:
    """The signals that the supervisor gets, as a file among those it reads."""

    def __init__(
        self, supervisord: Supervisor, become: Callable[[str, Sequence[str], Mapping[str, str]], object]
    ) -> None:
        self._supervisord = supervisord
        self._become = become
        self._reader, self._writer = os.pipe()
        for descriptor in (self._reader, self._writer):
            os.set_blocking(descriptor, False)

    def open(self) -> None:
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        asyncore.socket_map[self._reader] = self

    def begin(self, filename: str, command: Sequence[str], environment: Mapping[str, str]) -> object:
        """In the child, whose copies of the files the supervisor has closed: as `os.execve`, and signals write nowhere."""
        signal.set_wakeup_fd(-1)
        return self._become(filename, command, environment)

    def stopping(self, _event: object) -> None:
        """A supervisor that begins anew closes all files, but what it knows of them it keeps; `make` is called again."""
        if self._supervisord.options.mood == SupervisorStates.RESTARTING:
            signal.set_wakeup_fd(-1)
            del asyncore.socket_map[self._reader]

    # What the supervisor asks of a file and tells it.

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        """Take note of who has ended before this turn begins programs: its own look comes after that, for the next turn."""
        with suppress(BlockingIOError):
            os.read(self._reader, READ_MAX)
        self._supervisord.reap()

    def handle_error(self) -> None:
        """What is wrong here is as wrong at the supervisor's own look, which nothing catches either."""
        error = sys.exception()
        assert error is not None
        raise error


def bound(failure: Failure) -> None:
    """Count no more tries than the longest wait has seconds: the supervisor waits as many, and gives up at some number."""
    process = failure.process
    process.backoff = min(process.backoff, WAIT_MAX_S)
    process.delay = min(process.delay, time.time() + WAIT_MAX_S)


def make(supervisord: Supervisor) -> Wakeups:
    """Called by the supervisor before its first program, after the parts that know how a program begins."""
    wakeups = Wakeups(supervisord, supervisord.options.execve)
    supervisord.options.execve = wakeups.begin
    events.subscribe(events.SupervisorStoppingEvent, wakeups.stopping)
    events.subscribe(events.ProcessStateBackoffEvent, bound)
    wakeups.open()
    return wakeups
