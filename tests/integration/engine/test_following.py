"""What others read of a leader: the tail of its journal, and answers as new as they ask for."""

import asyncio

import pytest

from db.session import Connection
from servers.domain.errors import NotLeader
from tests.integration.engine.conftest import Lead
from tests.integration.engine.leading import Led, cancel, journal
from venue.engine.v1 import engine_pb2 as pb


async def read_tail(led: Led, after: int, last: int) -> list[pb.TailResponse]:
    """The tail's rows up to a sequence."""
    found = []
    tail = led.engine.tail(after)
    async for row in tail:
        found.append(row)
        if row.last_sequence >= last:
            break
    await tail.aclose()
    return found


def plain(row: object) -> tuple[object, ...]:
    names = ("first_sequence", "last_sequence", "epoch", "rules_version", "commands", "digest", "chain")
    return tuple(getattr(row, name) for name in names)


async def test_the_tail_is_the_journal(lead: Lead, database: Connection) -> None:
    led = await lead()
    account_id = await led.open_account()
    for _ in range(30):
        await led.place(account_id)
    await led.stop()
    # A new leader's memory has only its own rows; what came before is read from the table.
    second = await lead()
    for _ in range(30):
        await second.place(account_id)
    rows = await journal(database)
    last = rows[-1].last_sequence
    assert [plain(row) for row in await read_tail(second, 0, last)] == [plain(row) for row in rows]
    for after in (rows[10].last_sequence, rows[-2].last_sequence):
        expected = [plain(row) for row in rows if row.last_sequence > after]
        assert [plain(row) for row in await read_tail(second, after, last)] == expected


async def test_the_tail_goes_on_with_what_is_committed_and_ends_with_the_leader(lead: Lead) -> None:
    led = await lead()
    account_id = await led.open_account()
    sequence = led.sequencer.tail.sequence
    rows: list[pb.TailResponse] = []

    async def follow() -> None:
        async for row in led.engine.tail(sequence):
            rows.append(row)  # noqa: PERF401  # read while it grows

    following = asyncio.ensure_future(follow())
    for n in range(5):
        await asyncio.sleep(0.01)
        placed = await led.place(account_id)
        assert placed.order.sequence == sequence + 1 + n
    await asyncio.sleep(0.01)
    assert [row.last_sequence for row in rows] == [sequence + 1 + n for n in range(5)]
    await led.stop()
    with pytest.raises(NotLeader):
        await following


async def test_a_query_waits_for_the_sequence_it_names(lead: Lead) -> None:
    led = await lead()
    account_id = await led.open_account()
    sequence = led.exchange.clock.sequence
    query = pb.QueryRequest(min_sequence=sequence + 2, sequence=pb.SequenceQuery())
    waiting = asyncio.ensure_future(led.engine.query(query))
    placed = await led.place(account_id)
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await led.submit(cancel(placed.order.order_id))
    assert (await waiting).sequence == sequence + 2


async def test_a_query_that_waits_for_ever_ends_with_the_leader(lead: Lead) -> None:
    led = await lead()
    query = pb.QueryRequest(min_sequence=10**9, sequence=pb.SequenceQuery())
    waiting = asyncio.ensure_future(led.engine.query(query))
    await asyncio.sleep(0.05)
    await led.stop()
    with pytest.raises(NotLeader):
        await waiting
