"""The bus: streams of what changed, one a market and one an account, and how far they are written.

Keys of a partition share a hash tag, so that one transaction holds them on a cluster too. An entry's id is the sequence of the
last command in it; an entry that is there already is not added twice.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from struct import Struct
from typing import Any, Final, NamedTuple, TypeAlias

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from db.cancellation import end_if_cancelled

MARKET_ENTRIES_MAX: Final = 10_000
ACCOUNT_ENTRIES_MAX: Final = 500
# Records of one account that are published at once share entries, so many each: an entry costs client and bus more than a record.
RECORDS_AN_ENTRY: Final = 32
# How many entries of a stream a read takes: some 500 records of an account that is busy.
ACCOUNT_ENTRIES_A_READ: Final = 16
ACCOUNT_IDLE_S: Final = 3_600
RECORD: Final = b"r"
# Before each record of an account's entry: its sequence, that of the event before, how long it is.
_BEFORE_RECORD: Final = Struct(">QQI")
TIMEOUT_S: Final = 5.0
BusError = RedisError
# One command and one answer however many entries there are: a transaction of as many XADD costs the client five times as much.
# An entry that is there already is refused by XADD, and stays. A bus that is not where its writer left it has lost something: the
# writer learns that before anything is added, as it may not live to tell it with its next entries.
PUBLISH: Final = """
local before = redis.call('GET', KEYS[1])
if (before or '') ~= ARGV[6] then return before end
local accounts = tonumber(ARGV[2]) + 2
for i = 2, #KEYS do
    local kept = i < accounts and ARGV[3] or ARGV[4]
    local answer = redis.pcall('XADD', KEYS[i], 'MAXLEN', '~', kept, ARGV[2 * i + 3], 'r', ARGV[2 * i + 4])
    if i >= accounts then redis.call('EXPIRE', KEYS[i], ARGV[5]) end
    if type(answer) == 'table' and answer.err and not string.find(answer.err, 'equal or smaller', 1, true) then
        return answer
    end
end
redis.call('SET', KEYS[1], ARGV[1])
return before
"""


def market_key(partition: int, symbol: str) -> str:
    """Entries have the field RECORD: a MarketRecord."""
    return f"venue:{{p{partition}}}:market:{symbol}"


def account_key(partition: int, account_id: str) -> str:
    """Entries have the field RECORD: account records one after the other; see `joined`. The last one's sequence is the id."""
    return f"venue:{{p{partition}}}:events:{account_id}"


def sequence_key(partition: int) -> str:
    """The last sequence whose entries are all there."""
    return f"venue:{{p{partition}}}:sequence"


class MarketEntry(NamedTuple):
    """An entry of a market's stream; `part` 1 stands behind an entry of the same sequence."""

    symbol: str
    sequence: int
    part: int
    record: bytes


class AccountEntry(NamedTuple):
    """What one command changed for an account."""

    account_id: str
    sequence: int
    previous_sequence: int
    record: bytes


# The same where it is written: two are made for nearly every command.
AccountFields: TypeAlias = tuple[str, int, int, bytes]


def joined(records: Sequence[AccountFields]) -> bytes:
    """Records of one account as an entry of its stream holds them."""
    parts: list[bytes] = []
    for _, sequence, previous, record in records:
        parts += (_BEFORE_RECORD.pack(sequence, previous, len(record)), record)
    return b"".join(parts)


def parted(account_id: str, entry: bytes) -> Iterator[AccountEntry]:
    """The records of an account's entry, in order."""
    at = 0
    while at < len(entry):
        sequence, previous, length = _BEFORE_RECORD.unpack_from(entry, at)
        at += _BEFORE_RECORD.size + length
        yield AccountEntry(account_id, sequence, previous, entry[at - length : at])


def open_bus(url: str) -> Redis:
    """A client that tries each command once; its callers try again. Connects at the first command."""
    # The second protocol: the third gives some answers another shape, and nothing here needs it.
    client: Redis = Redis.from_url(
        url, protocol=2, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 0)
    )
    return client


async def find_published(bus: Redis, partition: int) -> int | None:
    """The last published sequence, None if the bus knows of none. Raises BusError."""
    found = await bus.get(sequence_key(partition))
    return None if found is None else int(found)


async def last_market_ids(bus: Redis, partition: int, symbols: Iterable[str]) -> dict[str, int]:
    """The sequence of the last entry of each market's stream, 0 where there is none. Raises BusError."""
    wanted = list(symbols)
    pipeline = bus.pipeline(transaction=False)
    for symbol in wanted:
        pipeline.xrevrange(market_key(partition, symbol), count=1)
    found = await pipeline.execute()
    return {
        symbol: int(entries[0][0].partition(b"-")[0]) if entries else 0
        for symbol, entries in zip(wanted, found, strict=True)
    }


async def _read(bus: Redis, behind: dict[Any, Any], count: int, block_ms: int) -> Any:  # noqa: ANN401  the client's own shape
    """Entries behind ids. A cancellation that the client's time-outs swallowed ends the caller here, not never."""
    found = await bus.xread(behind, count=count, block=block_ms)
    end_if_cancelled()
    return found


async def read_markets(
    bus: Redis, partition: int, after: Mapping[str, str], *, block_ms: int, entries_max: int
) -> list[tuple[str, str, bytes]]:
    """Entries of markets' streams behind the given ids: (symbol, id, record), in order within a market.

    Waits for the first one at most `block_ms`, which must be less than TIMEOUT_S. Raises BusError.
    """
    symbols = {market_key(partition, symbol).encode(): symbol for symbol in after}
    streams: dict[Any, Any] = {market_key(partition, symbol): last for symbol, last in after.items()}
    found = await _read(bus, streams, entries_max, block_ms)
    by_key = found.items() if isinstance(found, dict) else found or []
    return [
        (symbols[key], entry_id.decode(), fields[RECORD]) for key, entries in by_key for entry_id, fields in entries
    ]


async def publish(
    bus: Redis,
    partition: int,
    before: int | None,
    sequence: int,
    markets: list[MarketEntry],
    accounts: Sequence[AccountFields],
) -> int | None:
    """Add entries and move the last published sequence on from `before` (None: there is none), all or nothing.

    Returns what it was: nothing was written where that is not `before`. Raises BusError, the outcome unknown.
    """
    # Bytes are packed as they are, where text and numbers are looked at first.
    keys = [sequence_key(partition).encode()]
    values: list[bytes | int] = [sequence, len(markets), MARKET_ENTRIES_MAX, ACCOUNT_ENTRIES_MAX, ACCOUNT_IDLE_S]
    values.append(b"" if before is None else before)
    for market in markets:
        keys.append(market_key(partition, market.symbol).encode())
        values += (b"%d-%d" % (market.sequence, market.part), market.record)
    by_account: dict[str, list[AccountFields]] = {}
    for fields in accounts:
        by_account.setdefault(fields[0], []).append(fields)
    for account_id, records in by_account.items():
        key = account_key(partition, account_id).encode()
        for at in range(0, len(records), RECORDS_AN_ENTRY):
            together = records[at : at + RECORDS_AN_ENTRY]
            keys.append(key)
            values += (b"%d-0" % together[-1][1], joined(together))
    found = await bus.register_script(PUBLISH)(keys, values)
    return None if found is None else int(found)


async def read_accounts(bus: Redis, partition: int, after: Mapping[str, int], wait_s: float) -> list[AccountEntry]:
    """What happened after a sequence to each of some accounts, in order an account; waits up to `wait_s` (> 0) for the first.

    A bus that lost its end may tell something twice. Raises BusError.
    """
    names = {account_key(partition, account_id).encode(): account_id for account_id in after}
    behind: dict[Any, Any] = {key: f"{after[account_id]}-0" for key, account_id in names.items()}
    found = await _read(bus, behind, ACCOUNT_ENTRIES_A_READ, max(1, int(wait_s * 1000)))
    return [
        record
        for key, entries in found or ()
        for _, fields in entries
        for record in parted(names[key], fields[RECORD])
        if record.sequence > after[record.account_id]
    ]


async def read_account(
    bus: Redis, partition: int, account_id: str, after: int, until: int
) -> tuple[list[AccountEntry], int]:
    """What happened to an account after one sequence up to another, in order, and the last sequence that is published (0: none).

    What was trimmed is left out, the oldest first. Raises BusError.
    """
    key = account_key(partition, account_id)
    pipeline = bus.pipeline(transaction=False)
    pipeline.get(sequence_key(partition))
    pipeline.xrange(key, min=f"{after + 1}-0", max=f"{until}-0")
    # What ends behind it may begin before.
    pipeline.xrange(key, min=f"{until + 1}-0", count=1)
    published, entries, last = await pipeline.execute()
    found: list[AccountEntry] = []
    for _, fields in (*entries, *last):
        for record in parted(account_id, fields[RECORD]):
            if (found[-1].sequence if found else after) < record.sequence <= until:
                found.append(record)
    return found, int(published or 0)
