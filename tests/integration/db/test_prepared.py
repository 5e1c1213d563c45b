"""Statements that are sent by libpq's own calls do and fail as the driver's do."""

import asyncio

import psycopg
import pytest
from psycopg import errors

from db.prepared import Prepared
from db.session import Connection

KEEP = Prepared("keep", "INSERT INTO kept VALUES ($1, $2)", ("int8", "bytea"))
CLOSE = "SELECT pg_terminate_backend(%s)"


async def table(connection: Connection) -> None:
    await connection.execute("CREATE TABLE kept (number bigint PRIMARY KEY CHECK (number > 0), payload bytea)")


async def kept(connection: Connection) -> list[tuple[int, int]]:
    cursor = await connection.execute("SELECT number, length(payload) FROM kept ORDER BY number")
    return [(number, length) for number, length in await cursor.fetchall()]


async def held_up(connection: Connection, rival: Connection) -> "asyncio.Task[int]":
    """A statement that waits for what the rival holds."""
    await rival.execute("LOCK TABLE kept IN EXCLUSIVE MODE")
    waiting = asyncio.create_task(KEEP.execute(connection, (1, b"")))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    return waiting


@pytest.mark.parametrize("size", [0, 1, 16_000_000])
async def test_what_is_larger_than_any_buffer_arrives(connection: Connection, size: int) -> None:
    await table(connection)
    assert await KEEP.execute(connection, (2**62, bytes(size))) == 1
    assert await kept(connection) == [(2**62, size)]


async def test_each_connection_prepares_it_once(connection: Connection, rival: Connection) -> None:
    await table(connection)
    for number, each in enumerate((connection, rival, connection, rival), 1):
        await KEEP.execute(each, (number, b"x"))
    for each in (connection, rival):
        cursor = await each.execute("SELECT count(*) FROM pg_prepared_statements WHERE name = 'keep'")
        assert await cursor.fetchone() == (1,)
    assert len(await kept(connection)) == 4


async def test_a_refusal_is_the_drivers_and_the_connection_works_on(connection: Connection) -> None:
    await table(connection)
    assert await KEEP.execute(connection, (1, b"x")) == 1
    with pytest.raises(errors.UniqueViolation, match="kept_pkey"):
        await KEEP.execute(connection, (1, b"y"))
    with pytest.raises(errors.CheckViolation, match="kept_number_check"):
        await KEEP.execute(connection, (0, b"y"))
    assert await KEEP.execute(connection, (2, b"y")) == 1
    assert await kept(connection) == [(1, 1), (2, 1)]


async def test_what_cannot_be_prepared_is_tried_again(connection: Connection) -> None:
    with pytest.raises(errors.UndefinedTable):
        await KEEP.execute(connection, (1, b""))
    await table(connection)
    assert await KEEP.execute(connection, (1, b"")) == 1


async def test_a_server_that_goes_while_it_is_asked(connection: Connection, rival: Connection) -> None:
    await table(connection)
    async with rival.transaction():
        waiting = await held_up(connection, rival)
        await rival.execute(CLOSE, [connection.info.backend_pid])
        with pytest.raises(psycopg.OperationalError):
            await asyncio.wait_for(waiting, 5)
    assert connection.closed
    assert await kept(rival) == []


async def test_a_server_that_has_gone_before_it_is_asked(connection: Connection, rival: Connection) -> None:
    await table(connection)
    await KEEP.execute(connection, (1, b""))
    await rival.execute(CLOSE, [connection.info.backend_pid])
    with pytest.raises(psycopg.OperationalError):
        await KEEP.execute(connection, (2, b""))
    with pytest.raises(psycopg.OperationalError):
        await KEEP.execute(connection, (2, b""))
    assert await kept(rival) == [(1, 0)]


async def test_who_is_cancelled_in_it_leaves_a_closed_connection(connection: Connection, rival: Connection) -> None:
    await table(connection)
    async with rival.transaction():
        waiting = await held_up(connection, rival)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert connection.closed
