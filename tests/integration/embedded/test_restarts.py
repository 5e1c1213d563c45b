"""A real supervisor and a program that is killed or cannot start: how soon it is there again."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar

import pytest
from supervisor import events  # type: ignore[import-untyped]
from supervisor.medusa import asyncore_25 as asyncore  # type: ignore[import-untyped]
from supervisor.process import Subprocess  # type: ignore[import-untyped]
from supervisor.states import ProcessStates  # type: ignore[import-untyped]

from servers.embedded import restarts, supervisor
from servers.embedded.plan import STORES, Program
from servers.embedded.state import State
from servers.embedded.supervisor import Control

WAIT_S = 30.0
# The supervisor's turns are a second apart: it sees an end at one, and begins the program at the next.
TURN_S = 1.0
# One of them finds the machine at leisure.
KILLS = 3
PROGRAM = "import os, pathlib, signal, sys; pathlib.Path(sys.argv[1]).write_text(f'{os.getpid()} '); signal.pause()"

T = TypeVar("T")


def until(ask: Callable[[], T | None]) -> T:
    end_s = time.monotonic() + WAIT_S
    while not (got := ask()):
        assert time.monotonic() < end_s
        time.sleep(0.01)
    return got


def another(folder: Path, than: int) -> int:
    """The program's process when that is another one. The supervisor is not asked: a question wakes it."""

    def found() -> int | None:
        path = folder / "pid"
        said = path.read_text() if path.exists() else ""
        return int(said) if said.endswith(" ") and int(said) != than else None

    return until(found)


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["subprocess.Popen[bytes]"]:
    """The venue's supervisor, of one program, which is well at once."""
    monkeypatch.setattr(supervisor, "STAYS_UP_S", "0")
    state = State(tmp_path / "state")
    state.create()
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "pid")]
    lock = state.lock()
    made = supervisor.start(
        state, [Program(name="sample", command=command, priority=STORES, port=None, ready=lambda: True)], lock
    )
    os.close(lock)
    yield made
    made.terminate()
    try:
        assert made.wait(WAIT_S) == 0
    finally:
        made.kill()


def away_s(folder: Path) -> float:
    """How long a killed program is away at the least."""
    least_s = WAIT_S
    for _ in range(KILLS):
        pid = another(folder, 0)
        begun_s = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        another(folder, pid)
        least_s = min(least_s, time.monotonic() - begun_s)
    return least_s


@pytest.mark.usefixtures("running")
def test_a_killed_program_is_begun_again_before_the_supervisors_turn(tmp_path: Path) -> None:
    assert away_s(tmp_path) < TURN_S


def test_a_supervisor_that_begins_anew_still_sees_an_end_at_once(
    tmp_path: Path, running: "subprocess.Popen[bytes]"
) -> None:
    pid = another(tmp_path, 0)
    running.send_signal(signal.SIGHUP)
    another(tmp_path, pid)
    assert away_s(tmp_path) < TURN_S
    with closing(Control(State(tmp_path / "state"))) as control:
        assert until(control.is_up)


class Options:
    mood = 1

    def __init__(self) -> None:
        self.execve: Callable[[str, Sequence[str], Mapping[str, str]], object] = lambda filename, *_: filename


class Supervisor:
    def __init__(self, child: "subprocess.Popen[bytes]") -> None:
        self.options: restarts.Options = Options()
        self.child = child

    def reap(self) -> object:
        return self.child.wait(WAIT_S)


@pytest.fixture
def listening() -> Iterator[None]:
    """As the supervisor prepares itself, and nothing of it afterwards."""
    handler = signal.signal(signal.SIGCHLD, lambda *_: None)
    files = dict(asyncore.socket_map)
    yield
    signal.signal(signal.SIGCHLD, handler)
    signal.set_wakeup_fd(-1)
    events.clear()
    asyncore.socket_map.clear()
    asyncore.socket_map.update(files)


@pytest.fixture
def child() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as made:
        yield made


@pytest.mark.usefixtures("listening")
def test_an_end_is_something_to_be_read_once(child: "subprocess.Popen[bytes]") -> None:
    supervisord = Supervisor(child)
    restarts.make(supervisord)
    ((reader, entry),) = asyncore.socket_map.items()
    assert (entry.readable(), entry.writable(), select.select([reader], [], [], 0)[0]) == (True, False, [])
    child.kill()
    assert select.select([reader], [], [], WAIT_S)[0] == [reader]
    entry.handle_read_event()
    assert child.returncode == -signal.SIGKILL
    assert select.select([reader], [], [], 0)[0] == []
    # A child of its own has nobody to wake.
    assert (supervisord.options.execve("/bin/true", [], {}), signal.set_wakeup_fd(-1)) == ("/bin/true", -1)


@pytest.mark.usefixtures("listening")
def test_a_program_that_cannot_start_is_tried_every_ten_seconds_for_good(child: "subprocess.Popen[bytes]") -> None:
    restarts.make(Supervisor(child))
    process, waits_s = Subprocess(SimpleNamespace(name="sample")), []
    for _ in range(supervisor.RETRIES + 1):
        process.change_state(ProcessStates.STARTING)
        now = time.time()
        process.change_state(ProcessStates.BACKOFF)
        waits_s.append(int(process.delay - now))
    assert waits_s == [*range(1, 10), *[10] * (supervisor.RETRIES - 8)]
    # Above it the supervisor gives up.
    assert process.backoff <= supervisor.RETRIES
