"""Fixtures that are real servers: one PostgreSQL and one Valkey a test run, a fresh state of them a test."""

import importlib
import importlib.util
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import psycopg
import pytest
import redis
from psycopg import sql

from servers.config import Settings
from servers.embedded import postgres as embedded_postgres
from servers.embedded import valkey as embedded_valkey
from servers.embedded.addresses import postgres_url, valkey_url

READY_S = 20.0
MIGRATED = "migrated"
# A test's server survives killed processes, which is what tests kill; it need not survive the machine.
IN_A_HURRY = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "200",
    "max_wal_size": "512MB",
    # A client that is cancelled while it logs in may keep its end open, and DROP DATABASE waits for every log-in.
    "authentication_timeout": "2s",
}


GIVEN: Final[set[int]] = set()


def free_port() -> int:
    """A port that nobody listens on, chosen by the kernel, and that this process was not given before."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in GIVEN:
            GIVEN.add(port)
            return port


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Raises AssertionError with the end of the log where the server ends or stays silent."""
    end = time.monotonic() + READY_S
    while not ready():
        assert process.poll() is None, log.read_text()[-2000:]
        assert time.monotonic() < end, log.read_text()[-2000:]
        time.sleep(0.02)


def forget_the_price_of_guesses(address: str, password: str) -> None:
    """A log-in costs 3 ms that make a stolen verifier hard to guess from; tests log in by the ten thousand."""
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("SET scram_iterations = 1")
        statement = sql.SQL("ALTER ROLE CURRENT_USER PASSWORD {}")
        connection.execute(statement.format(sql.Literal(password)))


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a PostgreSQL server of this run (its database `postgres`)."""
    folder = tmp_path_factory.mktemp("postgres")
    password, port = secrets.token_urlsafe(16), free_port()
    embedded_postgres.initialize(folder / "pg", password)
    command = embedded_postgres.command(folder / "pg", port, folder / "postgres.pid", IN_A_HURRY)
    log = folder / "postgres.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    address = postgres_url(password, port, "postgres")
    try:
        wait_until(lambda: embedded_postgres.accepts(address), process, log)
        forget_the_price_of_guesses(address, password)
        yield address
    finally:
        process.send_signal(2)
        process.wait(READY_S)


@pytest.fixture(scope="session")
def migrated_template(postgres: str) -> str:
    """The name of a database in which every migration has run; nobody stays connected to it."""
    embedded_postgres.create_database(postgres, MIGRATED)
    if importlib.util.find_spec("db.migrate") is not None:
        importlib.import_module("db.migrate").migrate(f"{postgres.rpartition('/')[0]}/{MIGRATED}")
    return MIGRATED


@pytest.fixture
def empty_database_url(postgres: str) -> Iterator[str]:
    """A new database without a table, dropped after the test."""
    name = f"test_{secrets.token_hex(6)}"
    embedded_postgres.create_database(postgres, name)
    yield f"{postgres.rpartition('/')[0]}/{name}"
    embedded_postgres.drop_database(postgres, name)


@pytest.fixture
def database_url(postgres: str, migrated_template: str) -> Iterator[str]:
    """A new migrated database (`postgresql://...`), dropped after the test with whoever is still connected."""
    name = f"test_{secrets.token_hex(6)}"
    embedded_postgres.create_database(postgres, name, migrated_template)
    yield f"{postgres.rpartition('/')[0]}/{name}"
    embedded_postgres.drop_database(postgres, name)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Valkey server of this run."""
    folder = tmp_path_factory.mktemp("valkey")
    password, port = secrets.token_urlsafe(16), free_port()
    configuration = embedded_valkey.configure(folder, port, password, folder / "valkey.pid")
    log = folder / "valkey.log"
    with log.open("wb") as output:
        process = subprocess.Popen(embedded_valkey.command(configuration), stdout=output, stderr=subprocess.STDOUT)
    address = valkey_url(password, port)
    try:
        wait_until(lambda: embedded_valkey.answers(address), process, log)
        yield address
    finally:
        process.terminate()
        process.wait(READY_S)


@pytest.fixture
def redis_url(valkey: str) -> str:
    """The address of a Valkey without a key."""
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
    return valkey


@pytest.fixture(scope="session")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A whole venue of this run, every process behind its gateway, on free ports. Yields its settings.

    Its users and accounts are shared by all tests that ask for it; their logins lie in `state.logins`.
    """
    folder = tmp_path_factory.mktemp("venue")
    names = [name for name in Settings.model_fields if name.endswith("_port")]
    values = {"state_dir": str(folder / "state")} | {name: str(free_port()) for name in names}
    environment = {**os.environ, **{f"VENUE_{name.upper()}": value for name, value in values.items()}}
    command = [sys.executable, "-m", "servers.cli"]
    started = subprocess.run([*command, "up", "--detach"], env=environment, capture_output=True, text=True, check=False)
    assert started.returncode == 0, started.stdout + started.stderr
    yield Settings.model_validate(values)
    stopped = subprocess.run([*command, "down"], env=environment, capture_output=True, text=True, check=False)
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
