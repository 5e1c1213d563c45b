"""Monthly partitions: there in time, and nothing is lost where they were not."""

from datetime import UTC, datetime

from db.partitions import ensure_partitions
from db.session import PROJECTOR, Connection, connect
from tests.integration.db.rows import CANDLE, EVENT, NOON, POSTING, TRADE, insert

MARCH = datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC)
PARENTS = ("account_events", "candles", "postings", "trades")


async def children(connection: Connection) -> set[str]:
    cursor = await connection.execute(
        "SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE relkind = 'r'"
    )
    return {name for (name,) in await cursor.fetchall()}


async def test_the_month_and_two_more_are_made_once(connection: Connection) -> None:
    before = await children(connection)
    assert await ensure_partitions(connection, MARCH) == 12
    made = await children(connection) - before
    assert made == {f"{parent}_2026_{month}" for parent in PARENTS for month in ("03", "04", "05")}
    assert await ensure_partitions(connection, MARCH) == 0


async def test_migrating_makes_the_present_month_and_the_default(connection: Connection) -> None:
    month = datetime.now(UTC).strftime("_%Y_%m")
    assert {parent + end for parent in PARENTS for end in (month, "_default")} <= await children(connection)


async def test_rows_of_a_month_without_a_partition_move_into_it(connection: Connection) -> None:
    for table, row in (("trades", TRADE), ("postings", POSTING), ("account_events", EVENT), ("candles", CANDLE)):
        await insert(connection, table, [row])

    async def places() -> set[str]:
        found = set()
        for table in PARENTS:
            cursor = await connection.execute(f"SELECT tableoid::regclass::text FROM {table}")
            found |= {name for (name,) in await cursor.fetchall()}
        return found

    assert await places() == {f"{parent}_default" for parent in PARENTS}
    await ensure_partitions(connection, datetime.fromtimestamp(NOON / 1e6, UTC))
    assert await places() == {f"{parent}_2026_03" for parent in PARENTS}


async def test_the_projector_may_make_them(connection: Connection, database_url: str) -> None:
    projector = await connect(database_url, application_name="test", role=PROJECTOR)
    assert await ensure_partitions(projector, MARCH) == 12
    await insert(projector, "trades", [TRADE])
    await projector.close()


async def test_every_month_has_the_indexes_of_its_parent(connection: Connection) -> None:
    await ensure_partitions(connection, MARCH)
    cursor = await connection.execute(
        "SELECT tablename, count(*) FROM pg_indexes WHERE tablename IN ('trades', 'trades_2026_03') GROUP BY 1"
    )
    assert dict(await cursor.fetchall()) == {"trades": 6, "trades_2026_03": 6}
