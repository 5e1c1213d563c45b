"""What `venue up` is asked to run, as values: the settings it needs and the programs that follow from them."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from servers.embedded import envoy, health, postgres, valkey
from servers.embedded.addresses import beside
from servers.embedded.certificates import Certificate
from servers.embedded.state import State
from servers.transport.papers import Papers


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """The values behind a start. `ports` maps a variable's name to its port, for every port that will be listened on."""

    state: State
    host: str
    ports: dict[str, int]
    database: str
    redis: str
    own_postgres: bool
    own_valkey: bool
    envoy_binary: Path | None
    processes: dict[str, "Listening"]
    gateway_url: str
    admin_url: str
    # The gateway's certificate, and what health checks show the servers; None where they speak plainly.
    trust: Certificate | None = None
    papers: Papers | None = None


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a process of ours serves: its gRPC port, if it has one, and its metrics port."""

    port: int | None
    metrics_port: int
    environment: dict[str, str] = field(default_factory=dict)


def kind(name: str) -> str:
    """What runs in a process: the second one of a kind is `marketdata-2`."""
    return name.partition("-")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One supervised process. Lower priorities start earlier and stop later."""

    name: str
    command: list[str]
    priority: int
    port: int | None
    ready: Callable[[], bool]
    stop_signal: str = "TERM"
    stop_wait_s: int = 10
    environment: dict[str, str] = field(default_factory=dict)


STORES = 10
# What `python -m` runs for a process of ours.
MODULE = "servers.main"
# The replica stops last, so that the tables have all that the order process did.
PRIORITIES = {"replica": 15, "order": 20, "marketdata": 30, "api": 30, "bot": 50, "feed": 50, "notify": 50}
# What follows the order path gives way to it where cores are short, by so many steps of niceness; it catches up from the journal.
# The replica, which does most, gives way most; more than ten steps win orders nothing further.
FOLLOWING = {"replica": 10, "marketdata": 5, "feed": 5, "notify": 5}


def stores(embedding: Embedding) -> list[Program]:
    """The embedded servers that keep state; none of those that were given by address."""
    state, made = embedding.state, []
    if embedding.own_postgres:
        port = embedding.ports["VENUE_POSTGRES_PORT"]
        # The database every cluster has: ours is made once the server is up.
        address = beside(embedding.database, "postgres")
        made.append(
            Program(
                name="postgres",
                command=postgres.command(state.pg, port, state.pid_file("postgres"), {"shared_buffers": "256MB"}),
                priority=STORES,
                port=port,
                ready=partial(postgres.accepts, address),
                # Fast shutdown: a TERM would wait for clients that hold their connections for ever.
                stop_signal="INT",
                stop_wait_s=30,
            )
        )
    if embedding.own_valkey:
        port = embedding.ports["VENUE_REDIS_PORT"]
        made.append(
            Program(
                name="valkey",
                command=valkey.command(state.valkey / "valkey.conf"),
                priority=STORES,
                port=port,
                ready=partial(valkey.answers, embedding.redis),
            )
        )
    return made


def yielding(name: str) -> list[str]:
    """What stands before a process's command so that it gives way, nothing for one that must not."""
    steps = FOLLOWING.get(kind(name))
    nice = shutil.which("nice") if steps else None
    return [nice, "-n", str(steps)] if nice else []


def servers(embedding: Embedding) -> list[Program]:
    """Our own processes and the gateway before them."""
    made = [
        Program(
            name=name,
            command=[*yielding(name), sys.executable, "-m", MODULE, kind(name)],
            priority=PRIORITIES[kind(name)],
            port=at.port,
            ready=partial(health.serving, embedding.host, at.port, embedding.papers)
            if at.port is not None
            else partial(health.listening, embedding.host, at.metrics_port),
            environment={"VENUE_STATE_DIR": str(embedding.state.root), "PYTHONUNBUFFERED": "1", **at.environment},
        )
        for name, at in embedding.processes.items()
    ]
    gateway = Program(
        name="envoy",
        command=envoy.command(embedding.envoy_binary, embedding.state),
        priority=40,
        port=embedding.ports["VENUE_GATEWAY_PORT"],
        ready=partial(health.answers, f"{embedding.gateway_url}/healthz", embedding.trust),
    )
    return [*made, gateway]
