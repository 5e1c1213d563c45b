"""Starting again: from any place between tables and journal the machine goes on as the first one did."""

import random

import pytest

from db.journal import read_after
from db.session import ENGINE, Connection, connect
from db.snapshot import SnapshotTornError
from servers.domain.state import state_hash
from servers.domain.terms import Environment
from servers.engine.codec import decode
from servers.engine.recovery import Recovered, recover
from servers.engine.replay import Diverged, JournalCorrupt, Replay
from tests.integration.replica.conftest import Project, load_tables
from tests.integration.replica.leader import PARTITION, Leader, trace
from venue.engine.v1 import engine_pb2 as pb


async def recovered(url: str) -> Recovered:
    async with await connect(url, application_name="test", role=ENGINE) as connection:
        return await recover(connection, PARTITION, Environment.DEMO, 200_000)


def follow(base: Recovered, commands: list[pb.Command]) -> dict[int, str]:
    """What a recovered machine makes of commands that another one executed."""
    return {command.sequence: trace(base.exchange.execute(decode(command))) for command in commands}


@pytest.mark.parametrize("seed", range(6))
async def test_a_machine_loaded_anywhere_goes_on_as_the_first_one(
    database_url: str, connection: Connection, project: Project, seed: int
) -> None:
    leader = Leader(connection, seed)
    await leader.begin()
    await leader.run(random.Random(seed).randint(1, 40))
    await project(leader.exchange.clock.sequence)
    await leader.run(random.Random(seed).randint(1, 10))
    base = await recovered(database_url)
    assert state_hash(base.exchange) == leader.hash
    assert (base.chain, base.sequence) == (leader.chain, leader.exchange.clock.sequence)
    await leader.run(20, 50)
    rows = await read_after(connection, PARTITION, base.sequence, 1000)
    commands = [command for row in rows for command in pb.CommandBatch.FromString(row.commands).commands]
    assert len(commands) > 200
    told = {sequence: text for sequence, text in leader.trace.items() if sequence > base.sequence}
    assert follow(base, commands) == told
    assert state_hash(base.exchange) == leader.hash


async def test_the_tables_after_every_single_row(database_url: str, leader: Leader, project: Project) -> None:
    for _ in range(12):
        await leader.run(1)
        await project(leader.exchange.clock.sequence)
        assert state_hash((await load_tables(database_url)).exchange) == leader.hash


async def test_a_journal_without_tables_is_enough(database_url: str, leader: Leader) -> None:
    await leader.run(10)
    assert state_hash((await recovered(database_url)).exchange) == leader.hash


async def falsify(url: str, column: str, value: str, first_sequence: int) -> None:
    """Change a row of the journal as nobody but a broken disk can."""
    async with await connect(url, application_name="broken disk") as connection:
        await connection.execute("SET venue.maintenance = 'on'")
        await connection.execute(
            f"UPDATE journal SET {column} = {value} WHERE partition = {PARTITION} AND first_sequence = {first_sequence}"
        )


CORRUPTIONS = {
    "a flipped bit": ("commands", "set_byte(commands, 40, get_byte(commands, 40) # 1)"),
    "a torn end": ("commands", "substr(commands, 1, length(commands) - 3)"),
    "an empty row": ("commands", "''"),
    "another chain": ("chain", "sha256(chain)"),
    "another digest": ("digest", "digest + 1"),
    "another end": ("last_sequence", "last_sequence + 1000"),
}


@pytest.mark.parametrize("where", ["the last row", "a row in the middle"])
@pytest.mark.parametrize("what", CORRUPTIONS)
async def test_a_journal_row_that_is_not_what_was_committed_stops_the_start_and_is_named(
    database_url: str, leader: Leader, what: str, where: str
) -> None:
    await leader.run(8)
    rows = await read_after(leader.connection, PARTITION, 0, 100)
    row = rows[-1] if where == "the last row" else rows[4]
    await falsify(database_url, *CORRUPTIONS[what], row.first_sequence)
    with pytest.raises(JournalCorrupt, match=f"journal row [0-9]+ of partition {PARTITION}") as caught:
        await recovered(database_url)
    if what != "another end":
        assert caught.value.first_sequence == row.first_sequence


async def test_a_missing_row_stops_the_start(database_url: str, leader: Leader) -> None:
    await leader.run(6)
    row = (await read_after(leader.connection, PARTITION, 0, 100))[3]
    async with await connect(database_url, application_name="broken disk") as connection:
        await connection.execute("SET venue.maintenance = 'on'")
        await connection.execute("DELETE FROM journal WHERE first_sequence = %s", [row.first_sequence])
    with pytest.raises(JournalCorrupt, match="does not follow"):
        await recovered(database_url)


async def test_tables_that_somebody_changed_stop_the_start(database_url: str, leader: Leader, project: Project) -> None:
    await project(leader.exchange.clock.sequence)
    async with await connect(database_url, application_name="a hand") as connection:
        await connection.execute("UPDATE machine SET digest = digest + 1")
    with pytest.raises(SnapshotTornError):
        await recovered(database_url)


async def test_a_machine_that_comes_to_another_digest_says_so(leader: Leader, database_url: str) -> None:
    base = await recovered(database_url)
    await leader.run(1)
    (row,) = await read_after(leader.connection, PARTITION, base.sequence, 10)
    base.exchange.clock.digest += 1
    with pytest.raises(Diverged, match="digest"):
        Replay(base.exchange, base.chain).skip(row)
