"""Limits that all servers count together, in Redis: of each caller the moment at which it would have everything again (the
generic cell rate algorithm), by Redis' own clock, in microseconds.
"""

from typing import Final, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError

LimitsAway = RedisError
# A call does not wait longer for a store that hangs.
TIMEOUT_S: Final = 0.1
PREFIX: Final = "venue:limit:"

# ARGV: microseconds of one call, microseconds of a whole limit, how many calls, how many more at most. Returns how many were
# taken, the microseconds to wait where none were, and those until everything is there again. Who has been quiet may take more
# than a whole limit at once.
_TAKE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local each, whole, count, more = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local full = math.max(now, tonumber(redis.call('GET', KEYS[1]) or now))
if count == 0 then return {0, 0, full - now} end
local room = math.floor((now + whole - full) / each + 0.001)
if room < count and full > now then return {0, math.ceil(full + count * each - now - whole), full - now} end
local taken = math.max(count, math.min(room, count + more))
full = math.ceil(full + taken * each)
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000) + 1)
return {taken, 0, full - now}
"""


class Taken(NamedTuple):
    """How many calls were taken, how long to wait where none were, and until everything is there again."""

    calls: int
    wait_s: float
    reset_s: float


class SharedLimits:
    """Raises LimitsAway where Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._take = redis.register_script(_TAKE)

    async def take(self, key: str, each_s: float, whole_s: float, count: int, more: int = 0) -> Taken:
        """Take `count` calls of a key, and up to so many `more`; 0 only looks. All of `count`, or none."""
        numbers = [each_s * 1e6, whole_s * 1e6, count, more]
        taken, wait_us, reset_us = await self._take(keys=[PREFIX + key], args=numbers)
        return Taken(int(taken), int(wait_us) / 1e6, int(reset_us) / 1e6)
