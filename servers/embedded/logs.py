"""A part of the supervisor: programs write their logs themselves, and the supervisor outlives a disk that takes none.

Supervisor would read what a program says from a pipe and write it into a file: where it died, or the disk was full, which it
died of, every program wrote into a pipe that nobody reads. Now the file is a program's own output from its first line on, and
all that the supervisor does is to turn files over that have become long. It calls `make` when it starts, with the options of its
configuration's section.
"""

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from supervisor import events, loggers  # type: ignore[import-untyped]

from servers.transport.log_lines import LogLines

SIZE_MAX = 20 * 1024 * 1024
# Files of one log: the one that is written to, and what was turned over, newest first.
KEPT = ("", ".1", ".2")
OUTPUT, ERRORS = 1, 2


class Options(Protocol):
    """What is used of the supervisor's options: how a child becomes its program, and the supervisor's own log."""

    execve: Callable[[str, Sequence[str], Mapping[str, str]], object]
    logger: loggers.Logger


class Supervisor(Protocol):
    options: Options


class Logs:
    """The logs in a folder: `NAME.log` of each program."""

    def __init__(self, folder: Path, become: Callable[[str, Sequence[str], Mapping[str, str]], object]) -> None:
        self._folder = folder
        self._become = become

    def begin(self, filename: str, command: Sequence[str], environment: Mapping[str, str]) -> object:
        """In the child: as `os.execve`, of a program whose output is its log. Where that cannot be opened nobody reads it."""
        with suppress(OSError):
            path = self._folder / f"{environment['SUPERVISOR_PROCESS_NAME']}.log"
            # Only what is appended lands at the end of a file that was turned over meanwhile.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(descriptor, OUTPUT)
            os.dup2(descriptor, ERRORS)
            os.close(descriptor)
        return self._become(filename, command, environment)

    def turn(self, _tick: object = None) -> None:
        """Turn over what has become too long; without room for it, at another time."""
        for path in self._folder.glob("*.log"):
            with suppress(OSError):
                if path.stat().st_size >= SIZE_MAX:
                    turn_over(path)


def turn_over(path: Path) -> None:
    """Copy a log beside itself and empty it: no program need be told. A line of the moment between the two is lost.

    Raises OSError where there is no room for the copy; the log and what was turned over are as they were then.
    """
    newest, oldest = (path.with_name(path.name + suffix) for suffix in KEPT[1:])
    copy = path.with_name(f"{path.name}.new")
    try:
        shutil.copyfile(path, copy)
    except OSError:
        copy.unlink(missing_ok=True)
        raise
    copy.chmod(0o600)
    if newest.exists():
        newest.replace(oldest)
    copy.replace(newest)
    os.truncate(path, 0)


def told(lost: int) -> str:
    return f"{lost} log lines lost\n"


def make(supervisord: Supervisor, folder: str) -> Logs:
    """Called by the supervisor before its first program, after the part that knows how a program begins."""
    logs = Logs(Path(folder), supervisord.options.execve)
    supervisord.options.execve = logs.begin
    # What the supervisor says where its log takes nothing would end it.
    sys.stdout = sys.stderr = LogLines(ERRORS, told)
    for handler in supervisord.options.logger.handlers:
        handler.stream = LogLines(os.dup(handler.stream.fileno()), told)
    events.subscribe(events.Tick5Event, logs.turn)
    return logs
