"""API keys as credentials: `x-api-key: <id>.<secret>`, or `<id>` and a signature, taken by every server alike.

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
from servers.transport.refusals import NotAuthenticated, SignatureStale
from servers.transport.replays import Replays
from servers.transport.signatures import ALGORITHMS, WINDOW_S, Signed, verify_ed25519, verify_hmac

KNOWN_MAX: Final = 50_000
BELIEVED_S: Final = 30.0
WRITE_EVERY_S: Final = 30.0
LENGTH_MAX: Final = 256
# Looking a key up costs a query, and anybody may send one.
LOOKUPS: Final = Rate(200, 1_000)

Find = Callable[[str], Awaitable[KeyRecord | None]]
Touch = Callable[[Mapping[str, float]], Awaitable[None]]
Opened = Callable[[str, bytes], bytes]
"""The secret of a key that signs, given its id and what is stored. Raises SealBroken."""
log = structlog.get_logger()


class Known(NamedTuple):
    """Whom a key stands for, until when on the clock that only goes forward."""

    identity: Identity
    until: float


class Signer(NamedTuple):
    """A key that signs, as it was looked up: what verifies it, whom it stands for, and until when."""

    signing: str
    proof: bytes
    networks: Sequence[str]
    identity: Identity
    until: float


class ApiKeys:
    """Verifies keys. `find` and `touch` raise PartUnavailable where the tables are away."""

    def __init__(
        self,
        verifier: TokenVerifier,
        find: Find,
        touch: Touch,
        *,
        opened: Opened,
        replays: Replays,
        believed_s: float = BELIEVED_S,
    ) -> None:
        self._opened = opened
        self._replays = replays
        self._signers: OrderedDict[str, Signer] = OrderedDict()
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
        # Of a key that signs there is none: its secret proves nothing by being sent.
        stored = b"" if record is None else record.secret_hash or b""
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

    async def verify_signed(self, api_key_id: str, address: str, signed: Signed) -> Identity:
        """The identity of a key by which a call is signed, once for each signature.

        Raises NotAuthenticated, SignatureStale, SignatureReplayed, RateLimited, PartUnavailable.
        """
        if signed.key_id != api_key_id:
            raise NotAuthenticated("signed by another key")
        signer = self._signers.get(api_key_id)
        if signer is None or signer.until <= time.monotonic() or self._verifier.is_revoked(signer.identity):
            signer = await self._signer(api_key_id, address)
        verify = verify_hmac if signer.signing == "HMAC_SHA256" else verify_ed25519
        if signed.algorithm not in {"", ALGORITHMS[signer.signing]} or not verify(signer.proof, signed):
            raise NotAuthenticated("not the key's signature")
        if signer.networks and not is_within(address, signer.networks):
            raise NotAuthenticated(f"API key {api_key_id} is not for {address}")
        now = time.time()
        if signer.identity.expires <= now or self._verifier.is_revoked(signer.identity):
            raise NotAuthenticated("API key revoked")
        if abs(now - signed.created) > WINDOW_S:
            raise SignatureStale(int(now))
        await self._replays.refuse_second(f"{api_key_id}:{signed.nonce}")
        self._used[api_key_id] = now
        return signer.identity

    async def _signer(self, api_key_id: str, address: str) -> Signer:
        """Raises NotAuthenticated, RateLimited, PartUnavailable."""
        if len(api_key_id) > LENGTH_MAX or not api_key_id.isascii() or "\0" in api_key_id:
            raise NotAuthenticated("this is no API key")
        self._lookups.take(address)
        record = await self._find(api_key_id)
        if record is None or record.signing not in ALGORITHMS:
            raise NotAuthenticated("unknown API key, or one that does not sign")
        proof = record.public_key
        if record.sealed_secret is not None:
            proof = self._opened(api_key_id, record.sealed_secret)
        assert proof is not None, "a constraint of the table"
        until = time.monotonic() + self._believed_s
        signer = Signer(record.signing, proof, record.networks, identity_of(api_key_id, record), until)
        if len(self._signers) >= KNOWN_MAX:
            self._signers.popitem(last=False)
        self._signers[api_key_id] = signer
        return signer

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
