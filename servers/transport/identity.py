"""Who calls: access tokens and what they say.

A token is believed only after every check passed: algorithm, key of our own set, signature, issuer, audience, times, session.
Verified tokens are remembered until they expire; a session that is revoked ends them at once.
"""

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import jwt
import structlog

from db.revocations import Revocations
from servers.domain.errors import PartUnavailable
from servers.transport.refusals import NotAuthenticated
from venue.option.v1 import access_pb2

ISSUER = "venue"
AUDIENCE = "venue-api"
# Of tokens for the port of administration: good for that and nothing else, as all others are for everything but that.
ADMIN_AUDIENCE = "venue-admin"
AUDIENCES = {AUDIENCE, ADMIN_AUDIENCE}
ALGORITHM = "EdDSA"
# Of access tokens alone (RFC 9068): no other token that the venue's keys may ever sign passes as one.
TYPE = "at+jwt"
CLAIMS = ["exp", "iat", "iss", "aud", "sub", "sid", "role", "scope"]
OTP = "otp"
TOKEN_LENGTH_MAX = 4096
# Three parts in base64url, the last one 64 bytes in the one way that RFC 4648 writes them. Decoders also take padding, letters
# from outside the alphabet and other spellings of the last letter: a token that was tampered with would hold.
WRITTEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{85}[AQgw]", re.ASCII)
LEEWAY_S = 2
# OWASP ASVS 8.3.2: what was changed about a user holds soon. The gateway refuses longer lives too.
LIFE_S_MAX = 900
CACHE_SIZE = 50_000
FIRST_KEYS_EVERY_S = 0.2
# How long a start waits for a first key, and a call where the start did not.
FIRST_KEY_S = 10.0
CALL_WAITS_S = 1.0
KEYS_EVERY_S = 60.0
REVOKED_EVERY_S = 2.0
# An unknown key id may be a new key, but strangers must not make us fetch at will.
REFETCH_AFTER_S = 5.0

# Roles and scopes by the words that tokens use: "user", "trade".
ROLES = {name.removeprefix("ROLE_").lower(): number for name, number in access_pb2.Role.items() if number}
SCOPES = {name.removeprefix("SCOPE_").lower(): number for name, number in access_pb2.Scope.items() if number}

KeySource = Callable[[], Awaitable[Mapping[str, Any]]]
"""Gives a JSON Web Key Set, `{"keys": [...]}`. Raises PartUnavailable where it cannot."""
RevokedSource = Callable[[], Awaitable[Revocations]]
"""Gives what ended access tokens that may still live. Raises PartUnavailable where it cannot."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Identity:
    """The caller as the credential says it; times in seconds since 1970 UTC.

    `auth_time` is when the session was last authenticated with all that its user has, `second_factor` whether that was two
    factors. Of an API key `session_id` is its own id too, so that whatever ends a session ends a key; it may be bound to the one
    account `account_id`. `version` counts the changes of the user's role and status: see `db.revocations`.
    """

    user_id: str
    session_id: str
    role: int
    scopes: frozenset[int]
    email_verified: bool
    email: str
    expires: float
    version: int = 0
    auth_time: float = 0.0
    second_factor: bool = False
    api_key_id: str = ""
    account_id: str = ""


ANONYMOUS = Identity("", "", access_pb2.ROLE_UNSPECIFIED, frozenset(), email_verified=False, email="", expires=0.0)


def role_name(role: int) -> str:
    """The word of tokens: "user"."""
    return access_pb2.Role.DESCRIPTOR.values_by_number[role].name.removeprefix("ROLE_").lower()


def scope_name(scope: int) -> str:
    """The word of tokens: "trade"."""
    return access_pb2.Scope.DESCRIPTOR.values_by_number[scope].name.removeprefix("SCOPE_").lower()


def claims_of(identity: Identity, issued_s: int) -> dict[str, Any]:
    """The claims of an access token for somebody: what the verifier below reads."""
    return {
        "iss": ISSUER,
        "aud": ADMIN_AUDIENCE if access_pb2.SCOPE_ADMIN in identity.scopes else AUDIENCE,
        "sub": identity.user_id,
        "sid": identity.session_id,
        "role": role_name(identity.role),
        "scope": " ".join(scope_name(scope) for scope in sorted(identity.scopes)),
        "email": identity.email,
        "email_verified": identity.email_verified,
        "ver": identity.version,
        # OpenID Connect Core 1.0, 2; the methods as RFC 8176 names them.
        "auth_time": int(identity.auth_time),
        "amr": ["pwd", OTP] if identity.second_factor else ["pwd"],
        "iat": issued_s,
        "nbf": issued_s,
        "exp": int(identity.expires),
    }


def identity_of(claims: Mapping[str, Any]) -> Identity:
    """Reads verified claims; scopes that this version does not know permit nothing. Raises NotAuthenticated."""
    role, scopes = ROLES.get(str(claims["role"])), [SCOPES.get(name) for name in str(claims["scope"]).split()]
    if role is None:
        raise NotAuthenticated("unknown role")
    if any((scope == access_pb2.SCOPE_ADMIN) != (claims["aud"] == ADMIN_AUDIENCE) for scope in scopes):
        raise NotAuthenticated("a scope that is not the audience's")
    return Identity(
        user_id=str(claims["sub"]),
        session_id=str(claims["sid"]),
        role=role,
        scopes=frozenset(scope for scope in scopes if scope is not None),
        email_verified=claims.get("email_verified") is True,
        email=str(claims.get("email", "")),
        expires=float(claims["exp"]),
        version=int(claims.get("ver", 0)),
        auth_time=_auth_time(claims),
        second_factor=OTP in _methods(claims),
    )


def _auth_time(claims: Mapping[str, Any]) -> float:
    said = claims.get("auth_time", 0)
    return float(said) if isinstance(said, int) else 0.0


def _methods(claims: Mapping[str, Any]) -> list[Any]:
    said = claims.get("amr")
    return said if isinstance(said, list) else []


class TokenVerifier:
    """Verifies access tokens against a key set that it keeps fresh in the background."""

    def __init__(self, keys: KeySource, revoked: RevokedSource | None = None, *, cache_size: int = CACHE_SIZE) -> None:
        self._key_source = keys
        self._revoked_source = revoked
        self._cache_size = cache_size
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched = -REFETCH_AFTER_S
        self._keys_away = False
        # Set once there is a key.
        self._known = asyncio.Event()
        self._verified: OrderedDict[str, Identity] = OrderedDict()
        self._revoked = Revocations()
        self._tasks: list[asyncio.Task[None]] = []
        # Told whenever something more was revoked; ask `is_revoked` what.
        self.on_revoked: list[Callable[[], None]] = []

    def is_revoked(self, identity: Identity) -> bool:
        """Whether the session has ended, or the user's role or status changed since the credential was given."""
        revoked = self._revoked
        return identity.session_id in revoked.sessions or identity.version < revoked.versions.get(identity.user_id, 0)

    def remembered(self, token: str) -> Identity | None:
        """The identity of a token that was verified before and still holds. The hot path: two look-ups."""
        identity = self._verified.get(token)
        if identity is None:
            return None
        if identity.expires <= time.time():
            del self._verified[token]
            return None
        if self.is_revoked(identity):
            raise NotAuthenticated("session revoked")
        self._verified.move_to_end(token)
        return identity

    async def verify(self, token: str) -> Identity:
        """Raises NotAuthenticated, or PartUnavailable where no key was ever fetched."""
        known = self.remembered(token)
        if known is not None:
            return known
        identity = identity_of(self._decode(token, await self._key(token)))
        if self.is_revoked(identity):
            raise NotAuthenticated("session revoked")
        if len(self._verified) >= self._cache_size:
            self._verified.popitem(last=False)
        self._verified[token] = identity
        return identity

    async def _key(self, token: str) -> jwt.PyJWK:
        if len(token) > TOKEN_LENGTH_MAX:
            raise NotAuthenticated("token too long")
        if WRITTEN.fullmatch(token) is None:
            raise NotAuthenticated("not written as a token is")
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError as error:
            raise NotAuthenticated(f"header: {error}") from None
        kid = header.get("kid")
        if header.get("alg") != ALGORITHM or header.get("typ") != TYPE or not isinstance(kid, str) or "crit" in header:
            raise NotAuthenticated("algorithm, type, key id or critical header")
        if kid not in self._keys and time.monotonic() - self._fetched >= REFETCH_AFTER_S:
            await self.fetch_keys()
        if self._tasks and not self._keys:
            await self._first_key(CALL_WAITS_S)
        if not self._keys:
            raise PartUnavailable("authentication")
        if kid not in self._keys:
            raise NotAuthenticated("unknown key")
        return self._keys[kid]

    @staticmethod
    def _decode(token: str, key: jwt.PyJWK) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                leeway=LEEWAY_S,
                # One of two audiences, as text: looked at below.
                options={"require": CLAIMS, "verify_aud": False},
            )
        except jwt.InvalidTokenError as error:
            raise NotAuthenticated(f"token: {error}") from None
        if not isinstance(claims["aud"], str) or claims["aud"] not in AUDIENCES:
            raise NotAuthenticated("another audience")
        if not all(isinstance(claims.get(name, 0), int) for name in ("iat", "exp", "ver")):
            raise NotAuthenticated("a number that is none")
        if claims["exp"] - claims["iat"] > LIFE_S_MAX:
            raise NotAuthenticated("lives too long")
        return claims

    async def fetch_keys(self) -> None:
        """Replaces the keys by the current set; keeps the old ones where the source is away."""
        self._fetched = time.monotonic()
        try:
            key_set = await self._key_source()
            keys = [jwt.PyJWK(key) for key in key_set["keys"] if key.get("alg") == ALGORITHM]
        except (PartUnavailable, jwt.PyJWKError, jwt.InvalidKeyError, KeyError) as error:
            if not self._keys_away:  # one line for a row of failures, however often it is tried again
                log.warning("keys not fetched", cause=str(error))
            self._keys_away = True
            return
        self._keys_away = False
        self._keys = {str(key.key_id): key for key in keys}
        if self._keys:
            self._known.set()

    async def fetch_revoked(self) -> None:
        """Replaces what is known to be revoked, and tells those who hold streams of it open."""
        if self._revoked_source is None:
            return
        try:
            revoked = await self._revoked_source()
        except PartUnavailable as error:
            log.warning("revoked sessions not fetched", cause=str(error))
            return
        before, self._revoked = self._revoked, revoked
        if revoked != before:
            for tell in self.on_revoked:
                tell()

    async def start(self, wait_s: float = FIRST_KEY_S) -> None:
        """Keeps both fresh until `stop`; waits for what was revoked, and up to `wait_s` for a first key."""
        self._tasks = [asyncio.create_task(self._keep_keys())]
        await self._first_key(wait_s)
        await self.fetch_revoked()
        self._tasks.append(asyncio.create_task(self._keep_revoked()))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self._tasks = []

    async def _first_key(self, within_s: float) -> None:
        """Until there is a key, or the time has passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._known.wait()

    async def _keep_keys(self) -> None:
        while True:
            await self.fetch_keys()
            # Until there is a first key nobody gets in: processes that start together wait for the auth server.
            await asyncio.sleep(KEYS_EVERY_S if self._keys else FIRST_KEYS_EVERY_S)

    async def _keep_revoked(self) -> None:
        while True:
            await asyncio.sleep(REVOKED_EVERY_S)
            await self.fetch_revoked()
