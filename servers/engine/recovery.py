"""The state of a partition from its tables and the rest of its journal: how a leader starts, and a replica."""

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from db.journal import read_after
from db.session import Connection
from db.snapshot import load_snapshot
from servers.domain.exchange import Exchange
from servers.domain.invariants import breaches
from servers.domain.ledger import InvariantBreach
from servers.domain.state import load
from servers.domain.terms import Environment
from servers.engine.replay import Replay

# A row is a batch of a few hundred commands.
ROWS_A_READ = 64


@dataclass(slots=True)
class Recovered:
    """A machine as of the journal's last row, and that row's chain and last sequence."""

    exchange: Exchange
    chain: bytes
    sequence: int


@contextmanager
def _loading() -> Iterator[None]:
    """Nothing is searched for cycles while a machine is made, and what was made is left out of every search after it.

    A search of 100,000 orders that all live costs a third of a second, and making them causes several.
    """
    # What an earlier recovery left may be garbage by now.
    gc.unfreeze()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


async def recover_tables(
    connection: Connection, partition: int, environment: Environment, request_memory: int
) -> Recovered:
    """The machine as of the projected sequence. Raises SnapshotTornError, InvariantBreach."""
    with _loading():
        loaded = await load_snapshot(connection, partition, request_memory)
        # In a thread: the loop leads other partitions meanwhile, and renews this one's lease.
        exchange = await asyncio.to_thread(load, partition, environment, loaded.snapshot, request_memory)
        found = await asyncio.to_thread(breaches, exchange)
    if found:
        raise InvariantBreach(f"tables of partition {partition} at {loaded.sequence}: " + "; ".join(found[:10]))
    return Recovered(exchange, loaded.chain, loaded.sequence)


async def recover(connection: Connection, partition: int, environment: Environment, request_memory: int) -> Recovered:
    """The machine as of the journal's end.

    Raises JournalCorrupt (a row fails, named), RulesUnknown, SnapshotTornError, InvariantBreach.
    """
    base = await recover_tables(connection, partition, environment, request_memory)
    return await catch_up(connection, partition, Replay(base.exchange, base.chain))


async def catch_up(connection: Connection, partition: int, replay: Replay) -> Recovered:
    """The rest of the journal executed. Raises JournalCorrupt, RulesUnknown."""
    while rows := await read_after(connection, partition, replay.sequence, ROWS_A_READ):
        for row in rows:
            replay.skip(row)
            await asyncio.sleep(0)
    return Recovered(replay.exchange, replay.chain, replay.sequence)
