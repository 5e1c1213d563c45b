"""The tables after a projection: equal to the machine, and true by themselves."""

from typing import Any

from db.session import Connection
from servers.domain.state import dump, state_hash
from tests.integration.replica.conftest import Project, load_tables
from tests.integration.replica.leader import PARTITION, Leader

FOLDED = """
SELECT account_id, asset, sum(amount) FROM ledger_entries WHERE partition = %s
GROUP BY account_id, asset HAVING sum(amount) <> 0 ORDER BY account_id, asset
"""
BALANCES = """
SELECT account_id, asset, available + held FROM balances WHERE partition = %s AND available + held <> 0
ORDER BY account_id, asset
"""
RECOUNTED = """
SELECT symbol, s, to_timestamp(floor(extract(epoch FROM time) / s) * s) AS open_time,
       (array_agg(ticks ORDER BY number))[1], max(ticks), min(ticks), (array_agg(ticks ORDER BY number DESC))[1],
       sum(lots), sum(notional), count(*)
FROM trades, (VALUES (1), (60)) AS intervals (s) WHERE partition = %s
GROUP BY symbol, s, open_time ORDER BY symbol, s, open_time
"""
CANDLES = """
SELECT symbol, interval_s, open_time, open_ticks, high_ticks, low_ticks, close_ticks, lots, notional, trade_count
FROM candles WHERE partition = %s ORDER BY symbol, interval_s, open_time
"""
BROKEN_CHAINS = """
SELECT account_id, sequence FROM (
    SELECT account_id, sequence, previous_sequence,
           lag(sequence, 1, 0::bigint) OVER (PARTITION BY account_id ORDER BY sequence, n) AS before
    FROM account_events WHERE partition = %s) AS chained
WHERE previous_sequence <> before
"""
LAST_EVENTS = """
SELECT a.account_id, a.last_event_sequence, max(e.sequence) FROM accounts a JOIN account_events e USING (partition, account_id)
WHERE partition = %s GROUP BY 1, 2 HAVING a.last_event_sequence <> max(e.sequence)
"""


async def rows(connection: Connection, query: str) -> list[tuple[Any, ...]]:
    cursor = await connection.execute(query, [PARTITION])
    return await cursor.fetchall()


async def test_the_tables_hold_what_the_machine_holds(database_url: str, leader: Leader, project: Project) -> None:
    await leader.run(60)
    await project(leader.exchange.clock.sequence)
    loaded = await load_tables(database_url)
    assert dump(loaded.exchange) == dump(leader.exchange)
    assert state_hash(loaded.exchange) == leader.hash
    assert (loaded.chain, loaded.sequence) == (leader.chain, leader.exchange.clock.sequence)


async def test_money_in_the_tables_is_true_by_itself(connection: Connection, leader: Leader, project: Project) -> None:
    await leader.run(60)
    await project(leader.exchange.clock.sequence)
    assert await rows(connection, FOLDED) == await rows(connection, BALANCES)
    sums = "SELECT asset, sum(amount) FROM ledger_entries WHERE partition = %s GROUP BY asset ORDER BY asset"
    assert await rows(connection, sums) == [("BTC", 0), ("ETH", 0), ("USD", 0)]
    traded = await rows(connection, "SELECT count(*), max(number) FROM trades WHERE partition = %s")
    assert traded == [(leader.exchange.clock.trade_number, leader.exchange.clock.trade_number)]
    assert leader.exchange.clock.trade_number > 50


async def test_candles_are_those_of_the_trades(connection: Connection, leader: Leader, project: Project) -> None:
    for _ in range(4):
        await leader.run(15)
        await project(leader.exchange.clock.sequence)
    found = await rows(connection, CANDLES)
    assert found == await rows(connection, RECOUNTED)
    assert len(found) > 20


async def test_the_record_of_an_account_has_no_gap(connection: Connection, leader: Leader, project: Project) -> None:
    for _ in range(3):
        await leader.run(20)
        await project(leader.exchange.clock.sequence)
    assert await rows(connection, BROKEN_CHAINS) == []
    assert await rows(connection, LAST_EVENTS) == []
    assert (await rows(connection, "SELECT count(*) > 500 FROM account_events WHERE partition = %s")) == [(True,)]


async def test_forgotten_requests_stay_in_the_tables(
    database_url: str, connection: Connection, project: Project
) -> None:
    leader = Leader(connection, seed=3, requests=50)
    await leader.begin()
    await leader.run(20)
    await project(leader.exchange.clock.sequence, 50)
    loaded = await load_tables(database_url, 50)
    assert state_hash(loaded.exchange) == leader.hash
    assert leader.exchange.clock.forgotten_time > 0
    smaller = await load_tables(database_url, 20)
    newest_forgotten = list(leader.exchange.requests.values())[-21]
    assert smaller.exchange.clock.forgotten_time == newest_forgotten.time
