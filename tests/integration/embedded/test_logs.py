"""Logs that nobody can write: the supervisor and its programs go on, and say later what is missing."""

import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from servers.embedded import logs, supervisor
from servers.embedded.logs import Logs
from servers.embedded.plan import STORES, Program
from servers.embedded.state import State
from servers.embedded.supervisor import Control

WAIT_S = 30.0
# A log that is longer than a process may make a file takes no more, as on a full disk.
LONG = b"x" * 99_999 + b"\n"
SHORTER = 50_000


def until(true: Callable[[], bool]) -> None:
    end_s = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < end_s
        time.sleep(0.05)


def program(name: str, script: str) -> Program:
    return Program(name=name, command=["/bin/sh", "-c", script], priority=STORES, port=None, ready=lambda: True)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[State, "subprocess.Popen[bytes]", Control]]:
    """A supervisor of one program that talks and one that dies at once, with logs of some length."""
    state = State(tmp_path)
    state.create()
    for name in ("supervisor", "talking", "dying"):
        state.log(name).write_bytes(LONG)
    talking = program("talking", "while :; do echo talking; sleep 0.1; done")
    lock = state.lock()
    made = supervisor.start(state, [talking, program("dying", "echo dying; exit 1")], lock)
    os.close(lock)
    with closing(Control(state)) as control:
        until(control.is_up)
        until(lambda: control.state("talking").pid != 0)
        pid = control.state("talking").pid
        yield state, made, control
    if made.poll() is None:
        made.terminate()
    made.wait(WAIT_S)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def begun_at_s(control: Control, name: str) -> int:
    """When a program was begun last; of one that dies at once the supervisor says it for longer than its process."""
    found = control.server.supervisor.getProcessInfo(name)
    assert isinstance(found, dict)
    return int(found["start"])


def limit_files(size: int, *pids: int) -> None:
    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_logs_that_take_nothing_end_neither_the_supervisor_nor_a_program(
    running: tuple[State, "subprocess.Popen[bytes]", Control],
) -> None:
    state, made, control = running
    talking = control.state("talking").pid
    limit_files(SHORTER, made.pid, talking)
    sizes = [state.log(name).stat().st_size for name in ("supervisor", "talking")]
    # It is begun again, which the supervisor cannot write down.
    before_s = begun_at_s(control, "dying")
    until(lambda: begun_at_s(control, "dying") > before_s)
    assert made.poll() is None
    assert [state.log(name).stat().st_size for name in ("supervisor", "talking")] == sizes

    limit_files(resource.RLIM_INFINITY, made.pid, talking)
    until(lambda: b" log lines lost\n" in state.log("supervisor").read_bytes())
    until(lambda: state.log("talking").stat().st_size > sizes[1])
    assert control.state("talking").pid == talking


def test_a_program_goes_on_writing_its_log_when_its_supervisor_is_gone(
    running: tuple[State, "subprocess.Popen[bytes]", Control],
) -> None:
    state, made, _ = running
    until(lambda: state.log("talking").read_bytes().endswith(b"talking\n"))
    assert state.log("dying").read_bytes().startswith(LONG + b"dying\n")
    made.kill()
    made.wait(WAIT_S)
    size = state.log("talking").stat().st_size
    until(lambda: state.log("talking").stat().st_size > size)


def logs_in(folder: Path) -> Logs:
    return Logs(folder, lambda *_: None)


def test_a_long_log_is_turned_over_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "SIZE_MAX", 10)
    kept, path = logs_in(tmp_path), tmp_path / "order.log"
    with path.open("ab", buffering=0) as written:
        for line in (b"the first\n", b"the second\n", b"the third\n", b"short\n"):
            written.write(line)
            kept.turn()
    found = {each.name: each.read_text() for each in tmp_path.iterdir()}
    assert found == {"order.log": "short\n", "order.log.1": "the third\n", "order.log.2": "the second\n"}
    assert not (tmp_path / "order.log.1").stat().st_mode & 0o077


def test_a_log_for_whose_copy_there_is_no_room_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "SIZE_MAX", 10)
    kept, path = logs_in(tmp_path), tmp_path / "order.log"
    path.write_text("the third\n")
    (tmp_path / "order.log.1").write_text("the second\n")
    (tmp_path / "order.log.2").write_text("the first\n")

    def fill(_source: Path, to: Path) -> None:
        to.write_text("the th")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(shutil, "copyfile", fill)
        kept.turn()
        kept.turn()
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {
        "order.log": "the third\n",
        "order.log.1": "the second\n",
        "order.log.2": "the first\n",
    }
    kept.turn()
    assert {name: (tmp_path / f"order.log{name}").read_text() for name in ("", ".1", ".2")} == {
        "": "",
        ".1": "the third\n",
        ".2": "the second\n",
    }
