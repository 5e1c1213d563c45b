"""API keys as credentials: `x-api-key: <id>.<secret>`, taken by every server alike.

A key is looked up in the tables and believed for half a minute, from the address it came from. What is revoked, or its user's
role or status, is asked for all the time along with the ended sessions, and so holds within seconds; streams end with it too.
When a key was used is written down now and then, not at each call.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha256
from hmac import compare_digest
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from math import inf
from typing import Final, NamedTuple

import structlog

from db.key_lookups import KeyRecord
from servers.domain.errors import PartUnavailable
from servers.transport.identity import ROLES, SCOPES, Identity, TokenVerifier
from servers.transport.limits import Bucket, Rate
from servers.transport.refusals import NotAuthenticated

KNOWN_MAX: Final = 50_000
BELIEVED_S: Final = 30.0
WRITE_EVERY_S: Final = 30.0
LENGTH_MAX: Final = 256
# Looking a key up costs a query, and anybody may send one.
LOOKUPS: Final = Rate(200, 1_000)

Find = Callable[[str], Awaitable[KeyRecord | None]]
Touch = Callable[[Mapping[str, float]], Awaitable[None]]
log = structlog.get_logger()


class Known(NamedTuple):
    """Whom a key stands for, until when on the clock that only goes forward."""

    identity: Identity
    until: float


class ApiKeys:
    """Verifies keys. `find` and `touch` raise PartUnavailable where the tables are away."""

    def __init__(self, verifier: TokenVerifier, find: Find, touch: Touch, *, believed_s: float = BELIEVED_S) -> None:
        self._verifier = verifier
        self._find = find
        self._touch = touch
        self._believed_s = believed_s
        self._known: OrderedDict[tuple[str, str], Known] = OrderedDict()
        self._used: dict[str, float] = {}
        self._lookups = Bucket("API_KEY", LOOKUPS)

    def remembered(self, credential: str, address: str) -> Identity | None:
        """The identity of a key that was verified lately from this address and still holds."""
        known = self._known.get((credential, address))
        if known is None:
            return None
        now = time.time()
        identity = known.identity
        if known.until <= time.monotonic() or identity.expires <= now or self._verifier.is_revoked(identity):
            del self._known[credential, address]
            return None
        self._used[identity.api_key_id] = now
        return identity

    async def verify(self, credential: str, address: str) -> Identity:
        """Raises NotAuthenticated, RateLimited, PartUnavailable."""
        api_key_id, dot, secret = credential.partition(".")
        if not dot or not secret or len(credential) > LENGTH_MAX or not credential.isascii() or "\0" in credential:
            raise NotAuthenticated("this is no API key")
        self._lookups.take(address)
        record = await self._find(api_key_id)
        stored = b"" if record is None else record.secret_hash
        same = compare_digest(sha256(secret.encode()).digest(), stored)
        if record is None or not same:
            raise NotAuthenticated("unknown API key, or another secret")
        if record.networks and not is_within(address, record.networks):
            raise NotAuthenticated(f"API key {api_key_id} is not for {address}")
        identity = identity_of(api_key_id, record)
        if self._verifier.is_revoked(identity):
            raise NotAuthenticated("API key revoked")
        if len(self._known) >= KNOWN_MAX:
            self._known.popitem(last=False)
        self._known[credential, address] = Known(identity, time.monotonic() + self._believed_s)
        self._used[api_key_id] = time.time()
        return identity

    async def run(self) -> None:
        """Writes down what was used, for ever."""
        while True:
            await asyncio.sleep(WRITE_EVERY_S)
            await self.write_used()

    async def write_used(self) -> None:
        """Writes down what was used since the last time; again later where the tables are away."""
        if not self._used:
            return
        used, self._used = self._used, {}
        try:
            await self._touch(used)
        except PartUnavailable as error:
            log.warning("use of API keys not written", cause=str(error))
            self._used = {**used, **self._used}


def identity_of(api_key_id: str, record: KeyRecord) -> Identity:
    return Identity(
        user_id=record.user_id,
        session_id=api_key_id,
        role=ROLES[record.role.lower()],
        scopes=frozenset(SCOPES[name] for name in record.scopes),
        email_verified=record.email_verified,
        email=record.email,
        expires=inf if record.expire_time_us is None else record.expire_time_us / 1e6,
        version=record.access_version,
        api_key_id=api_key_id,
        account_id=record.account_id or "",
    )


def is_within(address: str, networks: Sequence[str]) -> bool:
    """Whether an address, as gRPC or the gateway writes it, lies in one of the networks."""
    found = parsed(address)
    return found is not None and any(found in ip_network(network) for network in networks)


def parsed(address: str) -> IPv4Address | IPv6Address | None:
    """IPv4 inside IPv6 is the former; brackets of IPv6 do not count. None for what is no address."""
    try:
        found = ip_address(address.replace("%5B", "").replace("%5D", "").strip("[]"))
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found
