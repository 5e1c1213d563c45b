"""What is let go of once it is old, and what never is."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from db import journal
from db.partitions import ensure_partitions
from db.session import PROJECTOR, connect
from servers.engine.retention import Retention, let_go
from tests.integration.db.rows import EVENT, TRANSFER, insert

PARTITION = 2
NOW = datetime(2026, 6, 15, tzinfo=UTC)
NEVER = Retention(0, 0, 0, 0, 0)


def at(days: float) -> datetime:
    return NOW - timedelta(days=days)


async def sequences(connection: psycopg.AsyncConnection[tuple[object, ...]], query: str) -> list[object]:
    return [row[0] for row in await (await connection.execute(query)).fetchall()]


@pytest.mark.parametrize(
    ("kept", "left"), [(0, [4, 5, 6]), (2, [4, 5, 6]), (4, [2, 3, 4, 5, 6]), (9, [1, 2, 3, 4, 5, 6])]
)
async def test_requests_are_forgotten_but_for_transfers_and_those_remembered(
    database_url: str, kept: int, left: list[int]
) -> None:
    async with await connect(database_url, application_name="test", role=PROJECTOR) as connection:
        for sequence, (scope, days) in enumerate(
            [("ann", 3), ("ben", 3), ("ann", 2), ("transfer", 2), ("ann", 0.9), ("ann", 0)], 1
        ):
            await connection.execute(
                "INSERT INTO requests VALUES (%s, %s, %s, '', %s, %s)",
                [PARTITION, scope, f"r{sequence}", sequence, at(days)],
            )
        assert await let_go(connection, [PARTITION], NEVER, NOW) == {"requests": 0, "account_events": 0, "journal": 0}
        gone = await let_go(connection, [1, PARTITION], Retention(1, 30, 0, 0, kept), NOW)
        assert await sequences(connection, "SELECT sequence FROM requests ORDER BY sequence") == left
        assert gone["requests"] == 6 - len(left)


async def test_those_of_transfers_are_kept_for_a_month_and_as_long_as_these_are_pending(database_url: str) -> None:
    async with await connect(database_url, application_name="test", role=PROJECTOR) as connection:
        for sequence, (days, state) in enumerate([(31, 1), (31, 2), (31, 3), (29, 2)], 1):
            await connection.execute(
                "INSERT INTO requests VALUES (%s, 'transfer', %s, '', %s, %s)",
                [PARTITION, f"t{sequence}", sequence, at(days)],
            )
            row = {**TRANSFER, "transfer_id": f"t{sequence}", "state": state, "sequence": sequence}
            await insert(connection, "transfers", [row])
        gone = await let_go(connection, [PARTITION], Retention(1, 30, 0, 0, 0), NOW)
        assert (gone["requests"], await sequences(connection, "SELECT sequence FROM requests ORDER BY 1")) == (
            2,
            [1, 4],
        )
        # What was moved stays on record.
        assert await sequences(connection, "SELECT transfer_id FROM transfers ORDER BY 1") == ["t1", "t2", "t3", "t4"]


async def test_the_journal_is_kept_as_far_as_a_reader_has_not_come(database_url: str) -> None:
    async with await connect(database_url, application_name="test") as owner:
        await journal.ensure_partition(owner, PARTITION, PARTITION)
        for sequence, days in enumerate((40, 40, 40, 1), 1):
            await owner.execute(
                "INSERT INTO journal VALUES (%s, %s, %s, 1, 1, '', '', 0, '', %s)",
                [PARTITION, sequence, sequence, at(days)],
            )
        projector = await connect(database_url, application_name="test", role=PROJECTOR)
        left = "SELECT first_sequence FROM journal ORDER BY 1"
        for positions, right in (
            ({}, [1, 2, 3, 4]),
            ({"bus": 9}, [1, 2, 3, 4]),
            ({"tables": 3}, [3, 4]),
            ({"tables": 9}, [4]),
        ):
            for reader, sequence in positions.items():
                await owner.execute(
                    "INSERT INTO projections VALUES (%s, %s, %s, 1, 0, '') "
                    "ON CONFLICT (partition, reader) DO UPDATE SET sequence = excluded.sequence",
                    [PARTITION, reader, sequence],
                )
            await let_go(projector, [PARTITION], Retention(0, 0, 0, 30, 0), NOW)
            assert await sequences(owner, left) == right
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await projector.execute("DELETE FROM journal")
        await projector.close()
        with pytest.raises(psycopg.errors.RestrictViolation):
            await owner.execute("DELETE FROM journal")


async def test_the_journal_is_kept_as_far_back_as_a_request_is_remembered(database_url: str) -> None:
    async with await connect(database_url, application_name="test") as owner:
        await journal.ensure_partition(owner, PARTITION, PARTITION)
        for first, last in ((1, 2), (3, 5), (6, 6)):
            await owner.execute(
                "INSERT INTO journal VALUES (%s, %s, %s, 1, 1, '', '', 0, '', %s)", [PARTITION, first, last, at(40)]
            )
        await owner.execute("INSERT INTO projections VALUES (%s, 'tables', 9, 1, 0, '')", [PARTITION])
        for partition, sequence in ((PARTITION, 4), (PARTITION, 6), (PARTITION + 1, 1)):
            await owner.execute(
                "INSERT INTO requests VALUES (%s, 'ann', %s, '', %s, %s)",
                [partition, f"r{sequence}", sequence, at(10 - sequence)],
            )
        async with await connect(database_url, application_name="test", role=PROJECTOR) as projector:
            for days, left in ((0, [3, 6]), (5, [6])):
                await let_go(projector, [PARTITION], Retention(days, 0, 0, 30, 0), NOW)
                assert await sequences(owner, "SELECT first_sequence FROM journal ORDER BY 1") == left


async def test_whole_months_of_account_events_are_dropped(database_url: str) -> None:
    async with await connect(database_url, application_name="test", role=PROJECTOR) as connection:
        for month in (2, 5):
            await ensure_partitions(connection, datetime(2026, month, 1, tzinfo=UTC))
        await insert(connection, "account_events", [EVENT])
        gone = await let_go(connection, [PARTITION], Retention(0, 0, 31, 0, 0), NOW)
        # February to April, and no part of May.
        assert gone["account_events"] == 3
        assert await sequences(connection, "SELECT sequence FROM account_events") == []
        assert (await let_go(connection, [PARTITION], Retention(0, 0, 31, 0, 0), NOW))["account_events"] == 0
