"""A venue of its stores and a gateway alone: it starts, heals, refuses what it must, and stops with nothing left over."""

import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import psycopg
import pytest
import redis
from prometheus_client import CollectorRegistry, start_http_server
from rich.console import Console

from servers.bot.measures import BotMeasures
from servers.cli import questions
from servers.config import Settings
from servers.embedded import envoy, health, inspection, launch, postgres, processes, valkey
from servers.embedded.addresses import postgres_url, sockets_of, valkey_url
from servers.embedded.errors import StartError
from servers.embedded.plan import Embedding, Listening
from servers.embedded.state import State
from tests.servers import free_port

GATEWAY = """\
admin: {address: {socket_address: {address: 127.0.0.1, port_value: ${ADMIN_PORT}}}}
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: ${GATEWAY_PORT}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: test
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{match: {prefix: /}, direct_response: {status: 200}}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
"""
HEAL_S = 90.0
# Two questions go to a database that is silent.
ASKED_S = 10.0


STARTED: dict[Path, subprocess.Popen[bytes]] = {}


def venue(folder: Path) -> Embedding:
    state = State(folder / "state")
    ports = {
        name: free_port()
        for name in ("VENUE_GATEWAY_PORT", "VENUE_ENVOY_ADMIN_PORT", "VENUE_POSTGRES_PORT", "VENUE_REDIS_PORT")
    }
    return Embedding(
        state=state,
        host="127.0.0.1",
        ports=ports,
        database=postgres_url(state.secret("postgres"), ports["VENUE_POSTGRES_PORT"], sockets=sockets_of(state.pg)),
        redis=valkey_url(state.secret("valkey"), ports["VENUE_REDIS_PORT"]),
        own_postgres=True,
        own_valkey=True,
        envoy_binary=None,
        processes={},
        gateway_url=f"http://127.0.0.1:{ports['VENUE_GATEWAY_PORT']}",
        admin_url="http://127.0.0.1:8090",
    )


def start(embedding: Embedding, folder: Path) -> str:
    """Start it detached. Returns what a person would have seen."""
    template = folder / "envoy.yaml"
    template.write_text(GATEWAY)
    values = {
        "GATEWAY_PORT": embedding.ports["VENUE_GATEWAY_PORT"],
        "ADMIN_PORT": embedding.ports["VENUE_ENVOY_ADMIN_PORT"],
    }
    with (folder / "seen").open("w+") as seen:
        console = Console(file=seen, width=200)
        STARTED[embedding.state.root] = launch.up(
            embedding,
            console,
            lambda: envoy.configure(template, values, embedding.state, None),
            lambda: None,
            detach=True,
        )
        seen.seek(0)
        return seen.read()


def stop(embedding: Embedding) -> bool:
    was_running = launch.down(embedding.state, Console(quiet=True))
    STARTED[embedding.state.root].wait(HEAL_S)
    return was_running


def wait_for(true: Callable[[], bool]) -> None:
    end = time.monotonic() + HEAL_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedding]:
    """One for all tests that leave it running."""
    folder = tmp_path_factory.mktemp("running")
    embedding = venue(folder)
    start(embedding, folder)
    yield embedding
    stop(embedding)


def test_it_starts_says_where_it_is_and_keeps_its_state(tmp_path: Path) -> None:
    embedding = venue(tmp_path)
    seen = start(embedding, tmp_path)
    try:
        assert f"{embedding.gateway_url}/v1" in seen
        assert str(embedding.state.root) in seen
        assert health.answers(f"{embedding.gateway_url}/healthz")
        with psycopg.connect(embedding.database) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        with redis.Redis.from_url(embedding.redis) as client:
            client.set("kept", "1")
        assert set(processes.leftovers(embedding.state)) == {"envoy", "valkey", "postgres"}
    finally:
        assert stop(embedding)
    assert processes.leftovers(embedding.state) == {}
    assert not stop(embedding)

    start(embedding, tmp_path)
    try:
        with psycopg.connect(embedding.database) as connection:
            assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
        with redis.Redis.from_url(embedding.redis, decode_responses=True) as client:
            assert client.get("kept") == "1"
    finally:
        stop(embedding)


def test_postgres_asks_for_the_password_on_its_socket_too(running: Embedding) -> None:
    sockets = sockets_of(running.state.pg)
    if sockets is None:
        pytest.skip(f"no socket fits into {running.state.pg}")
    assert (sockets / f".s.PGSQL.{running.ports['VENUE_POSTGRES_PORT']}").is_socket()
    address = postgres_url("wrong", running.ports["VENUE_POSTGRES_PORT"], sockets=sockets)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(address)


CHECKS: dict[str, Callable[[Embedding], bool]] = {
    "postgres": lambda running: postgres.accepts(running.database),
    "valkey": lambda running: valkey.answers(running.redis),
    "envoy": lambda running: health.answers(f"{running.gateway_url}/healthz"),
}


@pytest.mark.parametrize("name", CHECKS)
def test_a_killed_server_comes_back(running: Embedding, name: str) -> None:
    before = processes.alive(running.state, name)
    assert before is not None
    os.kill(before[0], signal.SIGKILL)
    ready = partial(CHECKS[name], running)

    def healed() -> bool:
        after = processes.alive(running.state, name)
        return after is not None and after[0] != before[0] and ready()

    wait_for(healed)


def states(running: Embedding) -> dict[str, str]:
    """What `venue status` says of each server."""
    ports = {"postgres": "VENUE_POSTGRES_PORT", "valkey": "VENUE_REDIS_PORT", "envoy": "VENUE_GATEWAY_PORT"}
    settings = Settings.model_validate(
        {port.removeprefix("VENUE_").lower(): running.ports[port] for port in ports.values()}
        | {"state_dir": str(running.state.root)}
    )
    asked = questions(settings)
    printed = io.StringIO()
    inspection.show(
        Console(file=printed, width=200), running.state, {name: asked[name] for name in ports}, running.database
    )
    rows = [line.split("│") for line in printed.getvalue().splitlines() if "│" in line]
    return {cells[1].strip(): cells[-2].strip() for cells in rows}


@pytest.mark.parametrize("name", CHECKS)
def test_a_frozen_server_is_not_said_to_be_well(running: Embedding, name: str) -> None:
    """Its port goes on accepting connections."""
    well = dict.fromkeys(CHECKS, "ok")
    wait_for(lambda: states(running) == well)
    known = processes.alive(running.state, name)
    assert known is not None
    os.kill(known[0], signal.SIGSTOP)
    try:
        begun = time.monotonic()
        assert states(running) == well | {name: "down"}
        assert time.monotonic() - begun < ASKED_S
    finally:
        os.kill(known[0], signal.SIGCONT)
    wait_for(lambda: states(running) == well)


def test_state_belongs_to_its_owner_alone(running: Embedding) -> None:
    root = running.state.root
    open_to_others = [
        str(path.relative_to(root))
        for path in [root, *(root / "secrets").iterdir(), root / "supervisor.conf", root / "valkey" / "valkey.conf"]
        if path.stat().st_mode & 0o077
    ]
    assert open_to_others == []


def test_a_running_venue_is_neither_started_twice_nor_wiped(running: Embedding, tmp_path: Path) -> None:
    with pytest.raises(StartError, match="a venue is running"):
        start(running, tmp_path)
    with pytest.raises(StartError, match="a venue is running"):
        running.state.wipe()
    environment = {**os.environ, "VENUE_STATE_DIR": str(running.state.root)}
    reset = subprocess.run(
        [sys.executable, "-m", "servers.cli", "reset"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (reset.returncode, reset.stdout) == (1, "")
    assert "a venue is running" in reset.stderr
    assert running.state.pg.exists()


def test_what_a_killed_supervisor_left_behind_is_ended_by_the_next_start(running: Embedding, tmp_path: Path) -> None:
    before = processes.leftovers(running.state)
    supervisor = running.state.pid("supervisor")
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    STARTED[running.state.root].wait(HEAL_S)
    wait_for(lambda: not running.state.is_locked())
    assert set(processes.leftovers(running.state)) == {"envoy", "postgres", "valkey"}

    seen = start(running, tmp_path)

    assert "left behind" in seen
    after = processes.leftovers(running.state)
    assert set(after) == set(before)
    assert set(after.values()).isdisjoint(before.values())


def test_busy_ports_are_named_with_a_line_to_start_on_free_ones(tmp_path: Path) -> None:
    embedding = venue(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", embedding.ports["VENUE_POSTGRES_PORT"]))
        taken.listen()
        with pytest.raises(StartError) as refused:
            start(embedding, tmp_path)
    busy, _, instead = str(refused.value).splitlines()
    assert busy == f"port {embedding.ports['VENUE_POSTGRES_PORT']} is busy: VENUE_POSTGRES_PORT"
    assert instead.startswith("  VENUE_POSTGRES_PORT=")
    assert instead.endswith(" make up")
    assert not embedding.state.is_locked()


def test_a_server_that_dies_during_the_start_is_named_with_its_log_and_the_rest_is_ended(tmp_path: Path) -> None:
    embedding = venue(tmp_path)
    start(embedding, tmp_path)
    stop(embedding)
    (embedding.state.pg / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(StartError, match="postgres died") as refused:
        start(embedding, tmp_path)
    assert "no_such_setting" in str(refused.value)
    assert processes.leftovers(embedding.state) == {}


def test_a_gateway_configuration_that_envoy_refuses_starts_nothing(tmp_path: Path) -> None:
    embedding = venue(tmp_path)
    template = tmp_path / "wrong.yaml"
    template.write_text("no_such_field: 1\n")

    def configure() -> None:
        envoy.configure(template, {}, embedding.state, None)

    with pytest.raises(StartError, match="no_such_field"):
        launch.up(embedding, Console(quiet=True), configure, lambda: None, detach=True)
    assert processes.leftovers(embedding.state) == {}


def test_a_signal_stops_everything_cleanly(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "VENUE_STATE_DIR": str(tmp_path / "state"),
        **{f"VENUE_{name.upper()}": str(free_port()) for name in Settings.model_fields if name.endswith("_port")},
    }
    command = [sys.executable, "-m", "servers.cli", "up"]
    state = State(tmp_path / "state")
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        output: list[bytes] = []
        reader = threading.Thread(target=output.extend, args=[process.stdout])
        reader.start()
        wait_for(lambda: processes.alive(state, "postgres") is not None)
        process.send_signal(signal.SIGINT)
        process.wait(HEAL_S)
        reader.join()
    assert processes.leftovers(state) == {}
    assert not state.is_locked()
    assert b"Traceback" not in b"".join(output)


class Living(launch.Watch):
    """Of a process that does not die."""

    def __init__(self) -> None:
        self.stopping = lambda: False

    def died(self, name: str) -> bool:
        return False


def test_a_start_waits_for_the_market_makers_quotes_and_names_books_that_have_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = CollectorRegistry()
    measures = BotMeasures(["BTC-USD", "ETH-USD"], registry)
    page, _ = start_http_server(0, "127.0.0.1", registry)
    port = page.server_port
    embedding = replace(venue(tmp_path), processes={"bot": Listening(None, port)})

    def seen() -> str:
        with (tmp_path / "seen").open("w+") as written:
            launch.await_quotes(Console(file=written, width=200), embedding, Living())
            written.seek(0)
            return written.read()

    try:
        assert health.quotes("127.0.0.1", port) == (False, ["BTC-USD", "ETH-USD"])
        monkeypatch.setattr(launch, "QUOTES_S", 0.2)
        assert "none in BTC-USD, ETH-USD: see " in seen()
        monkeypatch.undo()
        # A market that refused them all is not waited for, another one is.
        measures.turned("ETH-USD", 0)
        threading.Timer(0.3, measures.turned, ["BTC-USD", 12]).start()
        assert "none in ETH-USD: see " in seen()
        measures.turned("ETH-USD", 12)
        assert "none in" not in seen()
    finally:
        page.shutdown()
        page.server_close()
    assert health.quotes("127.0.0.1", port) == (False, [])
