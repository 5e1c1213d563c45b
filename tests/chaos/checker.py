"""What must hold whatever happened: the record of the traders, the journal, the tables and the machine agree."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from db.journal import JournalRow, find_partition, read_after
from db.projections import TABLES, find_projection
from db.session import Connection, connect
from servers.domain.exchange import Exchange
from servers.domain.invariants import breaches
from servers.domain.state import dump
from servers.domain.terms import Environment
from servers.engine.answers import replayed
from servers.engine.recovery import Recovered, recover_tables
from servers.engine.replay import Replay
from tests.chaos.clients import Trader
from tests.chaos.driver import Venue
from venue.engine.v1 import engine_pb2
from venue.order.v1 import order_service_pb2

PARTITIONS: Final = {1: Environment.LIVE, 2: Environment.DEMO, 3: Environment.DEMO}
MEMORY: Final = 200_000
KINDS: Final = {"PlaceOrder": "place_order", "CancelOrder": "cancel_order", "CancelAllOrders": "cancel_all_orders"}
REPEATS_MAX: Final = 400
# Each of these finds nothing where everything is right.
FAULTS: Final = {
    "ledger sums": "SELECT asset, sum(amount) FROM ledger_entries WHERE partition = %s GROUP BY asset HAVING sum(amount) <> 0",
    "balances fold": """
        SELECT account_id, asset, e.total, b.total FROM
            (SELECT account_id, asset, sum(amount) AS total FROM ledger_entries WHERE partition = %(p)s GROUP BY 1, 2) e
            FULL JOIN (SELECT account_id, asset, available + held AS total FROM balances WHERE partition = %(p)s) b
            USING (account_id, asset)
        WHERE coalesce(e.total, 0) <> coalesce(b.total, 0)""",
    "negatives": """
        SELECT account_id, asset FROM balances JOIN accounts USING (partition, account_id)
        WHERE partition = %s AND (available < 0 OR held < 0)""",
    "event chains": """
        SELECT account_id, sequence FROM (
            SELECT account_id, sequence, previous_sequence,
                   lag(sequence, 1, 0::bigint) OVER (PARTITION BY account_id ORDER BY sequence, n) AS before
            FROM account_events WHERE partition = %s) AS chained
        WHERE previous_sequence <> before""",
    "trade numbers": """
        SELECT count(*), min(number), max(number) FROM trades WHERE partition = %s
        HAVING count(*) <> coalesce(max(number), 0) OR count(*) <> count(DISTINCT number)""",
    "both sides": """
        SELECT number, o.filled_lots, t.lots FROM orders o JOIN (
            SELECT number, sum(lots) AS lots FROM (
                SELECT maker_order AS number, lots FROM trades WHERE partition = %(p)s
                UNION ALL SELECT taker_order, lots FROM trades WHERE partition = %(p)s) AS sides
            GROUP BY number) t USING (number)
        WHERE o.partition = %(p)s AND o.filled_lots <> t.lots""",
    "doubled requests": """
        SELECT scope, request_id FROM requests WHERE partition = %s GROUP BY 1, 2 HAVING count(*) > 1""",
}


@dataclass
class Verdict:
    """What was found, for the eye."""

    commands: int
    rows: int
    acknowledged: int
    unknown: int


async def journal_of(connection: Connection, partition: int, last_sequence: int) -> list[JournalRow]:
    """Rows up to a sequence, which ends one."""
    found: list[JournalRow] = []
    while not found or found[-1].last_sequence < last_sequence:
        rows = await read_after(connection, partition, found[-1].last_sequence if found else 0, 500)
        assert rows, f"the journal ends before {last_sequence}"
        found += [row for row in rows if row.last_sequence <= last_sequence]
    return found


async def projected(venue: Venue, partition: int) -> None:
    """Until the tables have everything that is in the journal."""
    async with await connect(venue.database_url, application_name="checker") as connection, asyncio.timeout(60):
        while True:
            state = await find_partition(connection, partition)
            position = await find_projection(connection, partition, TABLES)
            assert state is not None
            assert state.halted_reason is None
            if position is not None and position.sequence == state.last_sequence:
                return
            await asyncio.sleep(0.05)


async def check(venue: Venue, traders: Sequence[Trader]) -> Verdict:
    """Raises AssertionError naming what does not hold."""
    commands = rows = 0
    told: dict[tuple[str, str], tuple[str, bytes]] = {}
    counted: Counter[tuple[str, str]] = Counter()
    for partition, environment in PARTITIONS.items():
        await projected(venue, partition)
        async with await connect(venue.database_url, application_name="checker") as connection:
            # What the traders left under way when they went may still be written: the tables say up to where we look.
            loaded = await recover_tables(connection, partition, environment, MEMORY)
            journal = await journal_of(connection, partition, loaded.sequence)
            replay = Replay(Exchange(partition, environment, MEMORY), bytes(32))
            for row in journal:
                replay.skip(row)
                _read(row, told, counted)
                await asyncio.sleep(0)
            rows += len(journal)
            commands += replay.sequence
            await _check_tables(connection, partition, loaded, replay)
    assert [key for key, count in counted.items() if count > 1] == []
    acknowledged, unknown = _check_record(venue, told)
    await _check_repeats(acknowledged, traders)
    return Verdict(commands, rows, len(acknowledged), unknown)


def _read(row: JournalRow, told: dict[tuple[str, str], tuple[str, bytes]], counted: Counter[tuple[str, str]]) -> None:
    """What a row's commands with a request_id were answered."""
    batch = engine_pb2.CommandBatch.FromString(row.commands).commands
    answers = engine_pb2.AnswerBatch.FromString(row.answers).answers
    assert len(batch) == len(answers) == row.last_sequence - row.first_sequence + 1
    for command, answer in zip(batch, answers, strict=True):
        kind = command.WhichOneof("body") or ""
        request_id = getattr(getattr(command, kind), "request_id", "")
        if request_id:
            counted[command.user_id, request_id] += 1
            told[command.user_id, request_id] = (kind, answer)


async def _check_tables(connection: Connection, partition: int, loaded: Recovered, replay: Replay) -> None:
    """The tables are what the journal says from its first row on, and true by themselves."""
    assert breaches(replay.exchange) == []
    assert (loaded.sequence, loaded.chain) == (replay.sequence, replay.chain)
    assert dump(loaded.exchange) == dump(replay.exchange)
    for name, query in FAULTS.items():
        values: Any = {"p": partition} if "%(p)s" in query else [partition]
        cursor = await connection.execute(query, values)
        assert (name, await cursor.fetchmany(5)) == (name, [])


def _check_record(venue: Venue, told: dict[tuple[str, str], tuple[str, bytes]]) -> tuple[list[dict[str, str]], int]:
    """Every acknowledged request is in the journal with just that answer. Returns them, and how many were left unknown."""
    by_request = {request_id: outcome for (_, request_id), outcome in told.items()}
    lines = [json.loads(line) for line in venue.record.read_text().splitlines()]
    acknowledged = [line for line in lines if "ack" in line]
    asked = {line["ask"] for line in lines if "ask" in line}
    refused = {line["refused"] for line in lines if "refused" in line}
    assert len({line["ack"] for line in acknowledged}) == len(acknowledged)
    # A refusal says that nothing was done.
    assert refused & by_request.keys() == set()
    for line in acknowledged:
        found = by_request.get(line["ack"])
        assert found is not None, f"acknowledged and not in the journal: {line}"
        kind, answer = found
        assert kind == KINDS[line["method"]]
        got = bytes.fromhex(line["answer"])
        assert got in {answer, replayed(kind, answer)}, line
    return acknowledged, len(asked) - len(refused) - len(acknowledged)


async def _check_repeats(acknowledged: list[dict[str, str]], traders: Sequence[Trader]) -> None:
    """Asked again, the venue says the same again."""
    by_account = {trader.account_id: trader for trader in traders}
    mine = [line for line in acknowledged if line["account"] in by_account]
    for line in random.Random(1).sample(mine, min(len(mine), REPEATS_MAX)):
        kind = getattr(order_service_pb2, f"{line['method']}Request")
        again = await by_account[line["account"]].send(line["method"], kind.FromString(bytes.fromhex(line["request"])))
        assert again.replayed
        first = type(again).FromString(bytes.fromhex(line["answer"]))
        again.replayed = first.replayed = False
        assert again == first
