"""The proof of the ledger: it holds, and whatever is done to tables or journal behind its back is named."""

import asyncio
from typing import Any

import psycopg
from typer.testing import CliRunner

from db.session import SERVICES, open_pool
from servers.admin.ledger_command import app
from servers.admin.verify_ledger import NIGHT, Prover
from servers.config import Settings
from tests.integration.admin.conftest import Desk
from tests.integration.admin.test_pending_actions import account_of
from venue.admin.v1 import admin_pb2 as pb

DEMO = 2


def broken(url: str, statement: str, *values: object) -> None:
    """Done by somebody who has the database."""
    with psycopg.connect(url) as connection:
        connection.execute("ALTER TABLE journal DISABLE TRIGGER USER")
        connection.execute(statement.encode(), values)
        connection.execute("ALTER TABLE journal ENABLE TRIGGER USER")


async def proof(desk: Desk, name: str = "cleo") -> pb.LedgerProof:
    found: pb.LedgerProof = (await desk.ask(name, pb.VerifyLedgerRequest(partition=DEMO))).proofs[0]
    return found


async def test_acc8_the_ledger_is_proved_and_a_changed_balance_or_journal_row_is_named(desk: Desk) -> None:
    account_id = await account_of(desk, "ulla")
    good = await proof(desk)
    assert (good.holds, good.broken_sequence, list(good.differences), list(good.unbalanced_assets)) == (True, 0, [], [])
    assert good.journal_rows > 0
    assert good.first_sequence == 1
    assert good.last_sequence >= good.sequence > 0
    every = (await desk.ask("ada", pb.VerifyLedgerRequest())).proofs
    assert [(each.partition, each.holds) for each in every] == [(1, True), (2, True), (3, True)]
    assert await desk.refused("ada", pb.VerifyLedgerRequest(partition=9)) == ("NOT_FOUND", "PARTITION_NOT_FOUND")
    assert (await desk.refused("sam", pb.VerifyLedgerRequest()))[1] == "NOT_PERMITTED"
    # Somebody gives himself a dollar.
    more = "UPDATE balances SET available = available + %s WHERE account_id = %s AND asset = 'USD'"
    await asyncio.to_thread(broken, desk.database_url, more, 10**8, account_id)
    bad = await proof(desk)
    assert not bad.holds
    assert [(each.account_id, each.asset, each.balance, each.entries) for each in bad.differences] == [
        (account_id, "USD", "100001", "100000")
    ]
    assert list(bad.unbalanced_assets) == ["USD"]
    await asyncio.to_thread(broken, desk.database_url, more, -(10**8), account_id)
    assert (await proof(desk)).holds
    # Somebody cuts the end of history off, as far as the tables have it.
    last = "DELETE FROM journal WHERE partition = %s AND last_sequence >= %s"
    await asyncio.to_thread(broken, desk.database_url, last, DEMO, (await proof(desk)).sequence)
    cut = await proof(desk)
    assert not cut.holds
    assert cut.broken_sequence > 1
    # Somebody writes history anew.
    await asyncio.to_thread(
        broken,
        desk.database_url,
        "UPDATE journal SET commands = commands || '\\x00'::bytea WHERE partition = %s AND first_sequence = 1",
        DEMO,
    )
    bad = await proof(desk)
    assert (bad.holds, bad.broken_sequence) == (False, 1)
    outcomes = [row[4] for row in await desk.audited("LEDGER_VERIFY")]
    assert await desk.rows("SELECT kind, severity, state FROM alerts") == [("LEDGER_DIFFERS", "CRITICAL", "OPEN")]
    assert outcomes == ["OK", "OK", "PARTITION_NOT_FOUND", "DIFFERS", "OK", "OK", "DIFFERS", "DIFFERS"]


async def test_acc8_the_command_proves_every_partition_and_ends_with_one_where_something_differs(
    desk: Desk, tmp_path: Any
) -> None:
    account_id = await account_of(desk, "ulla")
    partitions = {"1": "LIVE", "2": "DEMO", "3": "DEMO"}
    settings = Settings.model_validate(
        {"database_url": desk.database_url, "state_dir": str(tmp_path / "state"), "partitions": partitions}
    )

    def verify() -> Any:
        return CliRunner().invoke(app, ["verify"], obj=settings, env={"COLUMNS": "200"})

    def explain(asset: str) -> Any:
        return CliRunner().invoke(app, ["explain", account_id, asset], obj=settings, env={"COLUMNS": "200"})

    told = await asyncio.to_thread(explain, "BTC")
    assert (told.exit_code, f"{account_id} with venue:paper" in told.stdout) == (0, True), told.output
    none = await asyncio.to_thread(explain, "SOL")
    assert (none.exit_code, none.stdout.strip()) == (1, f"no entries of SOL in {account_id}")
    good = await asyncio.to_thread(verify)
    assert (good.exit_code, good.stdout.count("good")) == (0, 3), good.output
    entry = "DELETE FROM postings WHERE partition = 2 AND credit_account_id = %s AND asset = 'BTC'"
    await asyncio.to_thread(broken, desk.database_url, entry, account_id)
    bad = await asyncio.to_thread(verify)
    assert bad.exit_code == 1
    assert f"partition 2: {account_id} has 10 BTC, its entries sum to 0" in bad.stdout
    # At night it is proved by itself, and people are told.
    pool = await open_pool(desk.database_url, application_name="test", role=SERVICES)
    night = asyncio.create_task(Prover(pool, desk.engine, [DEMO]).keep_proving(0.0))

    async def proofs() -> list[Any]:
        return [row for row in await desk.audited("LEDGER_VERIFY") if row[0] == NIGHT.name]

    async def proved() -> bool:
        return bool(await proofs())

    try:
        await desk.eventually(proved, "the proof of the night")
    finally:
        night.cancel()
        await asyncio.wait([night])
        await pool.close()
    assert [row[4] for row in await proofs()] == ["DIFFERS"]
    assert ("LEDGER_DIFFERS", "OPEN") in await desk.rows("SELECT kind, state FROM alerts")
