"""What tokens are made of.

An access token is a signed statement (JWT, EdDSA) that every server verifies by itself. Refresh and verification tokens are 256
random bits, looked up by their SHA-256; their prefixes say to people what they are, and as the hashes lie in tables of their
own, none can stand for another.

The successor of a refresh token is HMAC(secret, token || nonce) with a nonce drawn at its first use: who holds the token gets
the same successor again within the grace, while tables alone, or the secret alone, give nobody a token.
"""

import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import digest as hmac_digest
from typing import Final

import jwt

from db.models.users import SessionRow, UserRow
from servers.auth.keys import SigningKeys, base64url
from servers.transport.identity import ALGORITHM, TYPE, Identity, claims_of
from servers.transport.identity import SCOPES as SCOPE_NUMBERS
from venue.option.v1 import access_pb2

REFRESH: Final = "vrt_"
VERIFICATION: Final = "vvt_"
RESET: Final = "vpr_"
UNLOCK: Final = "vul_"
TOKEN_BYTES: Final = 32
NONCE_BYTES: Final = 16
SCOPES: Final = frozenset(
    {access_pb2.SCOPE_READ, access_pb2.SCOPE_TRADE, access_pb2.SCOPE_WITHDRAW, access_pb2.SCOPE_ACCOUNT}
)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a log-in or a refresh gives. `expires_in` in seconds."""

    user: UserRow
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int


class AccessTokens:
    """Signs access tokens of a life of `life_s`, never beyond the end of their session."""

    def __init__(self, keys: SigningKeys, *, life_s: int, clock: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._life_s = life_s
        self._clock = clock

    def grant(self, user: UserRow, session: SessionRow, refresh_token: str) -> Grant:
        now = int(self._clock())
        expires = min(now + self._life_s, int(session.expire_time.timestamp()))
        identity = Identity(
            user_id=user.user_id,
            session_id=session.session_id,
            role=role_of(user),
            scopes=SCOPES if session.scopes is None else SCOPES & numbers_of(session.scopes),
            email_verified=user.email_verified,
            email=user.email,
            expires=float(expires),
            version=user.access_version,
            auth_time=session.auth_time.timestamp(),
            second_factor=session.second_factor,
        )
        return Grant(user, self._signed(identity, now), refresh_token, expires - now)

    def grant_admin(self, user: UserRow, session: SessionRow) -> tuple[str, int]:
        """A token for the port of administration, of the same session, and in how many seconds it expires."""
        now = int(self._clock())
        expires = min(now + self._life_s, int(session.expire_time.timestamp()))
        identity = Identity(
            user_id=user.user_id,
            session_id=session.session_id,
            role=role_of(user),
            scopes=frozenset({access_pb2.SCOPE_ADMIN}),
            email_verified=user.email_verified,
            email=user.email,
            expires=float(expires),
            version=user.access_version,
            auth_time=session.auth_time.timestamp(),
            second_factor=session.second_factor,
        )
        return self._signed(identity, now), expires - now

    def _signed(self, identity: Identity, now: int) -> str:
        claims = {**claims_of(identity, now), "jti": base64url(secrets.token_bytes(16))}
        key = self._keys.current()
        return jwt.encode(claims, key.private, ALGORITHM, headers={"kid": key.kid, "typ": TYPE})


class RefreshTokens:
    """Draws refresh tokens, and derives successors with a secret of the venue."""

    def __init__(self, *, secret: str) -> None:
        self._secret = secret.encode()

    @staticmethod
    def first() -> str:
        return new_token(REFRESH)

    def successor(self, token: str, nonce: bytes) -> str:
        return REFRESH + base64url(hmac_digest(self._secret, token.encode() + nonce, sha256))


def new_token(prefix: str) -> str:
    return prefix + base64url(secrets.token_bytes(TOKEN_BYTES))


def new_nonce() -> bytes:
    return secrets.token_bytes(NONCE_BYTES)


def token_hash(token: str) -> bytes:
    return sha256(token.encode()).digest()


def role_of(user: UserRow) -> "access_pb2.Role.ValueType":
    return access_pb2.Role.Value(f"ROLE_{user.role}")


def numbers_of(names: Iterable[str]) -> frozenset[int]:
    """Scopes by the words that tokens use for them."""
    return frozenset(SCOPE_NUMBERS[name] for name in names)
