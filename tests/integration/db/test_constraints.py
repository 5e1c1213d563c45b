"""What the tables refuse, whoever writes: the invariants' last line."""

from collections.abc import Mapping
from typing import Any

import pytest
from psycopg import errors

from db import journal
from db.adaptation import Micros
from db.session import ENGINE, PROJECTOR, SERVICES, Connection, connect
from tests.integration.db.conftest import PARTITION
from tests.integration.db.rows import BALANCE, CANDLE, EVENT, NOON, ORDER, POSTING, TRADE, TRANSFER, insert

WRITES = {
    "balances": BALANCE,
    "orders": ORDER,
    "trades": TRADE,
    "postings": POSTING,
    "transfers": TRANSFER,
    "account_events": EVENT,
    "candles": CANDLE,
}


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("balances", {**BALANCE, "available": -1}),
        ("balances", {**BALANCE, "held": -1}),
        ("balances", {**BALANCE, "account_id": "venue:fees", "held": -1}),
        ("orders", {**ORDER, "side": 3}),
        ("orders", {**ORDER, "held": -1}),
        ("orders", {**ORDER, "filled_lots": -1}),
        ("trades", {**TRADE, "lots": 0}),
        ("postings", {**POSTING, "amount": 0}),
        ("postings", {**POSTING, "amount": -5}),
        ("transfers", {**TRANSFER, "posted": 6}),
        ("transfers", {**TRANSFER, "amount": 0}),
        ("account_events", {**EVENT, "previous_sequence": 1}),
        ("candles", {**CANDLE, "low_ticks": 6}),
        ("candles", {**CANDLE, "high_ticks": 6}),
        ("candles", {**CANDLE, "interval_s": 300}),
    ],
)
async def test_a_row_that_breaks_an_invariant_is_refused(
    connection: Connection, table: str, row: Mapping[str, Any]
) -> None:
    with pytest.raises(errors.CheckViolation):
        await insert(connection, table, [row])


@pytest.mark.parametrize("account_id", ["venue:paper", "venue:external", "venue:fees"])
async def test_the_venues_own_accounts_may_go_below_zero(connection: Connection, account_id: str) -> None:
    await insert(connection, "balances", [{**BALANCE, "account_id": account_id, "available": -(10**30)}])
    cursor = await connection.execute("SELECT available FROM balances")
    assert await cursor.fetchone() == (-(10**30),)


async def test_a_label_is_unique_among_the_open_orders_of_an_account(connection: Connection) -> None:
    labelled = {**ORDER, "client_order_id": "mine"}
    await insert(connection, "orders", [labelled])
    await insert(connection, "orders", [{**labelled, "number": 2, "status": 5}, {**labelled, "number": 3, "status": 6}])
    await insert(connection, "orders", [{**labelled, "number": 4, "account_id": "demo-b"}])
    await insert(connection, "orders", [{**ORDER, "number": 5}, {**ORDER, "number": 6}])
    with pytest.raises(errors.UniqueViolation):
        await insert(connection, "orders", [{**labelled, "number": 7, "status": 3}])


@pytest.mark.parametrize(("first", "last"), [(0, 1), (5, 4), (1, 9), (3, 3)])
async def test_a_journal_row_that_overlaps_or_runs_backwards_is_refused(
    connection: Connection, first: int, last: int
) -> None:
    statement = "INSERT INTO journal VALUES (2, %s, %s, 1, 1, '', '', 0, '')"
    await connection.execute(statement, [1, 3])
    await connection.execute(statement, [4, 9])
    # (3, 3) overlaps inside of the first row: its end is that row's.
    with pytest.raises((errors.CheckViolation, errors.UniqueViolation)):
        await connection.execute(statement, [first, last])


@pytest.mark.parametrize("role", [SERVICES, ENGINE])
@pytest.mark.parametrize("table", WRITES)
async def test_only_the_projector_writes_the_engines_tables(
    connection: Connection, database_url: str, role: str, table: str
) -> None:
    await insert(connection, table, [WRITES[table]])
    other = await connect(database_url, application_name="test", role=role)
    cursor = await other.execute(f"SELECT count(*) FROM {table}")
    assert await cursor.fetchone() == (1,)
    for statement in (f"UPDATE {table} SET partition = 3", f"DELETE FROM {table}", f"TRUNCATE {table}"):
        with pytest.raises(errors.InsufficientPrivilege):
            await other.execute(statement)
    with pytest.raises(errors.InsufficientPrivilege):
        await insert(other, table, [WRITES[table]])
    await other.close()


async def test_the_projector_writes_state_and_adds_to_history_and_halts(
    connection: Connection, database_url: str
) -> None:
    projector = await connect(database_url, application_name="test", role=PROJECTOR)
    for table, row in WRITES.items():
        await insert(projector, table, [row])
    await projector.execute("UPDATE balances SET available = 2")
    for table in ("trades", "postings", "account_events"):
        with pytest.raises(errors.InsufficientPrivilege):
            await projector.execute(f"DELETE FROM {table}")
    with pytest.raises(errors.InsufficientPrivilege):
        await projector.execute("INSERT INTO journal VALUES (2, 1, 1, 1, 1, '', '', 0, '')")
    with pytest.raises(errors.InsufficientPrivilege):
        await projector.execute("UPDATE partitions SET epoch = 9")
    assert await journal.halt(projector, PARTITION, "diverged") is True
    await projector.close()


async def test_the_engine_appends_and_leads(connection: Connection, database_url: str) -> None:
    engine = await connect(database_url, application_name="test", role=ENGINE)
    assert await journal.take_over(engine, PARTITION, "h", "", 9.0) == 1
    row = journal.JournalRow(PARTITION, 1, 1, 1, 1, b"c", b"a", 5, b"h")
    assert await journal.append(engine, row, 9.0) is True
    with pytest.raises(errors.InsufficientPrivilege):
        await engine.execute("DELETE FROM journal")
    await engine.close()


async def test_services_can_neither_move_the_fence_nor_make_partitions(
    connection: Connection, database_url: str
) -> None:
    services = await connect(database_url, application_name="test", role=SERVICES)
    for statement in ("UPDATE partitions SET epoch = 9", "SELECT ensure_partitions(now())"):
        with pytest.raises(errors.InsufficientPrivilege):
            await services.execute(statement)
    await services.close()


async def test_never_is_kept_as_the_machine_counts_it(connection: Connection) -> None:
    await insert(connection, "orders", [{**ORDER, "expire_time": Micros(0), "update_time": Micros(NOON + 1)}])
    cursor = await connection.execute("SELECT expire_time, update_time FROM orders")
    assert await cursor.fetchone() == (0, NOON + 1)
