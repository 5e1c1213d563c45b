"""API keys as every server looks them up, through its pool. Apart from where they are kept (db/api_keys.py): SQLAlchemy takes a
third of a process's start, and most processes need it for nothing else.

Each function is one transaction; both raise PartUnavailable where the database is away.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from psycopg import OperationalError

from db.session import Pool
from servers.domain.errors import PartUnavailable

_FIND: Final = """
SELECT k.secret_hash, k.scopes, k.networks, k.account_id, k.expire_time,
       u.user_id, u.role, u.email, u.email_verified, u.access_version, k.signing, k.secret, k.public_key
FROM api_keys k JOIN users u USING (user_id)
WHERE k.api_key_id = %s AND k.revoke_time IS NULL AND u.status = 'ACTIVE'
  AND (k.expire_time IS NULL OR k.expire_time > clock_timestamp())
"""
_TOUCH: Final = """
UPDATE api_keys k SET last_use_time = greatest(k.last_use_time, used.time)
FROM unnest(%s::text[], %s::timestamptz[]) AS used (api_key_id, time)
WHERE k.api_key_id = used.api_key_id
"""


class KeyRecord(NamedTuple):
    """A key that is good now, and what of its user a server has to know; `expire_time_us` in microseconds since 1970.

    `signing` is NONE (only then there is a `secret_hash`), HMAC_SHA256 (`sealed_secret`) or ED25519 (`public_key`).
    """

    secret_hash: bytes | None
    scopes: Sequence[str]
    networks: Sequence[str]
    account_id: str | None
    expire_time_us: int | None
    user_id: str
    role: str
    email: str
    email_verified: bool
    access_version: int
    signing: str
    sealed_secret: bytes | None
    public_key: bytes | None


async def find_key(pool: Pool, api_key_id: str) -> KeyRecord | None:
    """A key that is good now."""
    try:
        async with pool.connection() as connection:
            row: tuple[Any, ...] | None = await (await connection.execute(_FIND, (api_key_id,))).fetchone()
    except OperationalError:
        raise PartUnavailable("the database") from None
    return None if row is None else KeyRecord(*row)


async def touch_keys(pool: Pool, used: Mapping[str, float]) -> None:
    """Write down when keys were last used, in seconds since 1970."""
    times = [datetime.fromtimestamp(second, UTC) for second in used.values()]
    try:
        async with pool.connection() as connection:
            await connection.execute(_TOUCH, (list(used), times))
    except OperationalError:
        raise PartUnavailable("the database") from None
