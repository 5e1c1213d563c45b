"""A page costs its own rows: every listing walks an index, in its order."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from psycopg import sql

from db import candles, entries, events, movements, orders, trades
from db.adaptation import Micros
from db.partitions import ensure_partitions
from db.session import Connection
from tests.integration.db.rows import CANDLE, EVENT, NOON, ORDER, POSTING, SECOND, TRADE, insert

MANY = 5000
# So that the rows lie in three months.
STEP = 1000 * SECOND
NAMED = {
    "partition": 2,
    "account_id": "demo-7",
    "symbol": "ETH-USD",
    "statuses": [3],
    "before": MANY,
    "limit": 20,
    "order": 70,
    "interval_s": 60,
    "start": Micros(0),
    "end": Micros(NOON + MANY * STEP),
}
MOVED = {
    "partitions": [2, 2],
    "accounts": ["demo-7", "demo-8"],
    "kinds": [1, 3],
    "start": Micros(0),
    "end": Micros(NOON + MANY * STEP),
    "time": Micros(NOON + MANY * STEP),
    "partition": 2,
    "sequence": MANY,
    "n": 0,
    "account": "",
    "limit": 20,
}
Query = str | sql.SQL | sql.Composed
OF_ACCOUNT, OF_ORDER = (
    trades.FILLS.format(maker=maker, taker=taker) for maker, taker in (trades.FILLS_OF_ACCOUNT, trades.FILLS_OF_ORDER)
)
LISTINGS: dict[str, tuple[Query, Sequence[object] | Mapping[str, object]]] = {
    "orders": (orders.BY_ACCOUNT + orders.NEWEST, NAMED),
    "open orders": (orders.BY_ACCOUNT + orders.ONLY_OPEN + orders.NEWEST, NAMED),
    "partly filled orders": (orders.BY_ACCOUNT + orders.ONLY_OPEN + orders.OF_STATUS + orders.NEWEST, NAMED),
    "order by label": (orders.BY_LABEL, [2, "demo-7", "label-7"]),
    "trades": (trades.TRADES, [2, "ETH-USD", MANY, 20]),
    "fills": (OF_ACCOUNT, NAMED),
    "fills of an order": (OF_ORDER, NAMED),
    "entries": (entries.OF_ANY, [2, "demo-7", MANY, 0, 20]),
    "movements": (movements.LIST, MOVED),
    "events": (events.EVENTS, [2, "demo-7", 100, MANY, 20]),
    "candles": (candles.KEPT, NAMED),
    "newest candle": (candles.NEWEST, NAMED),
}
# Joining the page to its orders may sort the page; nothing else may sort.
PAGE_ROWS = 40


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


async def fill(connection: Connection) -> None:
    await ensure_partitions(connection, datetime.fromtimestamp(NOON / 1e6, UTC))
    owners = [(f"demo-{n % 100}", f"demo-{(n + 50) % 100}", n) for n in range(1, MANY)]
    times = [Micros(NOON + n * STEP) for n in range(MANY)]
    await insert(
        connection,
        "orders",
        [
            {**ORDER, "number": n, "account_id": a, "client_order_id": f"label-{n}", "status": 2 + n % 4}
            for a, _, n in owners
        ],
    )
    made = {"maker_order", "taker_order"}
    await insert(
        connection,
        "trades",
        [
            {
                **TRADE,
                **dict.fromkeys(made, n),
                "number": n,
                "time": times[n],
                "maker_account_id": a,
                "taker_account_id": b,
            }
            for a, b, n in owners
        ],
    )
    await insert(
        connection,
        "postings",
        [
            {
                **POSTING,
                "sequence": n,
                "time": times[n],
                "debit_account_id": a,
                "credit_account_id": b,
                "kind": 3 + n % 3,
            }
            for a, b, n in owners
        ],
    )
    await insert(
        connection,
        "account_events",
        [{**EVENT, "sequence": n, "time": times[n], "account_id": a} for a, _, n in owners],
    )
    await insert(connection, "candles", [{**CANDLE, "open_time": time} for time in times])
    await connection.execute("ANALYZE")


async def plan(connection: Connection, query: Query, values: Sequence[object] | Mapping[str, object]) -> dict[str, Any]:
    text = query if isinstance(query, str) else query.as_string(connection)
    cursor = await connection.execute(f"EXPLAIN (ANALYZE, FORMAT json) {text}", values)
    row = await cursor.fetchone()
    assert row is not None
    found: dict[str, Any] = row[0][0]["Plan"]
    return found


def costly(node: dict[str, Any]) -> bool:
    """Whether a step reads or sorts more than the page."""
    rows = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    return bool(rows > (PAGE_ROWS if node["Node Type"] in {"Seq Scan", "Sort", "Bitmap Heap Scan"} else 4 * PAGE_ROWS))


async def test_every_listing_walks_an_index_in_its_order(connection: Connection) -> None:
    await fill(connection)
    wrong = [
        (name, node["Node Type"], node["Actual Rows"])
        for name, (query, values) in LISTINGS.items()
        for node in nodes(await plan(connection, query, values))
        if costly(node)
    ]
    assert wrong == []


async def test_a_walk_of_everything_would_be_seen(connection: Connection) -> None:
    await fill(connection)
    unindexed = "SELECT * FROM trades WHERE partition = %s AND notional > %s ORDER BY lots LIMIT 20"
    assert any(costly(node) for node in nodes(await plan(connection, unindexed, [2, 0])))
