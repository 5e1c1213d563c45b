"""Sessions that were ended: what every server has to know of the auth room's tables."""

from datetime import timedelta

from psycopg import OperationalError

from db.session import Pool
from servers.domain.errors import PartUnavailable


async def revoked_sessions(pool: Pool, within: timedelta) -> set[str]:
    """The sessions ended so lately that their access tokens may still live: `within` is such a token's life and what clocks may
    differ. Every server asks every few seconds.

    Raises PartUnavailable where the database is away.
    """
    try:
        async with pool.connection() as connection:
            answer = await connection.execute(
                "SELECT session_id FROM sessions WHERE revoke_time > clock_timestamp() - make_interval(secs => %s)",
                (within.total_seconds(),),
            )
            rows = await answer.fetchall()
    except OperationalError:
        raise PartUnavailable("the database") from None
    return {session_id for (session_id,) in rows}
