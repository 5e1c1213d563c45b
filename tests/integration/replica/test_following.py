"""Where rows come from: the leader's Tail while it answers and is right, else the table."""

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from db.journal import JournalRow, append, read_after
from db.session import connect
from db.streams import publish
from servers.domain.errors import PartUnavailable
from servers.domain.exchange import RULES_VERSION
from servers.domain.state import state_hash
from servers.domain.terms import Environment
from servers.engine import publisher
from servers.engine.follower import Tail
from servers.engine.measures import ReplicaMeasures
from servers.engine.replica import Replica, RulesUnknown, run
from tests.integration.replica.conftest import kill, load_tables, until
from tests.integration.replica.leader import LEASE_S, PARTITION, Leader
from venue.engine.v1 import engine_pb2 as pb


def response(row: JournalRow) -> pb.TailResponse:
    return pb.TailResponse(
        first_sequence=row.first_sequence,
        last_sequence=row.last_sequence,
        epoch=row.epoch,
        rules_version=row.rules_version,
        commands=row.commands,
        digest=row.digest,
        chain=row.chain,
    )


class Rows:
    """A Tail of rows that were told to it, and how often it was asked for one."""

    def __init__(self) -> None:
        self.rows: list[pb.TailResponse] = []
        self.told = 0
        self.asked = 0

    async def tail(self, after_sequence: int) -> AsyncIterator[pb.TailResponse]:
        self.asked += 1
        while True:
            found = [row for row in self.rows if row.first_sequence == after_sequence + 1]
            for row in found[:1]:
                self.told += 1
                after_sequence = max(each.last_sequence for each in (row, *row.following))
                yield row
            await asyncio.sleep(0.002)


async def unavailable(after_sequence: int) -> AsyncIterator[pb.TailResponse]:
    if after_sequence >= 0:
        raise PartUnavailable("the engine")
    yield pb.TailResponse()


async def start(database_url: str, bus: Redis, tail: Tail) -> tuple[Replica, "asyncio.Task[None]"]:
    base = await load_tables(database_url)
    replica = Replica(base, database_url, bus, tail, ReplicaMeasures(CollectorRegistry()))
    return replica, asyncio.create_task(replica.run())


async def test_rows_come_from_the_tail_while_it_answers(database_url: str, bus: Redis, leader: Leader) -> None:
    rows = Rows()
    replica, task = await start(database_url, bus, rows.tail)
    await until(lambda: rows.asked > 0)
    for _ in range(20):
        rows.rows.append(response(await leader.commit([leader.place() for _ in range(9)])))
        await until(lambda: replica.tables.sequence == leader.exchange.clock.sequence)
    await kill(task)
    assert rows.told >= 18
    assert state_hash((await load_tables(database_url)).exchange) == leader.hash


async def test_small_rows_that_come_together_are_published_together(
    database_url: str, bus: Redis, leader: Leader, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[int] = []

    async def count(*publication: Any) -> int | None:
        published.append(1)
        return await publish(*publication)

    monkeypatch.setattr(publisher, "publish", count)
    rows = Rows()
    replica, task = await start(database_url, bus, rows.tail)
    await until(lambda: rows.asked > 0)
    first, *following = [response(await leader.commit([leader.place()])) for _ in range(20)]
    first.following.extend(following)
    rows.rows.append(first)
    await until(lambda: replica.bus.sequence == leader.exchange.clock.sequence)
    await kill(task)
    assert len(published) <= 2


async def test_a_wrong_row_of_a_tail_is_read_from_the_table(database_url: str, bus: Redis, leader: Leader) -> None:
    rows = Rows()
    replica, task = await start(database_url, bus, rows.tail)
    await until(lambda: rows.asked > 0)
    for _ in range(5):
        wrong = response(await leader.commit([leader.place() for _ in range(9)]))
        wrong.commands = wrong.commands[:-1] + b"\x00"
        rows.rows.append(wrong)
    await until(lambda: task.done() or replica.tables.sequence == leader.exchange.clock.sequence)
    assert not task.done()
    await kill(task)
    assert state_hash((await load_tables(database_url)).exchange) == leader.hash


async def test_a_leader_that_does_not_answer_is_not_waited_for(database_url: str, bus: Redis, leader: Leader) -> None:
    replica, task = await start(database_url, bus, unavailable)
    await leader.run(10)
    await until(lambda: replica.tables.sequence == leader.exchange.clock.sequence, 5)
    await kill(task)


async def test_a_tail_that_fell_silent_is_found_out(database_url: str, bus: Redis, leader: Leader) -> None:
    rows = Rows()
    replica, task = await start(database_url, bus, rows.tail)
    await until(lambda: rows.asked > 0)
    await leader.run(3)
    await until(lambda: replica.tables.sequence == leader.exchange.clock.sequence, 5)
    await kill(task)
    assert rows.told == 0


async def test_newer_rules_end_the_process_when_all_before_is_written(
    database_url: str, redis_url: str, leader: Leader
) -> None:
    await leader.run(5)
    before = leader.exchange.clock.sequence
    newer = JournalRow(
        PARTITION, before + 1, before + 1, leader.epoch, RULES_VERSION + 1, b"", b"", leader.exchange.clock.digest, b""
    )
    newer.chain = sha256(leader.chain).digest()
    assert await append(leader.connection, newer, LEASE_S)
    partitions = {PARTITION: Environment.DEMO}
    measures = ReplicaMeasures(CollectorRegistry())
    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(run(partitions, database_url, redis_url, 200_000, None, measures), 20)
    assert caught.group_contains(RulesUnknown)
    assert (await load_tables(database_url)).sequence == before
    async with await connect(database_url, application_name="test") as connection:
        assert len(await read_after(connection, PARTITION, before, 10)) == 1
