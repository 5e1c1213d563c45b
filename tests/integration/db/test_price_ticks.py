"""Raw ticks: kept by the hour, dropped after a day; and series as hypertables where the server has TimescaleDB."""

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import sql

from db.migrate import migrate
from db.partitions import ensure_partitions
from db.price_ticks import PriceTick, append_price_ticks, list_price_ticks, turn_price_ticks
from db.session import PROJECTOR, SERVICES, Connection, connect
from tests.integration.db.rows import CANDLE, POSTING, TRADE, insert

NOW = datetime(2026, 6, 15, 12, 30, tzinfo=UTC)
DAY = timedelta(hours=24)
# Stands in for the extension: what the tables become is then a plain table, and all else is as with it.
STAND_IN = """
CREATE OR REPLACE FUNCTION has_timescaledb() RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION create_hypertable(relation regclass, key name, chunk_time_interval interval) RETURNS void
LANGUAGE sql AS '';
CREATE FUNCTION drop_chunks(relation regclass, older_than timestamptz) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DELETE FROM %s WHERE time < %L', relation, older_than);
    RETURN NEXT 'chunk';
END $$;
"""


def tick(hours: float, pair: str = "BTC-USD", source: str = "binance") -> PriceTick:
    moment = NOW - timedelta(hours=hours)
    return PriceTick(pair, int(moment.timestamp() * 1e6), source, 65_000 * 10**18, 120)


async def kept(connection: Connection) -> list[float]:
    """How many hours ago, newest first."""
    now = NOW.timestamp()
    return [round((now - one.time / 1e6) / 3600, 2) for one in await list_price_ticks(connection, "BTC-USD", 100)]


async def places(connection: Connection) -> set[str]:
    cursor = await connection.execute("SELECT DISTINCT tableoid::regclass::text FROM price_ticks")
    return {name for (name,) in await cursor.fetchall()}


async def test_ticks_of_a_day_are_kept_and_older_ones_dropped_by_the_hour(database_url: str) -> None:
    services = await connect(database_url, application_name="test", role=SERVICES)
    projector = await connect(database_url, application_name="test", role=PROJECTOR)
    hours = [0, 1, 23.9, 24.4, 24.6, 30]
    for ago in (40, 30, 24.6, 24.4, 23.9, 1, 0):
        # As if the replica had turned them at the time.
        await turn_price_ticks(projector, NOW - timedelta(hours=ago), NOW - timedelta(days=365))
        if ago in hours:
            await append_price_ticks(services, [tick(ago), tick(ago)])
    assert await kept(services) == hours
    assert "price_ticks_2026_06_15_12" in await places(services)
    # The hour that is not over by then stays as a whole.
    assert await turn_price_ticks(projector, NOW, NOW - DAY) > 0
    assert await kept(services) == [0, 1, 23.9, 24.4]
    assert await turn_price_ticks(projector, NOW, NOW - DAY) == 0
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await turn_price_ticks(services, NOW, NOW)
    await services.close()
    await projector.close()


async def test_ticks_of_an_hour_that_nobody_made_move_or_go_by_row(database_url: str) -> None:
    services = await connect(database_url, application_name="test", role=SERVICES)
    projector = await connect(database_url, application_name="test", role=PROJECTOR)
    await append_price_ticks(services, [tick(ago) for ago in (0, 5, 30)])
    assert await places(services) == {"price_ticks_default"}
    await turn_price_ticks(projector, NOW, NOW - DAY)
    assert await kept(services) == [0, 5]
    assert await places(services) == {"price_ticks_default", "price_ticks_2026_06_15_12"}
    await services.close()
    await projector.close()


async def test_an_hour_is_made_while_ticks_of_it_come(database_url: str) -> None:
    services = await connect(database_url, application_name="test", role=SERVICES)
    projector = await connect(database_url, application_name="test", role=PROJECTOR)
    async with services.transaction():
        await append_price_ticks(services, [tick(0)])
        turning = asyncio.ensure_future(turn_price_ticks(projector, NOW, NOW - DAY))
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'price_ticks'::regclass"
        while await one(services, waits) != 1:  # noqa: ASYNC110  nobody tells of a lock that is waited for
            await asyncio.sleep(0.01)
    await turning
    assert await places(services) == {"price_ticks_2026_06_15_12"}
    await services.close()
    await projector.close()


async def test_letting_go_of_ticks_takes_nothing_of_the_venues_own(database_url: str, connection: Connection) -> None:
    for table, row in (("trades", TRADE), ("postings", POSTING), ("candles", CANDLE)):
        await insert(connection, table, [row])
    projector = await connect(database_url, application_name="test", role=PROJECTOR)
    await turn_price_ticks(projector, datetime.now(UTC), datetime.now(UTC) + timedelta(days=9999))
    await projector.close()
    for table in ("trades", "postings", "candles"):
        cursor = await connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)))
        assert await cursor.fetchone() == (1,)


async def test_without_the_extension_series_are_partitions(connection: Connection) -> None:
    if await has_timescaledb(connection):
        pytest.skip("this server has TimescaleDB")
    assert await one(connection, "SELECT make_hypertables()") == 0
    for table in ("trades", "candles", "price_ticks"):
        assert await one(connection, f"SELECT relkind FROM pg_class WHERE oid = '{table}'::regclass") == "p"


async def test_a_table_that_becomes_one_keeps_rows_rights_and_rules(connection: Connection, database_url: str) -> None:
    """With a stand-in for what the extension does, so that the rest is tested on any server."""
    if await has_timescaledb(connection):
        pytest.skip("this server has TimescaleDB itself")
    await insert(connection, "trades", [TRADE])
    await insert(connection, "candles", [CANDLE])
    await connection.execute(STAND_IN)
    await connection.execute(
        sql.SQL("DO {}").format(
            sql.Literal(
                # The extension itself cannot be made here; that line apart the function is run as it is.
                "BEGIN EXECUTE replace(pg_get_functiondef('make_hypertables'::regproc), "
                "'CREATE EXTENSION IF NOT EXISTS timescaledb;', ''); END"
            )
        )
    )
    rights = """
        SELECT table_name, grantee, privilege_type FROM information_schema.role_table_grants
        WHERE table_name IN ('trades', 'candles', 'price_ticks') ORDER BY 1, 2, 3
    """
    before = await (await connection.execute(rights)).fetchall()
    assert await one(connection, "SELECT make_hypertables()") == 3
    assert await one(connection, "SELECT make_hypertables()") == 0
    assert await (await connection.execute(rights)).fetchall() == before
    await is_as_before(connection, database_url)


async def test_where_the_extension_is_series_are_hypertables(empty_database_url: str) -> None:
    async with await connect(empty_database_url, application_name="test") as connection:
        available = "SELECT count(*) FROM pg_available_extensions WHERE name = 'timescaledb'"
        loaded = "SELECT current_setting('shared_preload_libraries') ~ 'timescaledb'"
        if not await one(connection, available) or not await one(connection, loaded):
            pytest.skip("TimescaleDB is not among this server's extensions, or not loaded")
    migrate(empty_database_url)
    async with await connect(empty_database_url, application_name="test") as connection:
        cursor = await connection.execute("SELECT hypertable_name::text FROM timescaledb_information.hypertables")
        assert {name for (name,) in await cursor.fetchall()} == {"trades", "candles", "price_ticks"}
        await insert(connection, "trades", [TRADE])
        await insert(connection, "candles", [CANDLE])
        await is_as_before(connection, empty_database_url)


async def is_as_before(connection: Connection, url: str) -> None:
    """One trade and one candle are there once; partitions are made for the others; ticks are turned."""
    for table, row in (("trades", TRADE), ("candles", CANDLE)):
        assert await one(connection, f"SELECT count(*) FROM {table}") == 1
        with pytest.raises(psycopg.errors.UniqueViolation):
            await insert(connection, table, [row])
    for table in ("trades", "candles"):
        assert await one(connection, f"SELECT relkind FROM pg_class WHERE oid = '{table}'::regclass") == "r"
    projector = await connect(url, application_name="test", role=PROJECTOR)
    # Of two tables instead of four.
    assert await ensure_partitions(projector, datetime(2031, 1, 1, tzinfo=UTC)) == 6
    services = await connect(url, application_name="test", role=SERVICES)
    await append_price_ticks(services, [tick(ago) for ago in (0, 30)])
    await turn_price_ticks(projector, NOW, NOW - DAY)
    assert await kept(services) == [0]
    await services.close()
    await projector.close()


async def has_timescaledb(connection: Connection) -> bool:
    return bool(await one(connection, "SELECT has_timescaledb()"))


async def one(connection: Connection, query: str) -> object:
    row = await (await connection.execute(query)).fetchone()
    assert row is not None
    return row[0]
