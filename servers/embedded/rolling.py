"""Restart a server of a running venue, or its gateway, while calls go on.

A second process of the same kind stands in: the gateway sends new calls to it alone, the first one finishes what it has and
is started again, and then the second one leaves in the same way. No call meets a server that is not there.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass

from rich.console import Console

from servers.embedded import endpoints, health, processes, supervisor
from servers.embedded.endpoints import Seen, wait_until
from servers.embedded.errors import StartError
from servers.embedded.progress import step
from servers.embedded.state import State
from servers.transport.papers import Papers

READY_S = 90.0
SEEN_S = 30.0
STOP_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolling:
    """One server of a venue: how it is called and found. `addresses` are all of its kind, its own included."""

    state: State
    name: str
    host: str
    port: int
    addresses: list[str]
    gateway_admin_port: int
    papers: Papers | None

    @property
    def kind(self) -> str:
        return self.name.partition("-")[0]

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"


def restart(rolling: Rolling, console: Console) -> None:
    """Raises StartError where the venue does not run, or a step takes too long; then the gateway knows those that serve."""
    if not rolling.state.is_locked():
        raise StartError(f"no venue runs on {rolling.state.given}")
    port, metrics_port = free_ports(rolling.host)
    other = f"{rolling.host}:{port}"
    variables = {
        f"VENUE_{rolling.kind.upper()}_{what}": str(at) for what, at in (("PORT", port), ("METRICS_PORT", metrics_port))
    }
    if rolling.kind == "marketdata":
        variables |= {"VENUE_MARKETDATA_OTHERS": json.dumps(rolling.addresses), "VENUE_MARKETDATA_MORE": "[]"}
    second = stand_in(rolling, variables)
    seen, folder = Seen(rolling.gateway_admin_port, rolling.kind), rolling.state.endpoints
    both = [*rolling.addresses, other]
    try:
        with step(console, f"a second {rolling.kind}, port {port}"):
            wait_for(second, lambda: health.serving(rolling.host, port, rolling.papers))
            endpoints.write(folder, rolling.kind, both)
            seen.wait({other: "healthy"}, SEEN_S)
        with step(console, f"{rolling.name} finishes what it has, and starts again"):
            endpoints.write(folder, rolling.kind, both, rolling.address)
            seen.wait({rolling.address: "draining", other: "healthy"}, SEEN_S)
            with closing(supervisor.Control(rolling.state)) as control:
                again(control, rolling.name)
            wait_for(second, lambda: health.serving(rolling.host, rolling.port, rolling.papers))
            endpoints.write(folder, rolling.kind, both)
            seen.wait({rolling.address: "healthy"}, SEEN_S)
        with step(console, f"the second {rolling.kind} leaves"):
            endpoints.write(folder, rolling.kind, both, other)
            seen.wait({rolling.address: "healthy", other: "draining"}, SEEN_S)
    finally:
        second.send_signal(signal.SIGTERM)
        try:
            second.wait(STOP_S)
        except subprocess.TimeoutExpired:
            second.kill()
            second.wait()
        endpoints.write(folder, rolling.kind, rolling.addresses)


def again(control: supervisor.Control, name: str) -> None:
    """Stop a program of the supervisor's and start it. Raises StartError where it does not stop."""
    control.stop(name)
    wait_until(lambda: control.state(name).state in {"STOPPED", "EXITED"}, f"{name} does not stop", STOP_S)
    control.start(name)


def restart_alone(state: State, console: Console, name: str) -> None:
    """A process that no caller waits for. Raises StartError."""
    if not state.is_locked():
        raise StartError(f"no venue runs on {state.given}")
    with step(console, name), closing(supervisor.Control(state)) as control:
        again(control, name)


def stand_in(rolling: Rolling, variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """A second process, on ports of its own, that writes its log beside the first one's."""
    environment = {**os.environ, **variables, "VENUE_STATE_DIR": str(rolling.state.root), "PYTHONUNBUFFERED": "1"}
    with rolling.state.log(f"{rolling.kind}-stand-in").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "servers.main", rolling.kind],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def wait_for(second: subprocess.Popen[bytes], serving: Callable[[], bool]) -> None:
    """Raises StartError where it takes too long, or the second process ends meanwhile."""

    def there() -> bool:
        if second.poll() is not None:
            raise StartError("the second process ended: see its log")
        return serving()

    wait_until(there, f"not ready after {READY_S:.0f} s", READY_S)


def free_ports(host: str) -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind((host, 0))
        return one.getsockname()[1], other.getsockname()[1]


def restart_gateway(state: State, console: Console, port: int) -> None:
    """A new gateway takes over the listening sockets of the old one, which finishes its calls and ends after some seconds.

    Raises StartError where no venue runs, or no new one comes.
    """
    known = processes.alive(state, "envoy")
    if not state.is_locked() or known is None:
        raise StartError(f"no gateway runs on {state.given}")
    with step(console, f"the gateway, port {port}"), closing(supervisor.Control(state)) as control:
        os.kill(control.state("envoy").pid, signal.SIGHUP)

        def taken_over() -> bool:
            now = processes.alive(state, "envoy")
            return now is not None and now[0] != known[0] and processes.started_at(known[0]) is None

        wait_until(taken_over, "the new gateway does not come: see its log", READY_S)
