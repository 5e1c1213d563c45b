"""What collectors keep in Redis: who may collect, what each source told last, and what became of it.

Every write carries the epoch of the lease it is made under, and one script checks it and writes: who has lost a lease, and does
not know it yet, writes nothing. Times are the server's own, so that the clocks of processes do not matter.
"""

from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from redis.asyncio import Redis

from db.cancellation import end_if_cancelled

# A lease that nobody holds or that has run out is taken with the next epoch; the holder's own is prolonged.
CLAIM: Final = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local found = redis.call('HMGET', KEYS[1], 'epoch', 'holder', 'until')
local epoch, holder, ends = tonumber(found[1] or '0'), found[2], tonumber(found[3] or '0')
if ends > now and holder ~= ARGV[1] then return 0 end
if ends <= now or holder ~= ARGV[1] then epoch = epoch + 1 end
redis.call('HSET', KEYS[1], 'epoch', epoch, 'holder', ARGV[1], 'until', now + tonumber(ARGV[2]))
return epoch
"""
RELEASE: Final = """
if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] then redis.call('HSET', KEYS[1], 'until', 0) end
return 1
"""
# Fields of a hash under a lease. In a value @ stands for the server's time in milliseconds.
WRITE: Final = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local found = redis.call('HMGET', KEYS[1], 'epoch', 'until')
if tonumber(found[1] or '0') ~= tonumber(ARGV[1]) or tonumber(found[2] or '0') <= now then return 0 end
local stamp = string.format('%.0f', now)
for i = 2, #ARGV, 2 do
    redis.call('HSET', KEYS[2], ARGV[i], (string.gsub(ARGV[i + 1], '^@', stamp)))
end
redis.call('EXPIRE', KEYS[2], 86400)
return 1
"""


class Told(NamedTuple):
    """What a source told last of a pair: atto, its age when it was heard, and how long ago that was, in milliseconds."""

    price: int
    age_ms: int
    heard_ms: int


def lease_key(name: str) -> str:
    return f"venue:{{feed}}:lease:{name}"


def quotes_key(source: str) -> str:
    return f"venue:{{feed}}:quotes:{source}"


STATES_KEY: Final = "venue:{feed}:states"
INDEX_KEY: Final = "venue:{feed}:index"


async def _heard(answer: Awaitable[Any]) -> Any:  # noqa: ANN401  the client's own shape
    """What the server answers. A cancellation that the client's time-outs swallowed ends the caller here, not never."""
    found = await answer
    end_if_cancelled()
    return found


async def claim(bus: Redis, name: str, holder: str, ttl_ms: int) -> int:
    """The epoch of a lease that the holder has from now on, 0 where somebody else has it. Raises BusError."""
    return int(await _heard(bus.register_script(CLAIM)([lease_key(name)], [holder, ttl_ms])))


async def release(bus: Redis, name: str, holder: str) -> None:
    """Let somebody else have it at once. Raises BusError."""
    await bus.register_script(RELEASE)([lease_key(name)], [holder])


async def _write(bus: Redis, name: str, epoch: int, key: str, fields: Mapping[str, str]) -> bool:
    values: list[str | int] = [epoch]
    for field, value in fields.items():
        values += (field, value)
    return bool(await _heard(bus.register_script(WRITE)([lease_key(name), key], values)))


async def write_quotes(bus: Redis, source: str, epoch: int, quotes: Iterable[tuple[str, int, int]]) -> bool:
    """Keep (pair, atto, age in milliseconds). False: the lease is not of this epoch any more. Raises BusError."""
    told = {pair: f"@ {price} {age_ms}" for pair, price, age_ms in quotes}
    return await _write(bus, source, epoch, quotes_key(source), told)


async def write_state(bus: Redis, source: str, epoch: int, state: str) -> bool:
    """Keep what a collector says of itself. False: as for quotes. Raises BusError."""
    return await _write(bus, source, epoch, STATES_KEY, {source: f"@ {state}"})


async def write_index(bus: Redis, name: str, epoch: int, entries: Mapping[str, str]) -> bool:
    """Keep what became of the quotes, by symbol. False: as for quotes. Raises BusError."""
    return await _write(bus, name, epoch, INDEX_KEY, {field: f"@ {text}" for field, text in entries.items()})


async def read_quotes(bus: Redis, sources: Iterable[str]) -> dict[str, dict[str, Told]]:
    """What each source told last, by pair. Raises BusError."""
    wanted = list(sources)
    pipeline = bus.pipeline(transaction=False)
    pipeline.time()
    for source in wanted:
        pipeline.hgetall(quotes_key(source))
    (seconds, micros), *found = await _heard(pipeline.execute())
    now = seconds * 1000 + micros // 1000
    return {
        source: {pair.decode(): _told(text, now) for pair, text in fields.items()}
        for source, fields in zip(wanted, found, strict=True)
    }


def _told(text: bytes, now_ms: int) -> Told:
    stamp, price, age_ms = map(int, text.split())
    heard_ms = max(0, now_ms - stamp)
    return Told(price, age_ms + heard_ms, heard_ms)


async def read_texts(bus: Redis, key: str) -> dict[str, tuple[int, str]]:
    """The entries of STATES_KEY or INDEX_KEY: how many milliseconds ago each was written, and its text. Raises BusError."""
    pipeline = bus.pipeline(transaction=False)
    pipeline.time()
    pipeline.hgetall(key)
    (seconds, micros), found = await _heard(pipeline.execute())
    now = seconds * 1000 + micros // 1000
    return {
        field.decode(): (max(0, now - int(stamp)), text.decode())
        for field, value in found.items()
        for stamp, _, text in [value.partition(b" ")]
    }
