"""The whole venue as `make up` starts it, on free ports and a state folder of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from servers.embedded import processes
from servers.embedded.certificates import GATEWAY, Certificate, at
from servers.embedded.health import answers
from servers.embedded.state import State
from tests.e2e import commands
from tests.e2e.gateway import ROOT, wait_until
from tests.servers import free_port

UP_S = 180.0
DOWN_S = 60.0
SOON_S = 30.0
# Of a paused process: until what it had begun is done.
SETTLED_S = 0.3
PORTS = (
    "GATEWAY", "ADMIN", "ENVOY_ADMIN", "ORDER", "API", "MARKETDATA", "REPLICA", "POSTGRES", "REDIS",
    "ORDER_METRICS", "API_METRICS", "MARKETDATA_METRICS", "REPLICA_METRICS", "BOT_METRICS", "FEED_METRICS", "NOTIFY_METRICS",
)  # fmt: skip


@dataclass(slots=True)
class Venue:
    """A venue that runs, or ran: its state outlives it."""

    state: Path
    ports: dict[str, int]
    process: subprocess.Popen[bytes] | None = None
    # Variables beyond the ports and the folder.
    further: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"{'https' if 'VENUE_TLS' in self.further else 'http'}://{self.target}"

    @property
    def trust(self) -> Certificate | None:
        """The gateway's certificate, where it has one."""
        return at(State(self.state).tls, GATEWAY) if "VENUE_TLS" in self.further else None

    @property
    def target(self) -> str:
        """As gRPC clients want it."""
        return f"127.0.0.1:{self.port('GATEWAY')}"

    @property
    def logins(self) -> dict[str, str]:
        """The passwords of the seeded users by e-mail."""
        found: dict[str, str] = json.loads(State(self.state).logins.read_text())
        return found

    @property
    def log(self) -> Path:
        """What `venue up` printed."""
        return self.state.with_name("up.log")

    def port(self, name: str) -> int:
        return self.ports[name]

    def environment(self) -> dict[str, str]:
        """The variables a command needs to find this venue and no other."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("VENUE_")}
        kept |= {f"VENUE_{name}_PORT": str(port) for name, port in self.ports.items()}
        return kept | {"VENUE_STATE_DIR": str(self.state), "VENUE_BCRYPT_COST": "4"} | self.further

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "servers.cli", *arguments]

    def run(self, *arguments: str, **variables: str) -> commands.Done:
        """Type a command and wait for its end."""
        return commands.run(arguments, self.environment() | variables)

    def up(self) -> float:
        """Start; returns the seconds until everything answered. Raises AssertionError with the end of what it printed."""
        begun = time.monotonic()
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                self.command("up"), cwd=ROOT, env=self.environment(), stdout=output, stderr=subprocess.STDOUT
            )
        wait_until(self.is_ready, self.process, self.log, within_s=UP_S)
        return time.monotonic() - begun

    def down(self) -> None:
        """End it as `make down` does; the command that had started it then ends too."""
        assert self.process is not None
        subprocess.run(self.command("down"), cwd=ROOT, env=self.environment(), check=True, capture_output=True)
        assert self.process.wait(DOWN_S) == 0

    def interrupt(self) -> None:
        """End it as Ctrl-C does."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(DOWN_S)

    def is_ready(self) -> bool:
        """Whether everything answers and the command has said so, which it does after the last seed."""
        return "ready in" in self.log.read_text() and answers(f"{self.url}/healthz", self.trust)

    def pids(self) -> dict[str, int]:
        """The process ids of everything that runs."""
        found = {name: processes.alive(State(self.state), name) for name in processes.STOP_ORDER}
        return {name: known[0] for name, known in found.items() if known is not None}

    def kill(self, name: str) -> None:
        os.kill(self.pids()[name], signal.SIGKILL)

    @contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """Inside, the process stands still; nobody is told, as it is not gone."""
        pid = self.pids()[name]
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(SETTLED_S)
            yield
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextmanager
def launched(folder: Path, **further: str) -> Iterator[Venue]:
    """A fresh venue that answers."""
    venue = Venue(folder / "state", {name: free_port() for name in PORTS}, further=further)
    try:
        venue.up()
        yield venue
    finally:
        venue.interrupt()


def eventually(ready: Callable[[], bool], what: str, within_s: float = SOON_S) -> None:
    """Raises AssertionError where it does not come true."""
    end = time.monotonic() + within_s
    while not ready():
        assert time.monotonic() < end, f"not within {within_s:.0f} s: {what}"
        time.sleep(0.02)
