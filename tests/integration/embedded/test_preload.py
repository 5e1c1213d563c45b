"""Programs as copies of the supervisor that loaded their code: a real supervisor, and a module that shows what it is run in."""

import configparser
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from servers.embedded.state import State
from servers.embedded.supervisor import Control

SAMPLE = """
import os, signal, sys, time
from pathlib import Path

LOADED_IN = os.getpid()
OUT = Path(__file__).parent / "shown"


def load():
    pass


def run(names):
    told = {"fail": lambda: sys.exit("cannot serve"), "raise": lambda: 1 / 0}.get(names[0])
    if told:
        told()
    defaults = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    OUT.with_suffix(".new").write_text(
        f"{LOADED_IN == os.getpid()} {names} {os.nice(0)} {os.environ['GIVEN']} {defaults} {os.getpid()}"
    )
    OUT.with_suffix(".new").rename(OUT)
    time.sleep(600)


if __name__ == "__main__":
    run(sys.argv[1:])
"""
WAIT_S = 60.0
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="programs are begun from their files here")


T = TypeVar("T")


def until(ask: Callable[[], T | None]) -> T:
    end_s = time.monotonic() + WAIT_S
    while (got := ask()) is None:
        assert time.monotonic() < end_s
        time.sleep(0.02)
    return got


@contextmanager
def supervising(folder: Path, names: list[str]) -> Iterator[Control]:
    """A supervisor with the preload part on the sample module, and a program for each name."""
    (folder / "sample.py").write_text(SAMPLE)
    state = State(folder / "state")
    state.create()
    settings = configparser.RawConfigParser()
    socket = state.root / "run" / "supervisor.sock"
    files = {"logfile": str(folder / "log"), "pidfile": str(folder / "pid")}
    settings["supervisord"] = {"nodaemon": "true", "silent": "true", **files}
    settings["unix_http_server"] = {"file": str(socket)}
    settings["rpcinterface:supervisor"] = {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    }
    settings["rpcinterface:preload"] = {
        "supervisor.rpcinterface_factory": "servers.embedded.preload:make",
        "module": "sample",
    }
    for name in names:
        settings[f"program:{name}"] = {
            "command": f"/usr/bin/env {sys.executable} -m sample {name}"
            if name == "other"
            else f"nice -n 3 {sys.executable} -m sample {name}",
            "autostart": "false",
            "autorestart": "true" if name == "server" else "false",
            "startsecs": "0",
            "redirect_stderr": "true",
            "stdout_logfile": str(folder / f"{name}.log"),
            "environment": 'GIVEN="yes"',
        }
    with (folder / "conf").open("w") as file:
        settings.write(file)
    running = subprocess.Popen(
        [sys.executable, "-m", "supervisor.supervisord", "-c", str(folder / "conf")],
        env={**os.environ, "PYTHONPATH": str(folder)},
        stdin=subprocess.DEVNULL,
    )
    control = Control(state)
    try:
        until(lambda: control.is_up() or None)
        until(lambda: control.is_loaded() or None)
        yield control
    finally:
        control.close()
        running.terminate()
        running.wait(WAIT_S)


def shown(folder: Path) -> list[str]:
    """What the program says of itself, once."""
    path = folder / "shown"
    said = until(lambda: path.read_text() if path.exists() else None)
    path.unlink()
    return said.rsplit(" ", 4)


def test_a_program_is_a_copy_that_looks_as_if_it_had_been_begun_from_its_file(tmp_path: Path) -> None:
    with supervising(tmp_path, ["server"]) as control:
        control.start("server")
        named, nice, given, defaults, pid = shown(tmp_path)
        assert (named, nice, given, defaults) == ("False ['server']", "3", "yes", "True")
        assert Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").endswith(b"-m sample server")
        # After a death too.
        os.kill(int(pid), 9)
        assert shown(tmp_path)[0] == "False ['server']"


def test_changed_code_is_read_again(tmp_path: Path) -> None:
    with supervising(tmp_path, ["server"]) as control:
        control.start("server")
        pid = shown(tmp_path)[-1]
        (tmp_path / "sample.py").write_text(SAMPLE + "# a new version\n")
        os.kill(int(pid), 9)
        named, nice, given, defaults, _ = shown(tmp_path)
        assert (named, nice, given, defaults) == ("True ['server']", "3", "yes", "True")


def test_another_program_is_begun_from_its_file(tmp_path: Path) -> None:
    with supervising(tmp_path, ["other"]) as control:
        control.start("other")
        assert shown(tmp_path)[:2] == ["True ['other']", str(os.nice(0))]


@pytest.mark.parametrize(("name", "last"), [("fail", "cannot serve"), ("raise", "ZeroDivisionError: division by zero")])
def test_an_end_is_said_and_means_failure(tmp_path: Path, name: str, last: str) -> None:
    with supervising(tmp_path, [name]) as control:
        control.start(name)
        until(lambda: control.state(name).state == "EXITED" or None)
        found = control.server.supervisor.getProcessInfo(name)
        assert isinstance(found, dict)
        assert found["exitstatus"] == 1
        assert until(lambda: (tmp_path / f"{name}.log").read_text() or None).splitlines()[-1] == last
