"""Connections to the store that counts calls and tries for every server together, in Redis."""

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff


def open_counters(url: str, timeout_s: float) -> Redis:
    """A store that nobody waits longer for than `timeout_s`, and that is asked once.

    What comes at once waits for a connection: were it refused one, a flood would count in no place but its own server.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=16,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
    )
    return Redis.from_pool(pool)
