"""What the tests through the gateway share: the gateway with small servers behind it, and the whole venue."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from servers.auth.keys import SigningKey, add_key, key_files, read_key
from servers.transport.identity import ALGORITHM, SCOPES, TYPE, Identity, claims_of
from tests.e2e.gateway import ROOT, STOP_S, Gateway, Ports, gateway, wait_until
from tests.e2e.launching import Venue, launched
from tests.e2e.people import join
from tests.e2e.probe import GrpcProbe, RestProbe, Victim, victim_of
from tests.e2e.strong import TokenFor, tokens_for
from tests.e2e.ways import Rest
from venue.option.v1 import access_pb2


@dataclass(frozen=True, slots=True)
class Tokens:
    """Makes access tokens, good ones and others."""

    key: SigningKey

    def claims(self, **changed: Any) -> dict[str, Any]:
        now = int(time.time())
        identity = Identity(
            "user-1",
            "session-1",
            access_pb2.ROLE_USER,
            frozenset(SCOPES[name] for name in ("read", "trade", "account")),
            email_verified=True,
            email="user@venue.local",
            expires=now + 900.0,
        )
        merged = claims_of(identity, now) | changed
        return {name: value for name, value in merged.items() if value is not None}

    def token(self, key: Any = None, algorithm: str = ALGORITHM, kid: str | None = None, **changed: Any) -> str:
        headers = {"kid": kid or self.key.kid, "typ": TYPE}
        return jwt.encode(self.claims(**changed), key or self.key.private, algorithm, headers=headers)

    def bearer(self, **changed: Any) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token(**changed)}"}


@pytest.fixture(scope="session")
def signing_key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    add_key(folder, created=0)
    return folder / key_files(folder)[0]


@pytest.fixture(scope="session")
def tokens(signing_key_file: Path) -> Tokens:
    return Tokens(read_key(signing_key_file))


@pytest.fixture(scope="session")
def bearer(tokens: Tokens) -> dict[str, str]:
    """Headers of a user who may read and trade."""
    return tokens.bearer()


@pytest.fixture(scope="session")
def edge(signing_key_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway with the small servers of `backends` behind it."""
    folder, ports = tmp_path_factory.mktemp("edge"), Ports.free()
    log = folder / "backends.log"
    listening = [str(port) for port in (ports.order, ports.api, ports.marketdata)]
    with log.open("wb") as output:
        command = [sys.executable, "-m", "tests.e2e.backends", str(signing_key_file), *listening]
        backends = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    try:
        with gateway(ports, folder) as running:
            keys_are_there = has_keys(ports)
            wait_until(keys_are_there, backends, log)
            yield running
    finally:
        backends.terminate()
        backends.wait(STOP_S)


def has_keys(ports: Ports) -> Callable[[], bool]:
    """Whether the gateway has fetched the keys of tokens from itself."""

    def ask() -> bool:
        stats = httpx.get(f"http://127.0.0.1:{ports.admin}/stats", params={"filter": "jwks_fetch_success"}).text
        return any(int(line.rpartition(":")[2]) > 0 for line in stats.splitlines() if ":" in line)

    return ask


@pytest.fixture
def client(edge: Gateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=edge.url, timeout=15) as made:
        yield made


@pytest.fixture(scope="session")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Venue]:
    """Every process of a fresh embedded venue on free ports, market maker included; one for all tests."""
    with launched(tmp_path_factory.mktemp("venue"), VENUE_WEBHOOK_LOOPBACK="true") as running:
        yield running


@pytest.fixture(scope="session")
def rest(venue: Venue) -> Iterator[Rest]:
    """The venue over REST."""
    made = Rest(venue.url)
    yield made
    made.close()


@pytest.fixture(scope="module")
def victim(rest: Rest) -> Victim:
    return victim_of(rest, join(rest, "eve"))


@pytest.fixture(scope="module")
def token_for(venue: Venue, victim: Victim) -> TokenFor:
    """Tokens of the victim's that get past the access option of a method."""
    return tokens_for(venue, victim)


@pytest.fixture
def untouched(venue: Venue, rest: Rest, victim: Victim) -> Iterator[None]:
    """Nothing of the victim's may change meanwhile, and no process may end."""
    before, pids = victim.state(rest), venue.pids()
    yield
    assert victim.state(rest) == before
    assert venue.pids() == pids


@pytest.fixture(scope="module")
def over_rest(venue: Venue) -> Iterator[RestProbe]:
    probe = RestProbe(venue.url)
    yield probe
    probe.close()


@pytest.fixture(scope="module")
def over_grpc(venue: Venue) -> Iterator[GrpcProbe]:
    probe = GrpcProbe(venue.target)
    yield probe
    probe.close()
