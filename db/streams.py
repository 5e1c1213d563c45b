"""The bus: streams of what changed, one a market and one an account, and how far they are written.

Keys of a partition share a hash tag, so that one transaction holds them on a cluster too. An entry's id is the sequence of the
last command in it; an entry that is there already is not added twice.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

MARKET_ENTRIES_MAX: Final = 10_000
ACCOUNT_ENTRIES_MAX: Final = 500
ACCOUNT_IDLE_S: Final = 3_600
RECORD: Final = "r"
PREVIOUS: Final = "p"
TIMEOUT_S: Final = 5.0
BusError = RedisError


def market_key(partition: int, symbol: str) -> str:
    """Entries have the field RECORD."""
    return f"venue:{{p{partition}}}:market:{symbol}"


def account_key(partition: int, account_id: str) -> str:
    """Entries have the fields PREVIOUS (a sequence) and RECORD."""
    return f"venue:{{p{partition}}}:account:{account_id}"


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
    """An entry of an account's stream."""

    account_id: str
    sequence: int
    previous_sequence: int
    record: bytes


def open_bus(url: str) -> Redis:
    """A client that tries each command once; its callers try again. Connects at the first command."""
    client: Redis = Redis.from_url(
        url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 0)
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


async def publish(
    bus: Redis, partition: int, sequence: int, markets: list[MarketEntry], accounts: list[AccountEntry]
) -> int | None:
    """Add entries and move the last published sequence, all or nothing. Returns what that was before.

    Raises BusError, the outcome unknown.
    """
    pipeline = bus.pipeline(transaction=True)
    for market in markets:
        pipeline.execute_command(
            "XADD",
            market_key(partition, market.symbol),
            "MAXLEN",
            "~",
            MARKET_ENTRIES_MAX,
            f"{market.sequence}-{market.part}",
            RECORD,
            market.record,
        )
    for entry in accounts:
        pipeline.execute_command(
            "XADD",
            account_key(partition, entry.account_id),
            "MAXLEN",
            "~",
            ACCOUNT_ENTRIES_MAX,
            f"{entry.sequence}-0",
            PREVIOUS,
            entry.previous_sequence,
            RECORD,
            entry.record,
        )
    for account_id in {entry.account_id: None for entry in accounts}:
        pipeline.expire(account_key(partition, account_id), ACCOUNT_IDLE_S)
    pipeline.set(sequence_key(partition), sequence, get=True)
    answers: list[Any] = await pipeline.execute(raise_on_error=False)
    for answer in answers:
        if isinstance(answer, RedisError) and not _is_duplicate(answer):
            raise answer
    return None if answers[-1] is None else int(answers[-1])


def _is_duplicate(error: RedisError) -> bool:
    return isinstance(error, ResponseError) and "equal or smaller than the target stream top item" in str(error)
