"""Connections: their settings, their pool, and what happens when the server drops them."""

import asyncio

import psycopg
import pytest
from sqlalchemy import text

from db.session import SERVICES, connect, conninfo, engine, open_pool

# And waits until it is gone.
ENDED = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s"
PID = text("SELECT pg_backend_pid()")


async def test_a_direct_connection_is_durable_watched_and_named(database_url: str) -> None:
    connection = await connect(database_url, application_name="venue-order", role=SERVICES)
    cursor = await connection.execute(
        "SELECT current_setting('application_name'), current_setting('synchronous_commit'), current_setting('TimeZone'),"
        " current_user, current_setting('tcp_user_timeout')"
    )
    # The server has a setting of the same name for its own end; ours is the client's.
    assert (await cursor.fetchone() or ())[:4] == ("venue-order", "on", "UTC", SERVICES)
    assert connection.autocommit
    assert {"tcp_user_timeout": "2000", "keepalives": "1"}.items() <= connection.info.get_parameters().items()
    await connection.close()


def test_what_the_address_says_is_kept() -> None:
    given = "postgresql+psycopg://u:p@h:1/d?connect_timeout=9&options=-c%20work_mem%3D8MB"
    kept = psycopg.conninfo.conninfo_to_dict(conninfo(given, application_name="a", role="r"))
    assert (kept["connect_timeout"], kept["options"], kept["host"], kept["tcp_user_timeout"]) == (
        "9",
        "-c work_mem=8MB -c TimeZone=UTC -c synchronous_commit=on -c role=r",
        "h",
        "2000",
    )


async def test_a_connection_that_the_server_ended_is_not_lent(database_url: str) -> None:
    pool = await open_pool(database_url, application_name="pool", size_max=2)
    async with pool.connection() as connection:
        await connection.execute("CREATE TABLE kept AS SELECT 1::numeric AS n")
    async with await connect(database_url, application_name="killer") as killer:
        await killer.execute(ENDED, ["pool"])
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT n FROM kept")
        assert repr(await cursor.fetchone()) == "(1,)"
    await pool.close()


async def test_who_is_cancelled_as_a_connection_comes_has_none(database_url: str) -> None:
    pool = await open_pool(database_url, application_name="lender", size_max=1)
    lent: list[int] = []

    async def borrow() -> None:
        async with pool.connection() as connection:
            lent.append(connection.info.backend_pid)

    for _ in range(20):
        async with pool.connection():
            waiting = asyncio.create_task(borrow())
            await asyncio.sleep(0.005)
            assert pool.get_stats()["requests_waiting"] == 1
        waiting.cancel()
        await asyncio.wait([waiting], timeout=10)
        assert waiting.cancelled()
    assert lent == []
    await borrow()
    assert len(lent) == 1
    await pool.close()


async def test_none_of_the_services_connections_that_the_server_ended_is_lent(database_url: str) -> None:
    made = engine(database_url, application_name="several")
    async with made.connect() as one, made.connect() as two:
        before = {(await each.execute(PID)).scalar_one() for each in (one, two)}
    async with await connect(database_url, application_name="killer") as killer:
        await killer.execute(ENDED, ["several"])
    async with made.connect() as one, made.connect() as two:
        after = {(await each.execute(PID)).scalar_one() for each in (one, two)}
    assert len(before) == len(after) == 2
    assert not before & after
    await made.dispose()


async def test_a_connection_that_lies_idle_is_lent_unasked(database_url: str) -> None:
    pool = await open_pool(database_url, application_name="pool", size_max=1)
    async with pool.connection() as connection:
        await connection.execute("SELECT 1")
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()")
        assert "query FROM" in str(await cursor.fetchone())
    async with await connect(database_url, application_name="watcher") as watcher:
        for lent in range(2):
            cursor = await watcher.execute("SELECT query FROM pg_stat_activity WHERE application_name = 'pool'")
            assert "query FROM" in str(await cursor.fetchone()), lent
            async with pool.connection():
                pass
    await pool.close()


async def test_a_pool_lends_no_more_than_its_size(database_url: str) -> None:
    pool = await open_pool(database_url, application_name="pool", size_max=2)

    async def hold() -> int:
        async with pool.connection() as connection:
            await connection.execute("SELECT pg_sleep(0.05)")
            cursor = await connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pool' AND datname = current_database()"
            )
            return int((await cursor.fetchone() or (99,))[0])

    assert max(await asyncio.gather(*(hold() for _ in range(8)))) <= 2
    await pool.close()


async def test_a_pool_without_a_server_says_so(unused_tcp_port: int) -> None:
    pool = open_pool(f"postgresql://venue:x@127.0.0.1:{unused_tcp_port}/venue", application_name="p", wait_s=0.3)
    with pytest.raises(psycopg.OperationalError):
        await pool


async def test_the_services_engine_runs_as_its_role(database_url: str) -> None:
    made = engine(database_url, application_name="venue-api", role=SERVICES)
    async with made.connect() as connection:
        found = await connection.execute(text("SELECT current_user, current_setting('application_name')"))
        assert tuple(found.one()) == (SERVICES, "venue-api")
    await made.dispose()
