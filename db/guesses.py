"""Tries at log-ins that did not succeed, in sliding windows in Redis, so that every server counts together.

A key holds the moments of its tries, by Redis' own clock. All keys have one hash tag: a try is taken by all of them or by none.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

GuessesAway = RedisError
# A log-in does not wait longer for a store that hangs.
TIMEOUT_S: Final = 0.25
PREFIX: Final = "venue:{guesses}:"


@dataclass(frozen=True, slots=True)
class Rule:
    """When a key takes a try: `limits` are (so many, within so many seconds); after `free` tries each further one waits for the
    one before, `first_wait_s` and twice as long each time, up to `last_wait_s`. Tries are kept for `kept_s`.
    """

    limits: tuple[tuple[int, float], ...]
    kept_s: float
    free: int | None = None
    first_wait_s: float = 1.0
    last_wait_s: float = 60.0


# ARGV: the rules of KEYS as JSON, and the try's own id. Returns the milliseconds to wait, 0 where the try was taken.
_BEGIN: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local rules = cjson.decode(ARGV[1])
local wait = 0
for i, key in ipairs(KEYS) do
    local rule = rules[i]
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now - rule.kept_s * 1000)
    for _, limit in ipairs(rule.limits) do
        local oldest = redis.call('ZREVRANGE', key, limit[1] - 1, limit[1] - 1, 'WITHSCORES')
        if oldest[2] then wait = math.max(wait, oldest[2] + limit[2] * 1000 - now) end
    end
    if type(rule.free) == 'number' then
        local over = redis.call('ZCARD', key) - rule.free
        if over >= 0 then
            local last = redis.call('ZREVRANGE', key, 0, 0, 'WITHSCORES')
            local pause = math.min(rule.last_wait_s, rule.first_wait_s * 2 ^ math.min(over, 10))
            if last[2] then wait = math.max(wait, last[2] + pause * 1000 - now) end
        end
    end
end
if wait > 0 then return math.ceil(wait) end
for i, key in ipairs(KEYS) do
    redis.call('ZADD', key, now, ARGV[2])
    redis.call('PEXPIRE', key, math.ceil(rules[i].kept_s * 1000))
end
return 0
"""


class Guesses:
    """Every method raises GuessesAway where Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._begin = redis.register_script(_BEGIN)

    async def begin(self, keys: Sequence[str], rules: Sequence[Rule], attempt_id: str) -> float:
        """Take a try under all `keys`, each with its rule, or none. Returns the seconds to wait, 0.0 where it was taken."""
        written = json.dumps([asdict(rule) for rule in rules])
        return int(await self._begin(keys=[PREFIX + key for key in keys], args=[written, attempt_id])) / 1000

    async def take_back(self, keys: Sequence[str], attempt_id: str) -> None:
        """Forget one try."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.zrem(PREFIX + key, attempt_id)
            await pipeline.execute()

    async def forget(self, key: str) -> None:
        """Forget every try of a key."""
        await self._redis.delete(PREFIX + key)
