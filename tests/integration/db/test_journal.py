"""The fence: only the leader of the newest epoch appends, in order, once."""

import asyncio
from dataclasses import replace

import pytest
from psycopg import errors

from db import journal
from db.journal import JournalRow
from db.session import Connection
from tests.integration.db.conftest import DEMO, PARTITION

LEASE_S = 30.0


def batch(first: int, last: int, epoch: int = 1) -> JournalRow:
    return JournalRow(PARTITION, first, last, epoch, 1, b"commands\x00", b"answers\xff", 2**64 - 1, b"c" * 32)


async def lead(connection: Connection, holder: str = "first") -> int:
    epoch = await journal.take_over(connection, PARTITION, holder, "127.0.0.1:1", LEASE_S)
    assert epoch is not None
    return epoch


async def rows(connection: Connection) -> list[JournalRow]:
    return await journal.read_after(connection, PARTITION, 0, 100)


async def test_rows_come_back_as_they_were_appended(connection: Connection) -> None:
    epoch = await lead(connection)
    first, second = batch(1, 3, epoch), batch(4, 4, epoch)
    assert [await journal.append(connection, row, LEASE_S) for row in (first, second)] == [True, True]
    assert await rows(connection) == [first, second]
    assert await journal.read_after(connection, PARTITION, 2, 1) == [first]
    assert await journal.read_after(connection, PARTITION, 3, 9) == [second]
    assert await journal.read_row(connection, PARTITION, 4) == second
    assert await journal.read_row(connection, PARTITION, 2) is None
    state = await journal.partition_row(connection, PARTITION)
    assert (state.environment, state.epoch, state.last_sequence, state.holder, state.address, state.halted_reason) == (
        DEMO,
        1,
        4,
        "first",
        "127.0.0.1:1",
        None,
    )


@pytest.mark.parametrize("wrong", [batch(1, 2), batch(2, 3), batch(4, 5), batch(3, 4, epoch=2), batch(3, 4, epoch=0)])
async def test_what_does_not_follow_is_not_appended(connection: Connection, wrong: JournalRow) -> None:
    assert await lead(connection) == 1
    assert await journal.append(connection, batch(1, 2), LEASE_S)
    assert await journal.append(connection, wrong, LEASE_S) is False
    assert await rows(connection) == [batch(1, 2)]
    assert (await journal.partition_row(connection, PARTITION)).last_sequence == 2


async def test_a_halted_partition_takes_nothing(connection: Connection) -> None:
    await lead(connection)
    assert await journal.halt(connection, PARTITION, "digest differs after 7") is True
    assert await journal.halt(connection, PARTITION, "a later reason") is False
    assert await journal.append(connection, batch(1, 1), LEASE_S) is False
    assert await rows(connection) == []
    assert (await journal.partition_row(connection, PARTITION)).halted_reason == "digest differs after 7"


async def test_a_stale_append_that_waits_for_the_takeover_does_not_commit(
    connection: Connection, rival: Connection
) -> None:
    assert await lead(connection) == 1
    await journal.release(connection, PARTITION, 1)
    async with rival.transaction():
        assert await lead(rival, "second") == 2
        stale = asyncio.create_task(journal.append(connection, batch(1, 1, epoch=1), LEASE_S))
        await asyncio.sleep(0.2)
        assert not stale.done()
    assert await stale is False
    assert await journal.append(rival, batch(1, 1, epoch=2), LEASE_S) is True
    assert [row.epoch for row in await rows(rival)] == [2]


async def test_a_takeover_that_waits_for_an_append_sees_it(connection: Connection, rival: Connection) -> None:
    assert await lead(connection) == 1
    await journal.release(connection, PARTITION, 1)
    async with connection.transaction():
        assert await journal.append(connection, batch(1, 2), 0.0) is True
        successor = asyncio.create_task(journal.take_over(rival, PARTITION, "second", "", LEASE_S))
        await asyncio.sleep(0.2)
        assert not successor.done()
    assert await successor == 2
    assert await rows(rival) == [batch(1, 2)]


async def test_a_running_lease_keeps_others_out_but_not_its_holder(connection: Connection, rival: Connection) -> None:
    assert await lead(connection) == 1
    assert await journal.take_over(rival, PARTITION, "second", "", LEASE_S) is None
    assert await lead(connection) == 2
    assert 0 < (await journal.partition_row(rival, PARTITION)).lease_left_s <= LEASE_S


async def test_a_lease_runs_out(connection: Connection, rival: Connection) -> None:
    assert await journal.take_over(connection, PARTITION, "first", "", 0.1) == 1
    assert await journal.take_over(rival, PARTITION, "second", "", LEASE_S) is None
    await asyncio.sleep(0.15)
    assert await journal.take_over(rival, PARTITION, "second", "", LEASE_S) == 2


async def test_renewing_and_releasing_are_for_the_newest_epoch(connection: Connection, rival: Connection) -> None:
    assert await lead(connection) == 1
    assert await journal.renew(connection, PARTITION, 1, 60.0) is True
    assert (await journal.partition_row(connection, PARTITION)).lease_left_s > LEASE_S
    assert await journal.release(connection, PARTITION, 1) is True
    state = await journal.partition_row(connection, PARTITION)
    assert (state.lease_left_s, state.holder, state.address) == (0.0, "", "")
    assert await lead(rival, "second") == 2
    assert await journal.renew(connection, PARTITION, 1, 60.0) is False
    assert await journal.release(connection, PARTITION, 1) is False
    assert (await journal.partition_row(connection, PARTITION)).holder == "second"


async def test_an_append_renews_the_lease(connection: Connection) -> None:
    assert await lead(connection) == 1
    assert await journal.append(connection, batch(1, 1), 90.0)
    assert (await journal.partition_row(connection, PARTITION)).lease_left_s > 60


async def test_a_partition_keeps_its_environment(connection: Connection) -> None:
    await journal.ensure_partition(connection, PARTITION, DEMO)
    with pytest.raises(journal.EnvironmentFixedError):
        await journal.ensure_partition(connection, PARTITION, 1)
    assert await journal.find_partition(connection, 77) is None
    with pytest.raises(LookupError):
        await journal.partition_row(connection, 77)


async def test_the_journal_is_append_only_outside_maintenance(connection: Connection) -> None:
    assert await journal.append(connection, batch(1, 2, await lead(connection)), LEASE_S)
    for statement in ("UPDATE journal SET epoch = 9", "DELETE FROM journal", "TRUNCATE journal"):
        with pytest.raises(errors.RestrictViolation, match="append-only"):
            await connection.execute(statement)
    async with connection.transaction():
        await connection.execute("SET LOCAL venue.maintenance = 'on'")
        await connection.execute("UPDATE journal SET epoch = 9")
    assert await rows(connection) == [replace(batch(1, 2), epoch=9)]


async def test_an_append_is_cheap_beside_its_commit(connection: Connection) -> None:
    """The server plans it once: after five times psycopg has prepared it, under one name for all sizes of number."""
    epoch = await lead(connection)
    for sequence in (1, 2, 3, 40_000, 3_000_000_000):
        await connection.execute("UPDATE partitions SET last_sequence = %s", [sequence - 1])
        assert await journal.append(connection, batch(sequence, sequence, epoch), LEASE_S)
    cursor = await connection.execute(
        "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%INTO journal%'"
    )
    assert await cursor.fetchone() == (1,)
