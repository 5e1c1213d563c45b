"""Who leads: one at a time, the others refused, the late one fenced off, and each new one with the same machine."""

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any

import psycopg
import pytest
from prometheus_client import CollectorRegistry
from psycopg import sql

from db import journal
from db.session import Connection, connect
from servers.domain.errors import NotLeader, PartUnavailable, VenueError
from servers.domain.state import dump
from servers.engine import standby
from servers.engine.client import Engines
from servers.engine.measures import measure_halts
from servers.engine.recovery import Recovered, recover_tables
from servers.engine.transit import Transit
from tests.integration.engine.conftest import Lead
from tests.integration.engine.leading import PARTITION, commands, place, projecting, until
from tests.integration.engine.leading import journal as journal_rows
from tests.integration.engine.line import line


async def test_a_second_leader_waits_while_the_first_one_lives(lead: Lead, database: Connection) -> None:
    first = await lead(lease_s=0.5)
    account_id = await first.open_account()
    second = await lead(waits=True, lease_s=0.5)
    await asyncio.sleep(1.2)
    assert second.engine.sequencer is None
    # It knows that the other one lives, so its process may serve.
    await until(second.leader.led.is_set)
    with pytest.raises(NotLeader):
        await second.place(account_id)
    epoch = first.exchange.clock.epoch
    await first.stop()
    await second.leads()
    assert second.exchange.clock.epoch == epoch + 1
    await second.place(account_id)


async def test_who_looks_at_the_pace_at_which_the_lease_is_prolonged_sees_that_it_is(
    lead: Lead, database: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left of the lease grows at no look: a little less of it at each, though each time it ends later."""
    first = await lead(lease_s=60.0)
    epoch, read, looks = first.exchange.clock.epoch, journal.partition_row, 0

    async def look(connection: Connection, partition: int) -> journal.PartitionState:
        nonlocal looks
        assert await journal.renew(database, PARTITION, epoch, 30.0 - looks / 10)
        looks += 1
        return await read(connection, partition)

    monkeypatch.setattr(journal, "partition_row", look)
    second = await lead(waits=True)
    await until(second.leader.led.is_set)
    assert second.engine.sequencer is None


async def test_a_stopped_leader_hands_over_at_once(lead: Lead) -> None:
    first = await lead(lease_s=30.0)
    await first.stop()
    async with asyncio.timeout(20):
        await lead(lease_s=30.0)


async def test_a_lease_that_only_runs_out_is_nobodys_who_lives(lead: Lead) -> None:
    first = await lead(lease_s=1.5)
    await first.end()
    second = await lead(waits=True, lease_s=1.5)
    while second.engine.sequencer is None:
        assert not second.leader.led.is_set()
        await asyncio.sleep(0.01)
    assert second.leader.led.is_set()


@pytest.mark.parametrize("late", [False, True])
async def test_who_still_loads_leaves_the_lease_to_others(
    lead: Lead, database: Connection, monkeypatch: pytest.MonkeyPatch, *, late: bool
) -> None:
    """Be it that the lease ran out before it came (late)."""
    first = await lead(lease_s=0.3)
    epoch, loads, asked = first.exchange.clock.epoch, asyncio.Event(), asyncio.Event()

    async def slowly(*given: Any) -> Recovered:
        asked.set()
        await loads.wait()
        return await recover_tables(*given)

    monkeypatch.setattr(standby, "recover_tables", slowly)
    if late:
        await first.end()
        await asyncio.sleep(0.5)
    second = await lead(waits=True, lease_s=0.3)
    await asked.wait()
    await first.end()
    await asyncio.sleep(1.0)
    found = await journal.find_partition(database, PARTITION)
    assert found is not None
    assert (found.epoch, found.lease_left_s <= 0) == (epoch, True)
    loads.set()
    await second.leads()
    assert second.exchange.clock.epoch == epoch + 1


async def test_a_late_leader_is_fenced_off(lead: Lead, database: Connection, database_url: str) -> None:
    async with line(database_url) as (address, between):
        first = await lead(through=address, lease_s=0.6)
        account_id = await first.open_account()
        stale = first.sequencer
        between.hold()
        late = [asyncio.ensure_future(first.submit(place(account_id, client_order_id=f"late-{n}"))) for n in range(3)]
        await asyncio.sleep(0.05)
        late.append(asyncio.ensure_future(first.submit(place(account_id, client_order_id="late-3"))))
        second = await lead(lease_s=30.0)
        await second.place(account_id, client_order_id="in-time")
        between.release()
        results = await asyncio.gather(*late, return_exceptions=True)
        # What the row under way had is not known; what waited for the next one is in none.
        assert [type(result) for result in results] == [*[PartUnavailable] * 3, NotLeader]
        await until(lambda: first.engine.sequencer is None)
        with pytest.raises(NotLeader):
            await stale.submit([place(account_id)], None, {})
        with pytest.raises(NotLeader):
            await stale.settled(10**9)
        with pytest.raises(NotLeader):
            await first.place(account_id)
        placed = [c.place_order.client_order_id for c in await commands(database) if c.HasField("place_order")]
        assert placed == ["in-time"]
        rows = await journal_rows(database)
        assert [row.epoch for row in rows] == sorted(row.epoch for row in rows)
        await first.stop()


async def test_the_next_leader_has_the_same_machine(
    lead: Lead, database: Connection, database_url: str, redis_url: str
) -> None:
    first = await lead()
    one, other = await first.open_account(), await first.open_account("user-2")
    async with projecting(database_url, redis_url):
        for n in range(60):
            await first.place(one, price=str(50_000 + n % 7), client_order_id=f"label-{n}")
            await first.place(other, user_id="user-2", side=2, price=str(50_003 + n % 5), quantity="0.004")
        await asyncio.sleep(0.3)
    for n in range(20):
        await first.place(one, price=str(49_000 + n))
    expected, sequence = dump(first.exchange), first.exchange.clock.sequence
    await first.stop()
    second = await lead()
    # Its own mark is the one command that came since; nothing of the catalogue was missing.
    marks = (await commands(database))[sequence:]
    assert [command.WhichOneof("body") for command in marks] == ["leader_started"]
    found = dump(second.exchange)
    assert found.machine["trade_number"] == expected.machine["trade_number"] > 0
    assert replace(found, machine={}) == replace(expected, machine={})
    answer = await second.place(one, price="49500")
    assert answer.order.order_id == f"{PARTITION}-{sequence + 2}"


async def test_a_halted_partition_is_not_led(lead: Lead, database: Connection) -> None:
    led = await lead(lease_s=0.5)
    registry = CollectorRegistry()
    measure_halts({PARTITION: led.leader}, registry)
    gauge = partial(registry.get_sample_value, "venue_partition_halted", {"partition": str(PARTITION)})
    assert gauge() == 0
    account_id = await led.open_account()
    assert await journal.halt(database, PARTITION, "somebody has to look")
    with pytest.raises(VenueError) as refused:
        await led.place(account_id)
    assert refused.value.code == "UNAVAILABLE"
    await asyncio.sleep(0.8)
    assert led.engine.sequencer is None
    state = await journal.find_partition(database, PARTITION)
    assert state is not None
    assert (state.halted_reason, state.holder) == ("somebody has to look", "")
    # A process that begins now waits for nobody to lead it before it serves the others.
    second = await lead(waits=True)
    await until(second.leader.led.is_set)
    await second.stop()
    assert gauge() == 1
    await database.execute("UPDATE partitions SET halted_reason = NULL")
    await led.leads()
    await led.place(account_id)
    assert gauge() == 0


async def test_a_partition_of_newer_rules_is_not_led(lead: Lead, database: Connection) -> None:
    """Its rows would be taken for rows of those rules."""
    led = await lead(lease_s=0.5)
    await led.stop()
    await database.execute("UPDATE partitions SET rules_version = rules_version + 1")
    older = await lead(waits=True, lease_s=0.5)
    await until(older.leader.led.is_set)
    await asyncio.sleep(0.8)
    assert older.engine.sequencer is None
    await database.execute("UPDATE partitions SET rules_version = rules_version - 1")
    await older.leads()


async def test_what_carries_transfers_outlives_the_end_of_the_lead(lead: Lead) -> None:
    """The reason names the partition, as the line of the log does."""
    led = await lead()
    transit = Transit(led.engine, Engines({}))
    sequencer = led.engine.sequencer
    assert sequencer is not None
    sequencer.ended = NotLeader(PARTITION)
    running = asyncio.ensure_future(transit.run())
    await asyncio.sleep(0.3)
    assert not running.done(), running.exception()
    running.cancel()
    sequencer.ended = None


async def test_a_database_that_takes_no_writes_is_away(lead: Lead, database_url: str) -> None:
    led = await lead(lease_s=2.0)
    account_id = await led.open_account()
    name = sql.Identifier(database_url.rpartition("/")[2])
    alter = "ALTER DATABASE {} SET default_transaction_read_only = {}"
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()"
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as owner:
        await owner.execute(sql.SQL(alter).format(name, sql.SQL("on")))
        await owner.execute(cut, [f"venue journal {PARTITION}"])
        waiting = asyncio.ensure_future(led.place(account_id))
        await asyncio.sleep(1.0)
        assert not waiting.done()
        with pytest.raises(psycopg.OperationalError):
            await connect(database_url, application_name="test")
        await owner.execute(sql.SQL(alter).format(name, sql.SQL("off")))
    async with asyncio.timeout(20):
        assert (await waiting).order.order_id


async def test_a_connection_that_takes_no_writes_any_more_is_made_anew(lead: Lead, database: Connection) -> None:
    led = await lead(lease_s=2.0)
    account_id = await led.open_account()
    sequencer = led.engine.sequencer
    assert sequencer is not None
    await sequencer.appender._connection.execute("SET default_transaction_read_only = on")
    async with asyncio.timeout(20):
        assert (await led.place(account_id)).order.order_id
    assert led.engine.sequencer is sequencer
