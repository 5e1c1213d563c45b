"""Going on where another stream ended, on whatever server that was: trades from memory or the tables, a gap for the rest.

A place in the journal means the same to every server of a partition. One that is not as far yet waits a little; what it tells
twice is known by its sequence.
"""

import asyncio
import time
from typing import Final

import psycopg
import structlog

from db.session import Pool
from db.trades import list_trades, trades_after
from servers.domain.errors import PositionInvalid
from servers.domain.identifiers import positions
from servers.marketdata.past import trade_of_row
from servers.marketdata.series import NOT_KEPT, Cursor
from servers.marketdata.source import RESUME_AFTER
from servers.marketdata.subscriber import Subscriber
from servers.marketdata.tail import Tail
from servers.marketdata.tails import Tails
from servers.marketdata.view import TRADES, TRADES_MAX, View, trade_number
from venue.marketdata.v1 import marketdata_pb2 as pb

log = structlog.get_logger()
# How long this server may be behind the one that gave the position.
PATIENCE_S: Final = 2.0
POLL_S: Final = 0.01
REPLAYED_MAX: Final = 10_000


async def resume(subscriber: Subscriber, tails: Tails, pool: Pool, resume_after: str) -> None:
    """Let a stream that has not said anything yet go on after a position. Raises PositionInvalid, PartUnavailable."""
    sources = subscriber.rhythm.sources
    after = sources.resumed(resume_after)
    for position in positions(resume_after, RESUME_AFTER):
        tail = next(tail for tail in tails.all if tail.source.partition == position.partition)
        await _reached(tail, position.sequence, position.epoch)
    subscriber.position = resume_after
    subscriber.resumed = True
    for (symbol, channel, _), cursor in list(subscriber.cursors.items()):
        tail = tails.of(symbol)
        sequence = after.get(tail.source)
        if sequence is None:
            subscriber.resumed = False
            continue
        cursor.sequence = sequence
        frames = await _missed_trades(tail, pool, cursor, sequence, resume_after) if channel == TRADES else None
        if frames is None:
            cursor.missing = NOT_KEPT
            subscriber.resumed = False
        else:
            subscriber.give(frames)


async def _reached(tail: Tail, sequence: int, epoch: int) -> None:
    """Wait until a partition is known that far. Raises PositionInvalid: it is of the future."""
    deadline = time.monotonic() + PATIENCE_S
    while tail.source.taken < sequence and time.monotonic() < deadline:
        if sequence - tail.source.taken > REPLAYED_MAX:
            # Perhaps invented: better asked than waited for.
            break
        await asyncio.sleep(POLL_S)
    if tail.source.taken < sequence or tail.source.epoch < epoch:
        committed = await tail.committed()
        if sequence > committed.sequence or epoch > committed.epoch:
            raise PositionInvalid(RESUME_AFTER)


async def _missed_trades(tail: Tail, pool: Pool, cursor: Cursor, after: int, position: str) -> list[bytes] | None:
    """Frames with the trades of a series after a sequence up to where its log ends; None: they are not kept."""
    view = cursor.series.view
    remembered = list(view.trades)
    older: list[pb.Trade] = []
    if len(remembered) == TRADES_MAX and remembered[0].sequence > after:
        try:
            async with pool.connection() as connection:
                partition, before = tail.engine.partition, trade_number(remembered[0])
                rows = await trades_after(
                    connection, partition, view.symbol, after=after, before=before, limit=REPLAYED_MAX + 1
                )
                if len(rows) <= REPLAYED_MAX:
                    # The one before them says what the reader should know already.
                    before = rows[0].number if rows else before
                    rows = await list_trades(connection, partition, view.symbol, before=before, limit=1) + rows
        except psycopg.OperationalError as error:
            log.warning("tables not readable; a stream has a gap", partition=tail.engine.partition, cause=str(error))
            return None
        if len(rows) > REPLAYED_MAX and rows[0].sequence > after:
            return None
        older = [trade_of_row(tail.engine.partition, view, row) for row in rows]
    trades = _joined([*older, *remembered], view)
    if trades is None:
        return None
    # From here on nothing waits: what the log gets next goes on from where these end.
    cursor.place, cursor.missing = cursor.series.log.end, None
    previous = max((trade.sequence for trade in trades if trade.sequence <= after), default=0)
    missed = [trade for trade in trades if after < trade.sequence <= cursor.series.sequence]
    frames = []
    for first in range(0, len(missed), TRADES_MAX):
        page = missed[first : first + TRADES_MAX]
        frames.append(cursor.series.event(page, previous, page[-1].sequence, position))
        previous = page[-1].sequence
    cursor.sequence = previous
    return frames


def _joined(known: list[pb.Trade], view: View) -> list[pb.Trade] | None:
    """Trades that were known, and what came meanwhile; None where some of that is gone already."""
    last = trade_number(known[-1]) if known else 0
    now = list(view.trades)
    if len(now) == TRADES_MAX and trade_number(now[0]) > last:
        return None
    return known + [trade for trade in now if trade_number(trade) > last]
