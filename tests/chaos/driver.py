"""A venue of real processes that the driver starts, kills and starts again; every child is its own."""

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from db.migrate import migrate
from servers.embedded import postgres as embedded_postgres
from servers.embedded import valkey as embedded_valkey
from servers.embedded.addresses import postgres_url, valkey_url
from tests import nursery
from tests.nursery import Running
from tests.servers import IN_A_HURRY, free_port

READY_S: Final = 60.0
PROCESSES: Final = ("api", "order", "replica")
# What partition 3 lists, beside the first of its environment.
FAR_MARKET: Final = "SOL-USD"
DATABASE: Final = "venue"


class Child:
    """A process, started as often as needed."""

    def __init__(self, name: str, log: Path, begin: Callable[[IO[bytes]], Running]) -> None:
        self.name = name
        self.log = log
        self._begin = begin
        self._running: Running | None = None

    @property
    def pid(self) -> int:
        assert self._running is not None
        return self._running.pid

    @property
    def runs(self) -> bool:
        return self._running is not None and self._running.poll() is None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Inside, it stands still; nobody is told, as it is not gone."""
        assert self._running is not None
        self._running.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._running.send_signal(signal.SIGCONT)

    def start(self) -> None:
        assert not self.runs
        with self.log.open("ab") as output:
            self._running = self._begin(output)

    def end(self, number: signal.Signals) -> None:
        """Send a signal, and wait until it is gone."""
        if self._running is not None:
            self._running.send_signal(number)
            self._running.wait(READY_S)

    def wait(self) -> None:
        """Until it has ended by itself."""
        assert self._running is not None
        self._running.wait(READY_S)

    def told(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-3000:]


def program(command: Callable[[], list[str]]) -> Callable[[IO[bytes]], Running]:
    """Begins a server that is not ours."""
    return lambda output: subprocess.Popen(command(), stdout=output, stderr=subprocess.STDOUT)


class Venue:
    """PostgreSQL, Valkey and the processes api, order and replica, on ports of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._password = secrets.token_urlsafe(16)
        self._postgres_port, self._valkey_port = free_port(), free_port()
        self.database_url = postgres_url(self._password, self._postgres_port, DATABASE)
        self.redis_url = valkey_url(self._password, self._valkey_port)
        self.ports = {name: free_port() for name in PROCESSES}
        self.postgres = Child("postgres", folder / "postgres.log", program(self._postgres_command))
        self.valkey = Child("valkey", folder / "valkey.log", program(self._valkey_command))
        self.processes = {name: self.process(name, folder / f"{name}.log", self.ports) for name in PROCESSES}
        self.record = folder / "record.jsonl"

    @property
    def state(self) -> Path:
        """The folder that the processes share."""
        return self._folder / "state"

    def crash_points(self, name: str) -> Path:
        """The file that tells a process, when it starts, where to end itself: `NAME COUNT`."""
        return self._folder / f"{name}.crash"

    @property
    def order(self) -> Child:
        return self.processes["order"]

    @property
    def replica(self) -> Child:
        return self.processes["replica"]

    def process(self, name: str, log: Path, ports: dict[str, int], **changes: str) -> Child:
        """A process of the venue with the given gRPC ports, and changes of its settings."""
        values = {
            "state_dir": str(self._folder / "state"),
            "database_url": self.database_url,
            "redis_url": self.redis_url,
            "bcrypt_cost": "4",
            "seed_users": "false",
            "partitions": '{"1": "LIVE", "2": "DEMO", "3": "DEMO"}',
            "listings": f'{{"3": ["{FAR_MARKET}"]}}',
            **{f"{port_name}_port": str(port) for port_name, port in ports.items()},
            f"{name}_metrics_port": str(free_port()),
            "crash_points": str(self.crash_points(name)),
            **changes,
        }
        environment = {**os.environ, **{f"VENUE_{key.upper()}": value for key, value in values.items()}}
        return Child(name, log, lambda output: nursery.start([name], environment, output.fileno()))

    def _postgres_command(self) -> list[str]:
        data = self._folder / "pg"
        return embedded_postgres.command(data, self._postgres_port, self._folder / "postgres.pid", IN_A_HURRY)

    def _valkey_command(self) -> list[str]:
        folder = self._folder / "valkey"
        configuration = embedded_valkey.configure(folder, self._valkey_port, self._password, folder / "valkey.pid")
        return embedded_valkey.command(configuration)

    def make(self) -> None:
        """A fresh state, and everything started on it."""
        embedded_postgres.initialize(self._folder / "pg", self._password)
        self.start_postgres()
        server = postgres_url(self._password, self._postgres_port, "postgres")
        embedded_postgres.create_database(server, DATABASE)
        migrate(self.database_url)
        self.start_valkey()
        self.mend()

    def start_postgres(self) -> None:
        """Start it, again and again while what a killed one left behind still holds its memory."""
        address = postgres_url(self._password, self._postgres_port, "postgres")
        deadline = time.monotonic() + READY_S
        while not embedded_postgres.accepts(address):
            assert time.monotonic() < deadline, self.postgres.told()
            if not self.postgres.runs:
                self.postgres.start()
            time.sleep(0.02)

    def start_valkey(self) -> None:
        if not self.valkey.runs:
            self.valkey.start()
        self.wait(lambda: embedded_valkey.answers(self.redis_url), self.valkey)

    def mend(self) -> None:
        """Start whatever does not run, and wait until all of it serves."""
        self.start_postgres()
        self.start_valkey()
        for child in self.processes.values():
            if not child.runs:
                child.start()
        for name, child in self.processes.items():
            self.wait(lambda name=name: serves(self.ports[name]), child)  # type: ignore[misc]

    def wait(self, ready: Callable[[], bool], child: Child) -> None:
        """Until a child is ready. Raises AssertionError with the end of its log where it ends or takes too long."""
        deadline = time.monotonic() + READY_S
        while not ready():
            assert child.runs, child.told()
            assert time.monotonic() < deadline, child.told()
            time.sleep(0.05)

    def end(self) -> None:
        """Stop everything, the servers before what they stand on."""
        for child in self.processes.values():
            if child.runs:
                child.end(signal.SIGTERM)
        for child in (self.valkey, self.postgres):
            if child.runs:
                child.end(signal.SIGINT)


def serves(port: int) -> bool:
    """Whether a server says that it serves."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            found = stub.Check(health_pb2.HealthCheckRequest(), timeout=2)
        except grpc.RpcError:
            return False
    return bool(found.status == health_pb2.HealthCheckResponse.SERVING)
