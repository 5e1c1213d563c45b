"""What a cut reads and writes in tables that have become large, also before anybody counted them."""

from db.projecting import CHANGING, CHANGING_TIMES, Cut, open_projection, write_cut
from db.session import Connection
from servers.engine.lines import event_row
from tests.integration.replica.conftest import Project
from tests.integration.replica.leader import PARTITION, Leader

ORDERS = 20_000
CHANGED = 50
COPY = """
INSERT INTO orders SELECT (jsonb_populate_record(o, jsonb_build_object('number', 1000000 + n))).*
FROM orders AS o, generate_series(1, %s) AS n WHERE o.number = (SELECT max(number) FROM orders)
"""
READ = """
SELECT pg_stat_force_next_flush(), (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname = 'orders')
    + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'orders')
"""


async def read_rows(connection: Connection) -> int:
    """How many orders were read since the table was made."""
    # The first asks for what the second then finds.
    await connection.execute("SELECT pg_stat_force_next_flush()")
    cursor = await connection.execute(READ)
    row = await cursor.fetchone()
    assert row is not None
    return int(row[1])


async def test_changed_orders_are_found_by_their_numbers_in_a_table_that_nobody_has_counted(
    database_url: str, leader: Leader, project: Project
) -> None:
    await leader.commit([leader.place()])
    clock = leader.exchange.clock
    await project(clock.sequence)
    async with await open_projection(database_url, PARTITION) as connection:
        await connection.execute(COPY, [ORDERS])
        columns = ", ".join((*CHANGING, *(f"{name}::text" for name in CHANGING_TIMES)))
        cursor = await connection.execute(
            f"SELECT number, {columns} FROM orders ORDER BY number DESC LIMIT %s", [CHANGED]
        )
        changed = [tuple(row) for row in await cursor.fetchall()]
        sequence_at = 1 + CHANGING.index("update_sequence")
        changed = [(*row[:sequence_at], 77, *row[sequence_at + 1 :]) for row in changed]
        before = await read_rows(connection)
        cut = Cut(PARTITION, clock.sequence, clock.sequence, clock.epoch, clock.digest, leader.chain)
        cut.changed_orders = changed
        for _ in range(8):
            await write_cut(connection, cut)
        assert await read_rows(connection) - before <= 8 * CHANGED * 3
        cursor = await connection.execute("SELECT number FROM orders WHERE update_sequence = 77 ORDER BY number DESC")
        assert [row[0] for row in await cursor.fetchall()] == [row[0] for row in changed]


async def test_an_account_event_is_read_as_it_was_written(database_url: str, leader: Leader, project: Project) -> None:
    await leader.commit([leader.place()])
    clock = leader.exchange.clock
    await project(clock.sequence)
    events = [
        ("dém\n\\o-\t1", 0, 0, clock.time, 1, b""),
        ("demo-2", 1, 2**31 - 1, 1, 2**15 - 1, bytes(range(256)) * 9),
        ("demo-3", 2**62 - 1, 1, 253_402_300_799_999_999, 0, b"\xff\xff\x00\\x"),
    ]
    sequence = 2**62
    async with await open_projection(database_url, PARTITION) as connection:
        cut = Cut(PARTITION, clock.sequence, clock.sequence, clock.epoch, clock.digest, leader.chain)
        cut.events = [
            event_row(PARTITION, sequence, n, time, account, previous, kind, payload)
            for account, previous, n, time, kind, payload in events
        ]
        await write_cut(connection, cut)
        cursor = await connection.execute(
            "SELECT account_id, previous_sequence, n, time, type, payload FROM account_events WHERE sequence = %s"
            " ORDER BY previous_sequence",
            [sequence],
        )
        assert await cursor.fetchall() == events
