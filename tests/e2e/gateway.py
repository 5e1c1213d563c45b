"""Starts the gateway as `venue up` does, in front of whatever listens on the given ports."""

import json
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx
import yaml

from servers.embedded import endpoints
from servers.embedded.certificates import Certificate
from servers.embedded.envoy import binary, fill, origins, principals, sockets
from servers.embedded.health import answers
from tests.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "gateway" / "envoy.yaml"
ORIGIN = "http://localhost:5173"
READY_S = 20.0
STOP_S = 10.0

Change = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class Ports:
    """Where everything listens."""

    gateway: int
    admin: int
    order: int
    api: int
    marketdata: int
    administration: int = 0

    @classmethod
    def free(cls) -> "Ports":
        return cls(*(free_port() for _ in range(6)))


@dataclass(frozen=True, slots=True)
class Shown:
    """The certificates of a gateway: to its callers, and to the servers behind with the authority among them."""

    edge: Certificate | None = None
    identity: tuple[Path, Certificate] | None = None


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that runs."""

    ports: Ports
    access_log: Path
    process: subprocess.Popen[bytes]
    trust: Certificate | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self.trust else 'http'}://127.0.0.1:{self.ports.gateway}"

    @property
    def target(self) -> str:
        """As gRPC clients want it."""
        return f"127.0.0.1:{self.ports.gateway}"

    def healthy(self) -> bool:
        try:
            return answers(f"{self.url}/healthz", self.trust)
        except httpx.TransportError:
            return False

    def live(self) -> bool:
        """Whether Envoy itself serves, with or without anybody behind it."""
        try:
            return httpx.get(f"http://127.0.0.1:{self.ports.admin}/ready").status_code == 200
        except httpx.TransportError:
            return False

    def logged(self, request_id: str) -> dict[str, Any]:
        """The line of a call in the access log, which Envoy writes a moment later."""
        end = time.monotonic() + STOP_S
        while time.monotonic() < end:
            for line in self.access_log.read_text().splitlines():
                entry: dict[str, Any] = json.loads(line)
                if entry["request_id"] == request_id:
                    return entry
            time.sleep(0.1)
        raise AssertionError(f"no line for {request_id}")


def render(ports: Ports, folder: Path, change: Change | None = None, papers: Shown | None = None) -> Path:
    """The configuration with everything filled in, and changed by `change` where a test needs another one."""
    papers = papers or Shown()
    for cluster, port in (("order", ports.order), ("api", ports.api), ("marketdata", ports.marketdata)):
        endpoints.write(folder / "endpoints", cluster, [f"127.0.0.1:{port}"])
    values: dict[str, str | int] = {
        "GATEWAY_PORT": ports.gateway,
        "ADMIN_PORT": ports.admin,
        "ENDPOINTS": str(folder / "endpoints"),
        "DESCRIPTOR": str(ROOT / "gen" / "venue.binpb"),
        "OPENAPI": str(ROOT / "gen" / "openapi"),
        "MAILBOX": str(folder / "mailbox"),
        "WEB_ROOT": str(ROOT / "gateway" / "web" / "public"),
        "ACCESS_LOG": str(folder / "access.log"),
        "STRICT_JSON": str(ROOT / "gateway" / "strict_json.lua"),
        "BODY_DIGEST": str(ROOT / "gateway" / "body_digest.lua"),
        "GATEWAY_KEY": "gateway",
        "CORS_ORIGINS": origins([ORIGIN]),
        "ADMINISTRATION_PORT": ports.administration,
        "ADMINISTRATION_ALLOWLIST": principals([ip_network("127.0.0.0/8")]),
        "ADMINISTRATION_CORS_ORIGINS": origins([ORIGIN]),
        "GATEWAY_HOST": "127.0.0.1",
        "SELF_HOST": "127.0.0.1",
        "TRUSTED_HOPS": 0,
        **sockets(papers.edge, papers.identity),
        "ANONYMOUS_PER_MINUTE": 1_200_000,
        "LOGINS_PER_SECOND": 20_000,
        "LOGINS_AT_ONCE": 80_000,
    }
    text = fill(TEMPLATE.read_text(encoding="utf-8"), values)
    if change is not None:
        tree = yaml.safe_load(text)
        change(tree)
        text = json.dumps(tree)
    path = folder / "envoy.yaml"
    path.write_text(text, encoding="utf-8")
    return path


PUBLIC, ADMINISTRATION = 0, 1


def connection(tree: Any, listener: int = PUBLIC) -> Any:
    """The connection manager of a listener."""
    return tree["static_resources"]["listeners"][listener]["filter_chains"][0]["filters"][0]["typed_config"]


def http_filters(tree: Any, listener: int = PUBLIC) -> dict[str, Any]:
    """The configuration of each filter of a listener, by name."""
    found = connection(tree, listener)["http_filters"]
    return {each["name"].removeprefix("envoy.filters.http."): each["typed_config"] for each in found}


def routes(tree: Any, listener: int = PUBLIC) -> list[Any]:
    found: list[Any] = connection(tree, listener)["route_config"]["virtual_hosts"][0]["routes"]
    return found


def envoy(*arguments: str) -> list[str]:
    """Another base id for each: two Envoys of one id on a machine do not start."""
    return [str(binary(None)), *arguments, "--base-id", str(random.randrange(1_000_000, 2_000_000_000))]


@contextmanager
def gateway(
    ports: Ports, folder: Path, *, change: Change | None = None, behind: bool = True, papers: Shown | None = None
) -> Iterator[Gateway]:
    """A gateway that answers; with `behind`, one whose servers answer too."""
    configuration = render(ports, folder, change, papers)
    log = folder / "envoy.log"
    with log.open("wb") as output:
        command = envoy("-c", str(configuration), "--concurrency", "1", "-l", "warning")
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    running = Gateway(ports, folder / "access.log", process, papers.edge if papers else None)
    try:
        wait_until(running.healthy if behind else running.live, process, log)
        yield running
    finally:
        process.terminate()
        process.wait(STOP_S)


def wait_until(
    ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, *, within_s: float = READY_S
) -> None:
    """Raises AssertionError with the end of the log where the process ends or stays silent."""
    end = time.monotonic() + within_s
    while not ready():
        assert process.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < end, log.read_text()[-3000:]
        time.sleep(0.05)
