"""API keys are made, listed and revoked by their user."""

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_network
from typing import Final, cast

from sqlalchemy.ext.asyncio import AsyncEngine

from db import api_keys, outgoing, users
from db.api_keys import NewKey, Refusal
from db.audit import Action, Entry
from db.models.credentials import ApiKeyRow
from db.outgoing import Letter
from db.sealing import Sealer, api_key_secret
from servers.auth.errors import ApiKeyNotFound, TooManyApiKeys
from servers.auth.identifiers import new_id
from servers.auth.keys import base64url
from servers.domain.errors import FieldViolation
from servers.domain.letters import Template
from servers.transport.auditing import actor_of
from servers.transport.call import Call
from servers.transport.identity import SCOPES, scope_name
from servers.transport.paging import PageTokens, page_size
from servers.transport.refusals import InvalidField, NotAuthenticated, SecondFactorMissing
from venue.auth.v1 import auth_pb2 as pb
from venue.option.v1 import access_pb2

KEYS_MAX: Final = 50
SECRET_BYTES: Final = 32
UNSIGNED: Final = "NONE"
# What the tables call how a key signs.
SIGNING: Final[Mapping[int, str]] = {
    pb.API_KEY_SIGNING_UNSPECIFIED: UNSIGNED,
    pb.API_KEY_SIGNING_HMAC_SHA256: "HMAC_SHA256",
    pb.API_KEY_SIGNING_ED25519: "ED25519",
}
PUBLIC_KEY_BYTES: Final[Mapping[int, int]] = {pb.API_KEY_SIGNING_ED25519: 32}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

Owned = Callable[[str, Call], Awaitable[None]]
"""Raises AccountNotFound where an account is not the caller's."""


async def create_api_key(
    engine: AsyncEngine, sealer: Sealer, owned: Owned, request: pb.CreateApiKeyRequest, call: Call
) -> tuple[ApiKeyRow, str]:
    """The key and its secret (empty where there is none).

    Raises InvalidField, AccountNotFound, TooManyApiKeys, SecondFactorMissing.
    """
    if len(request.public_key) != PUBLIC_KEY_BYTES.get(request.signing, 0):
        what = "must be 32 bytes for API_KEY_SIGNING_ED25519, and empty for any other signing"
        raise InvalidField([FieldViolation("public_key", what, "public_key.signing")])
    networks = [_network(index, given) for index, given in enumerate(request.ip_allowlist)]
    if access_pb2.SCOPE_WITHDRAW in request.scopes and not networks:
        what = "must name the networks that withdrawals may come from"
        raise InvalidField([FieldViolation("ip_allowlist", what, "ip_allowlist.withdraw")])
    if request.account_id:
        await owned(request.account_id, call)
    api_key_id, signing = new_id("key"), SIGNING[request.signing]
    secret = "" if request.public_key else base64url(secrets.token_bytes(SECRET_BYTES))
    scopes = [scope_name(scope) for scope in sorted(request.scopes)]
    key = NewKey(
        api_key_id=api_key_id,
        user_id=call.user_id,
        name=request.name,
        signing=signing,
        secret_hash=sha256(secret.encode()).digest() if signing == UNSIGNED else None,
        secret=sealer.seal(api_key_secret(api_key_id), secret.encode()) if signing == "HMAC_SHA256" else None,
        public_key=request.public_key or None,
        scopes=scopes,
        account_id=request.account_id or None,
        networks=networks,
        expire_time=request.expire_time.ToDatetime(UTC) if request.HasField("expire_time") else None,
    )
    after = {"scopes": scopes, "account_id": request.account_id, "networks": networks, "signing": signing}
    entry = Entry(actor=actor_of(call), action=Action.API_KEY_CREATE, object=f"api_key/{key.api_key_id}", after=after)
    user = await users.find_user(engine, call.user_id)
    if user is None:
        raise NotAuthenticated("unknown user")
    values = {"name": request.name, "scopes": ", ".join(scopes)}
    tell = outgoing.telling(sealer, Letter(user.email, Template.API_KEY_MADE, values, user.user_id))
    row = await api_keys.add_key(engine, key, keys_max=KEYS_MAX, entry=entry, tell=tell)
    if row is Refusal.TOO_MANY:
        raise TooManyApiKeys(KEYS_MAX)
    if row is Refusal.FACTOR_MISSING:
        raise SecondFactorMissing
    return row, secret


async def list_api_keys(
    engine: AsyncEngine, tokens: PageTokens, request: pb.ListApiKeysRequest, call: Call
) -> tuple[Sequence[ApiKeyRow], str]:
    """A page of the caller's keys, newest first, and the token of the next one. Raises PageTokenInvalid."""
    scope = ("api_keys", call.user_id)
    cursor = tokens.read(scope, request.page_token)
    before = None if cursor is None else (_EPOCH + int(cursor[0]) * _MICROSECOND, str(cursor[1]))
    size = page_size(request.page_size)
    rows = await api_keys.list_keys(engine, call.user_id, before=before, limit=size + 1)
    if len(rows) <= size:
        return rows, ""
    last = rows[size - 1]
    return rows[:size], tokens.issue(scope, [(last.create_time - _EPOCH) // _MICROSECOND, last.api_key_id])


async def revoke_api_key(engine: AsyncEngine, api_key_id: str, call: Call) -> None:
    """Raises ApiKeyNotFound."""
    entry = Entry(actor=actor_of(call), action=Action.API_KEY_REVOKE, object=f"api_key/{api_key_id}")
    if not await api_keys.revoke_key(engine, call.user_id, api_key_id, entry):
        raise ApiKeyNotFound(api_key_id)


def to_api_key(row: ApiKeyRow) -> pb.ApiKey:
    scopes = cast("list[access_pb2.Scope.ValueType]", [SCOPES[name] for name in row.scopes])
    key = pb.ApiKey(
        api_key_id=row.api_key_id,
        name=row.name,
        scopes=scopes,
        account_id=row.account_id or "",
        ip_allowlist=row.networks,
        signing=next(
            cast("pb.ApiKeySigning.ValueType", number) for number, name in SIGNING.items() if name == row.signing
        ),
        public_key=row.public_key or b"",
    )
    key.create_time.FromDatetime(row.create_time)
    if row.expire_time is not None:
        key.expire_time.FromDatetime(row.expire_time)
    if row.last_use_time is not None:
        key.last_use_time.FromDatetime(row.last_use_time)
    return key


def _network(index: int, given: str) -> str:
    """A network in canonical notation. Raises InvalidField."""
    try:
        found = ip_network(given)
    except ValueError:
        what = "must be an address or network in CIDR notation without host bits, as 203.0.113.0/24"
        raise InvalidField([FieldViolation(f"ip_allowlist[{index}]", what, "ip_allowlist.cidr")]) from None
    if found.prefixlen == 0:
        what = "is every address there is: leave the list empty instead"
        raise InvalidField([FieldViolation(f"ip_allowlist[{index}]", what, "ip_allowlist.everywhere")])
    return str(found)
