"""How often tables and bus are written: at once when little happens, less often when much does."""

import asyncio

import pytest
from redis.asyncio import Redis

from db.projecting import Cut, write_cut
from db.session import Connection
from servers.engine import projector, publisher
from tests.integration.replica.conftest import kill, make, until
from tests.integration.replica.leader import Leader


async def test_little_is_written_at_once_and_much_in_few_cuts(
    database_url: str, bus: Redis, leader: Leader, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuts: list[int] = []

    async def counted(connection: Connection, cut: Cut) -> None:
        await write_cut(connection, cut)
        cuts.append(cut.sequence - cut.before)

    monkeypatch.setattr(projector, "write_cut", counted)
    replica = await make(database_url, bus)
    task = asyncio.create_task(replica.run())
    await until(lambda: replica.tables.sequence == leader.exchange.clock.sequence)
    # Small rows, each after the one before it was written: none waits for another.
    cuts.clear()
    for _ in range(5):
        await leader.commit([leader.place()])
        await until(lambda: replica.tables.sequence == leader.exchange.clock.sequence)
    assert len(cuts) == 5
    await kill(task)


def test_much_is_written_in_few_cuts() -> None:
    assert projector.pace_s(1) <= 0.002
    assert projector.pace_s(50) > projector.pace_s(5)
    # Far inside what readers of the tables may wait.
    assert projector.pace_s(100_000) == projector.PACE_S <= 0.2
    assert publisher.pace_s(1) <= 0.001
    assert publisher.pace_s(100_000) == publisher.PACE_S <= 0.1
