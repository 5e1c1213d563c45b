"""Once a day what is old is let go: remembered requests, by configuration account events and the journal; hourly raw ticks."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import psycopg
import structlog

from db.price_ticks import turn_price_ticks
from db.retention import drop_account_events, prune_journal, prune_requests
from db.session import PROJECTOR, Connection, connect

log = structlog.get_logger()
EVERY_S: Final = 24 * 3600.0
TICKS_EVERY_S: Final = 3600.0
RETRY_S: Final = 60.0
# Rows of one statement, and how long others have the database between two.
ROWS_MAX: Final = 5_000
PAUSE_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Retention:
    """How many days are kept; 0: for ever. `request_memory` newest requests are kept in any case.

    Orders, trades and the ledger are the record: nothing of them is ever let go.
    """

    requests_days: int
    transfer_requests_days: int
    account_events_days: int
    journal_days: int
    request_memory: int


async def run(partitions: Iterable[int], url: str, kept: Retention) -> None:
    """Every day until cancelled; a database that is away is asked again."""
    numbers = list(partitions)
    while True:
        try:
            async with await connect(url, application_name="venue retention", role=PROJECTOR) as connection:
                await let_go(connection, numbers, kept, datetime.now(UTC))
        except psycopg.Error as error:
            log.warning("nothing let go of yet", cause=str(error))
            await asyncio.sleep(RETRY_S)
        else:
            await asyncio.sleep(EVERY_S)


async def run_ticks(url: str, hours: int) -> None:
    """Every hour until cancelled: raw ticks of sources that are older than so many hours go. They are no record of the venue."""
    while True:
        try:
            async with await connect(url, application_name="venue ticks", role=PROJECTOR) as connection:
                now = datetime.now(UTC)
                dropped = await turn_price_ticks(connection, now, now - timedelta(hours=hours))
            if dropped:
                log.info("raw ticks dropped", hours=dropped)
        except psycopg.Error as error:
            # Whatever it is: keeping house ends no projection.
            log.warning("raw ticks not let go of yet", cause=str(error))
            await asyncio.sleep(RETRY_S)
        else:
            await asyncio.sleep(TICKS_EVERY_S)


async def let_go(connection: Connection, partitions: Iterable[int], kept: Retention, now: datetime) -> dict[str, int]:
    """Let go of everything that is too old at a time. Returns how many rows (of account events: months)."""
    gone = {"requests": 0, "account_events": 0, "journal": 0}
    for partition in partitions:
        for days, transfers in ((kept.requests_days, False), (kept.transfer_requests_days, True)):
            gone["requests"] += await _forget(
                connection, partition, kept.request_memory, now, days, transfers=transfers
            )
        while kept.journal_days:
            before = now - timedelta(days=kept.journal_days)
            pruned = await prune_journal(connection, partition, before, ROWS_MAX)
            gone["journal"] += pruned
            if pruned < ROWS_MAX:
                break
            await asyncio.sleep(PAUSE_S)
    if kept.account_events_days:
        gone["account_events"] = await drop_account_events(connection, now - timedelta(days=kept.account_events_days))
    if any(gone.values()):
        log.info("let go", **gone)
    return gone


async def _forget(
    connection: Connection, partition: int, kept: int, now: datetime, days: int, *, transfers: bool
) -> int:
    """Forget request ids of one kind that are older than so many days; 0: none."""
    gone, before = 0, now - timedelta(days=days)
    while days:
        pruned = await prune_requests(connection, partition, before, kept, ROWS_MAX, transfers=transfers)
        gone += pruned
        if pruned < ROWS_MAX:
            break
        await asyncio.sleep(PAUSE_S)
    return gone
