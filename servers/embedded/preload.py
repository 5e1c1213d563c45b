"""A part of the supervisor: it loads the servers' code once, and begins each of them as a copy of itself.

A third of a second start went into six processes that each read the same thousand modules; a copy has them at once, shares
their memory, and serves again that much sooner after a death. Supervisor calls `make` when it starts (its documented way to
be extended), with the options of its configuration's section.

A copy is taken before anything but code is there: no connection, no thread, no gRPC. Where a loaded file has changed since,
or the code is not loaded yet, or the system's libraries do not bear a copy (macOS), the program is begun from its file, as
any other.
"""

import gc
import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import NoReturn, Protocol, cast

import setproctitle

from servers import native

NICE = "nice"


class Options(Protocol):
    """What is used of the supervisor's options: how a child, already apart and with its own files, becomes its program."""

    execve: Callable[[str, Sequence[str], Mapping[str, str]], object]


class Supervisor(Protocol):
    options: Options


class Entry(Protocol):
    """The module that `python -m` would run: `load` imports what its programs need, `run` is one of them."""

    def load(self) -> None: ...

    def run(self, names: Sequence[str]) -> None: ...


class Preload:
    """The supervisor's call `preload.done()`; programs are begun as copies from then on."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._files: dict[str, tuple[int, int]] = {}
        self._loading = threading.Thread(target=self.load, name="preload", daemon=True)

    def begin(self) -> None:
        """Load in a thread: the stores come up meanwhile."""
        self._loading.start()

    def load(self) -> None:
        """Whatever this raises is in the supervisor's log; programs are begun from their file then, and say it again."""
        entry = cast("Entry", importlib.import_module(self._module))
        entry.load()
        gc.collect()
        # Copies share what no collection touches.
        gc.freeze()
        self._files = {path: found for path in loaded_files() if (found := state_of(path)) is not None}

    def done(self) -> bool:
        """Whether loading has ended.

        @return boolean  true, also where it failed and programs are begun from their file
        """
        return not self._loading.is_alive()

    def named(self, command: Sequence[str]) -> tuple[int, list[str]] | None:
        """The steps a command gives way, and its programs' names; None where it is another program."""
        words, steps = list(command), 0
        if len(words) > 3 and Path(words[0]).name == NICE:
            steps, words = int(words[2]), words[3:]
        return (steps, words[3:]) if words[:3] == [sys.executable, "-m", self._module] else None

    def is_fresh(self) -> bool:
        """Whether every loaded file is the one on disk."""
        return bool(self._files) and all(state_of(path) == known for path, known in self._files.items())

    def become(self, filename: str, command: Sequence[str], environment: Mapping[str, str]) -> object:
        """In the child: never returns, as `os.execve`, which it takes the place of. Raises OSError as that does."""
        found = self.named(command)
        if found is None or not self.is_fresh():
            return os.execve(filename, list(command), dict(environment))  # noqa: S606  nosec B606  it is what the supervisor does
        steps, names = found
        return copied(cast("Entry", sys.modules[self._module]), steps, names, command, environment)


def make(supervisord: Supervisor, module: str) -> Preload:
    """Called by the supervisor before its first program; `module` is what `python -m` would run."""
    preload = Preload(module)
    if sys.platform == "linux":
        # Finds where the kernel keeps our name, which it can only while the environment is as it was.
        setproctitle.getproctitle()
        preload.begin()
        supervisord.options.execve = preload.become
    return preload


def copied(
    entry: Entry, steps: int, names: Sequence[str], command: Sequence[str], environment: Mapping[str, str]
) -> NoReturn:
    """Run the program as if it had been begun from its file, and end the process with its exit code.

    The supervisor's own objects stay where they are below us on the stack, so none of them closes a file that is ours by now.
    """
    for number in signal.valid_signals():
        # Some cannot be had at all, and SIGINT is an exception in Python.
        with suppress(OSError, ValueError):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    # As a started Python has it: a peer that is gone is an error of the write, and not the end.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    os.environ.clear()
    os.environ.update(environment)
    os.nice(steps)
    setproctitle.setproctitle(" ".join(command))
    code = 1
    try:
        entry.run(names)
        code = 0
    except SystemExit as end:
        code = exit_code(end)
    finally:
        error = sys.exception()
        if error is not None:
            traceback.print_exception(error)
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def exit_code(end: SystemExit) -> int:
    """As Python ends: a number is the code, nothing is success, anything else is said and means failure."""
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    sys.stderr.write(f"{end.code}\n")
    return 1


def loaded_files() -> list[str]:
    """The files of what is loaded, and the source of what was compiled: where that changed, the compiled is of another source."""
    files = [file for module in list(sys.modules.values()) if (file := file_of(module)) is not None]
    return files + [str(path) for path in native.sources()]


def file_of(module: ModuleType) -> str | None:
    file = getattr(module, "__file__", None)
    return file if isinstance(file, str) else None


def state_of(path: str) -> tuple[int, int] | None:
    """When a file was written and how long it is; None where it is gone."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
