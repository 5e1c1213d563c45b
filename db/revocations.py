"""What ended access tokens before their time: what every server has to know of the auth room's tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from psycopg import OperationalError

from db.session import Pool
from servers.domain.errors import PartUnavailable

SESSIONS: Final = (
    "SELECT session_id FROM sessions WHERE revoke_time > clock_timestamp() - make_interval(secs => %(kept)s)"
    " UNION ALL SELECT api_key_id FROM api_keys WHERE revoke_time > clock_timestamp() - make_interval(secs => %(kept)s)"
)
VERSIONS: Final = (
    "SELECT user_id, access_version FROM users WHERE access_change_time > clock_timestamp() - make_interval(secs => %s)"
)


@dataclass(frozen=True, slots=True)
class Revocations:
    """Sessions and API keys that were ended, and for each user whose role or status changed the lowest version of a token still
    good.
    """

    sessions: frozenset[str] = frozenset()
    versions: Mapping[str, int] = field(default_factory=dict)


async def revocations(pool: Pool, within: timedelta) -> Revocations:
    """What happened so lately that access tokens from before may still live: `within` is such a token's life and what clocks
    may differ. Every server asks every few seconds.

    Raises PartUnavailable where the database is away.
    """
    try:
        async with pool.connection() as connection:
            ended = await (await connection.execute(SESSIONS, {"kept": within.total_seconds()})).fetchall()
            changed = await (await connection.execute(VERSIONS, (within.total_seconds(),))).fetchall()
    except OperationalError:
        raise PartUnavailable("the database") from None
    return Revocations(frozenset(session_id for (session_id,) in ended), dict(changed))
