"""A process serves until it is told to stop, drains, and leaves no pid file; what fails in it ends it loudly."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from servers.config import BadSettingsError, Settings
from servers.embedded.state import State
from tests.servers import free_port

SCRIPT = """
import asyncio, gc, sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
import grpc
from servers.main import Process, run
from servers.transport.wakeups import End

@asynccontextmanager
async def serving(process: Process) -> AsyncIterator[None]:
    async def work() -> None:
        if "fail" in sys.argv:
            raise ConnectionError("the database is gone")
        await asyncio.sleep(3600)
    process.tasks.create_task(work())
    if "slow" in sys.argv:
        print("starting", flush=True)
        await asyncio.sleep(3600)
    if "grpc" in sys.argv:
        server = grpc.aio.server()
        assert sum(isinstance(thing, End) for thing in gc.get_objects()) == 2
    print("serving", flush=True)
    try:
        yield
    finally:
        await asyncio.sleep(0.01)
        if "unheard" not in sys.argv:
            print("drained", flush=True)

run(["order"], {"order": serving})
"""


@contextmanager
def process(state: State, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    environment = {
        **os.environ,
        "VENUE_STATE_DIR": str(state.root),
        "VENUE_ORDER_METRICS_PORT": str(free_port()),
    }
    command = [sys.executable, "-c", SCRIPT, *arguments]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as made:
        try:
            yield made
        finally:
            made.kill()


def read_until(made: "subprocess.Popen[str]", word: str) -> None:
    assert made.stdout is not None
    lines = []
    for line in made.stdout:
        lines.append(line)
        if line.strip() == word:
            return
    raise AssertionError("".join(lines))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_ends_it_with_success(tmp_path: Path, number: signal.Signals) -> None:
    state = State(tmp_path)
    with process(state) as made:
        read_until(made, "serving")
        assert state.pid("order") == made.pid
        made.send_signal(number)
        read_until(made, "drained")
        assert made.wait(60) == 0
    assert state.pid("order") is None


def test_a_signal_ends_one_whose_log_nobody_reads_any_more(tmp_path: Path) -> None:
    """As one that lost its supervisor: what it says ends in a closed pipe."""
    with process(State(tmp_path), "unheard") as made:
        read_until(made, "serving")
        assert made.stdout is not None
        made.stdout.close()
        made.terminate()
        assert made.wait(60) == 0


def test_grpc_wakes_the_loop_through_our_pipe(tmp_path: Path) -> None:
    with process(State(tmp_path), "grpc") as made:
        read_until(made, "serving")
        made.terminate()
        assert made.wait(60) == 0


def test_a_signal_during_the_start_ends_it_with_success(tmp_path: Path) -> None:
    state = State(tmp_path)
    with process(state, "slow") as made:
        read_until(made, "starting")
        made.terminate()
        assert made.wait(60) == 0
    assert state.pid("order") is None


def test_a_task_that_fails_drains_and_ends_it_with_failure(tmp_path: Path) -> None:
    state = State(tmp_path)
    with process(state, "fail") as made:
        output, _ = made.communicate(timeout=60)
    assert made.returncode == 1
    assert "drained" in output
    assert "the database is gone" in output
    assert state.pid("order") is None


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("VENUE_ORDER_PORT", "http", "VENUE_ORDER_PORT: Input should be a valid integer"),
        ("VENUE_ORDER_PORT", "70000", "VENUE_ORDER_PORT: Input should be less than or equal to 65535"),
        ("VENUE_PARTITIONS", "{", "VENUE_PARTITIONS: Input should be JSON"),
        ("VENUE_PARTITIONS", '{"1": "PAPER"}', "VENUE_PARTITIONS[1]: Input should be 'LIVE' or 'DEMO'"),
        ("VENUE_LEASE_S", "-1", "VENUE_LEASE_S: Input should be greater than 0"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, line: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSettingsError) as refused:
        Settings.load()
    assert str(refused.value).splitlines() == [str(refused.value)]
    assert str(refused.value).startswith(line)


def test_ops7_a_secret_is_made_once_and_closed_to_others(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    first = state.secret("pepper")
    assert state.secret("pepper") == first
    assert State(tmp_path / "other").secret("pepper") != first
    assert (tmp_path / "state" / "secrets" / "pepper").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_is_no_state_folder_is_not_wiped(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    reset = subprocess.run(
        [sys.executable, "-m", "servers.cli", "reset", "--yes"],
        env={**os.environ, "VENUE_STATE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (reset.returncode, reset.stdout) == (1, "")
    assert (tmp_path / "thesis.txt").exists()
