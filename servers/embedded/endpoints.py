"""Where the gateway finds its servers: a file for each cluster, which it reads again as soon as it is replaced."""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from servers.embedded.errors import StartError

RESOURCE = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
PROBE_S = 2.0
POLL_S = 0.05


def write(folder: Path, cluster: str, addresses: Iterable[str], draining: str = "") -> None:
    """The servers of a cluster, `host:port` each; one that is draining keeps its calls and gets no new ones."""
    found = [
        {
            "health_status": "DRAINING" if address == draining else "HEALTHY",
            "endpoint": {"address": {"socket_address": place(address)}},
        }
        for address in addresses
    ]
    assignment = {"@type": RESOURCE, "cluster_name": cluster, "endpoints": [{"lb_endpoints": found}]}
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    half = folder / f".{cluster}.json"
    half.write_text(json.dumps({"resources": [assignment]}), encoding="utf-8")
    # Replaced by a move, which is what the gateway watches for.
    half.replace(folder / f"{cluster}.json")


def place(address: str) -> dict[str, object]:
    host, _, port = address.rpartition(":")
    return {"address": host.strip("[]"), "port_value": int(port)}


class Seen:
    """What the gateway itself says of the servers of a cluster, on its own administration port."""

    def __init__(self, port: int, cluster: str) -> None:
        self._url = f"http://127.0.0.1:{port}/clusters?format=json"
        self._cluster = cluster

    def states(self) -> dict[str, str]:
        """`healthy`, `ill` or `draining` of each address. Empty while the gateway does not answer."""
        try:
            with urlopen(self._url, timeout=PROBE_S) as answer:  # noqa: S310  # nosec B310  our own loopback address
                listed = json.load(answer)["cluster_statuses"]
        except (URLError, OSError, ValueError):
            return {}
        hosts: list[Any] = next((each.get("host_statuses", []) for each in listed if each["name"] == self._cluster), [])
        found = {}
        for host in hosts:
            where, health = host["address"]["socket_address"], host["health_status"]
            ill = health.get("failed_active_health_check") or health.get("pending_active_hc")
            state = "draining" if health.get("eds_health_status") == "DRAINING" else "ill" if ill else "healthy"
            found[f"{where['address']}:{where['port_value']}"] = state
        return found

    def wait(self, wanted: dict[str, str], within_s: float) -> None:
        """Raises StartError where the gateway does not come to see the addresses so."""
        wait_until(
            lambda: wanted.items() <= self.states().items(),
            f"the gateway does not see {wanted}: {self.states()}",
            within_s,
        )


def wait_until(true: Callable[[], bool], otherwise: str, within_s: float) -> None:
    """Raises StartError with the sentence where it does not come true."""
    end = time.monotonic() + within_s
    while not true():
        if time.monotonic() > end:
            raise StartError(otherwise)
        time.sleep(POLL_S)
