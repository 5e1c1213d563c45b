"""Nonces of signed calls, remembered in Redis so that every server knows which were there."""

from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

NoncesAway = RedisError
PREFIX: Final = "venue:nonce:"


class Nonces:
    """Raises NoncesAway where Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def take(self, nonce: str, kept_s: float) -> bool:
        """Remember one for so long. False where it was there already."""
        return bool(await self._redis.set(PREFIX + nonce, b"", nx=True, px=int(kept_s * 1000)))
