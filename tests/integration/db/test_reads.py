"""Pages walk the whole of what matches, in order and once."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from db import accounts, candles, entries, events, markets, orders, projections, requests, trades
from db.adaptation import Micros
from db.candles import CandleRecord
from db.session import Connection
from servers.domain.identifiers import age
from tests.integration.db.conftest import PARTITION
from tests.integration.db.rows import CANDLE, EVENT, NOON, ORDER, POSTING, SECOND, TRADE, insert

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
T = TypeVar("T")


async def walk(page: Callable[[T | None], Awaitable[list[T]]]) -> list[T]:
    """Every row of a listing, page after page."""
    found = await page(None)
    rows = list(found)
    while found:
        found = await page(rows[-1])
        rows += found
    return rows


async def test_orders_of_an_account_newest_first_by_status_and_market(connection: Connection) -> None:
    statuses = [2, 4, 5, 3, 6, 1, 7]
    await insert(
        connection,
        "orders",
        [
            {**ORDER, "number": n, "status": statuses[n % 7], "symbol": f"{'EB'[n % 2]}TC-USD", "account_id": owner}
            for n in range(1, 29)
            for owner in ["demo-a" if n % 4 else "demo-b"]
        ],
    )

    async def numbers(**chosen: object) -> list[int]:
        async def page(last: orders.OrderRecord | None) -> list[orders.OrderRecord]:
            more = {} if last is None else {"before": age(last.number)}
            return await orders.list_orders(connection, PARTITION, "demo-a", limit=3, **chosen, **more)  # type: ignore[arg-type]

        return [order.number for order in await walk(page)]

    mine = [n for n in range(28, 0, -1) if n % 4]
    assert await numbers() == mine
    assert await numbers(statuses=[2, 3, 1]) == [n for n in mine if statuses[n % 7] in (1, 2, 3)]
    assert await numbers(statuses=[3]) == [n for n in mine if statuses[n % 7] == 3]
    assert await numbers(statuses=[2, 4]) == [n for n in mine if statuses[n % 7] in (2, 4)]
    assert await numbers(symbol="BTC-USD") == [n for n in mine if n % 2]
    assert await orders.list_orders(connection, PARTITION + 1, "demo-a", limit=9) == []


async def test_an_order_comes_back_whole(connection: Connection) -> None:
    await insert(connection, "orders", [{**ORDER, "fee_accrued": 10**45, "price": 10**36 - 1}])
    assert await orders.find_order(connection, PARTITION, 1) == orders.OrderRecord(
        **{**ORDER, "fee_accrued": 10**45, "price": 10**36 - 1}  # type: ignore[arg-type]
    )
    assert await orders.find_order(connection, PARTITION, 2) is None


async def test_a_label_finds_its_newest_order(connection: Connection) -> None:
    labelled = {**ORDER, "client_order_id": "mine"}
    await insert(
        connection, "orders", [{**labelled, "number": n, "status": 4} for n in (1, 5, 3)] + [{**ORDER, "number": 9}]
    )
    found = await orders.find_by_label(connection, PARTITION, "demo-a", "mine")
    assert found is not None
    assert found.number == 5
    assert await orders.find_by_label(connection, PARTITION, "demo-a", "") is None
    assert await orders.find_by_label(connection, PARTITION, "demo-b", "mine") is None


async def trade(connection: Connection) -> None:
    """Order 1 of demo-a and order 2 of demo-b trade with each other, either as maker, in two markets and two months."""
    names = ["demo-a", "demo-b"]
    await insert(
        connection,
        "orders",
        [{**ORDER, "number": n, "account_id": names[n - 1], "client_order_id": f"label-{n}"} for n in (1, 2)],
    )
    await insert(
        connection,
        "trades",
        [
            {
                **TRADE,
                "number": n,
                "time": Micros(NOON + n * 5 * DAY),
                "symbol": ["ETH-USD", "BTC-USD"][n % 2],
                "maker_order": 1 + n % 3 % 2,
                "taker_order": 2 - n % 3 % 2,
                "maker_account_id": names[n % 3 % 2],
                "taker_account_id": names[1 - n % 3 % 2],
            }
            for n in range(1, 13)
        ],
    )


async def test_trades_of_a_market_newest_first(connection: Connection) -> None:
    await trade(connection)

    async def page(last: trades.TradeRecord | None) -> list[trades.TradeRecord]:
        more = {} if last is None else {"before": last.number}
        return await trades.list_trades(connection, PARTITION, "BTC-USD", limit=2, **more)

    found = await walk(page)
    assert [row.number for row in found] == [11, 9, 7, 5, 3, 1]
    assert found[-1] == trades.TradeRecord(1, 2, NOON + 5 * DAY, "BTC-USD", 200_000, 10, 2_000_000, 2)


async def test_fills_are_both_sides_of_an_accounts_trades(connection: Connection) -> None:
    await trade(connection)

    async def fills(account: str, order: int | None = None, symbol: str = "") -> list[trades.FillRecord]:
        async def page(last: trades.FillRecord | None) -> list[trades.FillRecord]:
            more = {} if last is None else {"before": last.number}
            return await trades.list_fills(connection, PARTITION, account, order=order, symbol=symbol, limit=5, **more)

        return await walk(page)

    assert [fill.number for fill in await fills("demo-a")] == list(range(12, 0, -1))
    assert [fill.number for fill in await fills("demo-b", 2, "ETH-USD")] == [12, 10, 8, 6, 4, 2]
    assert await fills("demo-a", order=2) == []
    assert (await fills("demo-a"))[-1] == trades.FillRecord(
        1, 2, NOON + 5 * DAY, "BTC-USD", 200_000, 10, 2_000_000, 2, 2, 2000, 1, "demo-a", "label-1"
    )
    assert (await fills("demo-b"))[-1] == trades.FillRecord(
        1, 2, NOON + 5 * DAY, "BTC-USD", 200_000, 10, 2_000_000, 1, 1, -5, 2, "demo-b", "label-2"
    )


async def test_entries_are_signed_and_sum_to_zero(connection: Connection) -> None:
    names = ["demo-a", "demo-b", "venue:fees"]
    await insert(
        connection,
        "postings",
        [
            {
                **POSTING,
                "sequence": 1 + n // 3,
                "n": n % 3,
                "time": Micros(NOON + n * 5 * DAY),
                "debit_account_id": names[n % 3],
                "credit_account_id": names[(n + 1) % 3],
                "asset": ["USD", "ETH"][n % 2],
                "amount": 10 + n,
            }
            for n in range(18)
        ],
    )

    async def ledger(account: str, asset: str = "") -> list[entries.EntryRecord]:
        async def page(last: entries.EntryRecord | None) -> list[entries.EntryRecord]:
            more = {} if last is None else {"before": (last.sequence, last.n)}
            return await entries.list_entries(connection, PARTITION, account, asset=asset, limit=4, **more)

        return await walk(page)

    mine = await ledger("demo-a")
    assert len(mine) == 12
    assert [(row.sequence, row.n) for row in mine] == sorted(((row.sequence, row.n) for row in mine), reverse=True)
    assert mine[-1] == entries.EntryRecord(1, 0, NOON, "demo-a", "demo-b", "USD", -10, 4, "2-t1")
    assert [row for row in mine if row.asset == "ETH"] == await ledger("demo-a", "ETH")
    everyone = [row for name in names for row in await ledger(name)]
    assert {asset: sum(row.amount for row in everyone if row.asset == asset) for asset in ("USD", "ETH")} == {
        "USD": 0,
        "ETH": 0,
    }


async def test_events_after_a_sequence_up_to_another(connection: Connection) -> None:
    await insert(
        connection,
        "account_events",
        [
            {**EVENT, "sequence": n, "previous_sequence": n - 2, "account_id": ["demo-a", "demo-b"][n % 2]}
            for n in range(2, 14)
        ],
    )
    found = await events.list_events(connection, PARTITION, "demo-a", after_sequence=4, until_sequence=10, limit=99)
    assert found == [events.EventRecord(n, 0, n - 2, 1, b"\x00e", NOON) for n in (6, 8, 10)]


def minute(n: int, open_ticks: int) -> dict[str, object]:
    return {
        **CANDLE,
        "open_time": Micros(NOON + n * MINUTE),
        "open_ticks": open_ticks,
        "high_ticks": open_ticks + 3,
        "low_ticks": open_ticks - 2,
        "close_ticks": open_ticks + 1,
    }


async def list_all(connection: Connection, interval_s: int, limit: int, start: int = 0) -> list[CandleRecord]:
    async def page(last: CandleRecord | None) -> list[CandleRecord]:
        more = {} if last is None else {"before": last.open_time}
        return await candles.list_candles(
            connection, PARTITION, "ETH-USD", interval_s, start=start, limit=limit, **more
        )

    return await walk(page)


async def test_long_candles_are_made_of_minutes(connection: Connection) -> None:
    await insert(connection, "candles", [minute(n, 100 + n * n % 7) for n in range(12)])
    opens = [100 + n * n % 7 for n in range(12)]
    groups = [range(10, 12), range(5, 10), range(5)]
    assert await list_all(connection, 300, 2) == [
        CandleRecord(
            NOON + group[0] * MINUTE,
            opens[group[0]],
            max(opens[n] for n in group) + 3,
            min(opens[n] for n in group) - 2,
            opens[group[-1]] + 1,
            10 * len(group),
            100 * len(group),
            2 * len(group),
        )
        for group in groups
    ]
    assert [candle.open_time for candle in await list_all(connection, 86_400, 1)] == [NOON - 12 * HOUR]


@pytest.mark.parametrize("interval_s", candles.INTERVALS_S)
async def test_pages_of_candles_cross_gaps_of_any_length(connection: Connection, interval_s: int) -> None:
    """Nothing traded for a day, for a month, for two years: the pages go on behind it."""
    times = [n * MINUTE for n in (0, 1, 2, 59, 60, 61, 1500, 50_000, 50_001, 1_000_000)]
    kept = min(60, interval_s)
    await insert(
        connection, "candles", [{**CANDLE, "interval_s": kept, "open_time": Micros(NOON + time)} for time in times]
    )
    length = interval_s * SECOND
    begins = sorted({(NOON + time) // length * length for time in times}, reverse=True)
    for limit in (1, 3, 50):
        assert [candle.open_time for candle in await list_all(connection, interval_s, limit)] == begins
    since = begins[len(begins) // 2] - length // 2
    assert [candle.open_time for candle in await list_all(connection, interval_s, 2, since)] == [
        begin for begin in begins if begin >= since
    ]


async def test_requests_projections_accounts_and_markets_are_found(connection: Connection) -> None:
    await insert(
        connection,
        "requests",
        [
            {
                "partition": 2,
                "scope": "demo-a",
                "request_id": "r",
                "fingerprint": b"\x00f",
                "sequence": 5,
                "time": Micros(NOON),
            }
        ],
    )
    assert await requests.find_request(connection, PARTITION, "demo-a", "r") == (b"\x00f", 5, NOON)
    assert await requests.find_request(connection, PARTITION, "demo-b", "r") is None
    await insert(
        connection,
        "projections",
        [{"partition": 2, "reader": "tables", "sequence": 5, "epoch": 1, "digest": 2**64 - 1, "chain": b"c"}],
    )
    assert await projections.find_projection(connection, PARTITION, projections.TABLES) == (5, 1, 2**64 - 1, b"c")
    assert await projections.find_projection(connection, PARTITION, projections.BUS) is None
    rows = [
        accounts.AccountRecord(2, f"demo-{n}", f"u{n % 2}", 2, "name", "standard", "", 1, NOON, n) for n in range(5)
    ]
    await insert(connection, "accounts", [{**row._asdict(), "create_time": Micros(row.create_time)} for row in rows])
    assert await accounts.find_account(connection, PARTITION, "demo-3") == rows[3]
    assert await accounts.list_accounts(connection, "u0", limit=2) == [rows[0], rows[2]]
    assert await accounts.list_accounts(connection, "u0", after="demo-2", limit=2) == [rows[4]]
    numbers = (10**16, 10**15, 1, 10**9, 10**9, 0, 7)
    market = markets.MarketRecord("ETH-USD", 1, 2, "ETH", "USD", *numbers, "", NOON, 0, 0, 19_000, 3)
    row = {"partition": 2, **market._asdict(), "next_state_time": Micros(NOON)}
    await insert(connection, "markets", [row])
    await insert(connection, "assets", [{"partition": 2, "symbol": "USD", "scale": 6, "display_scale": 2}])
    assert await markets.list_markets(connection, PARTITION) == [market]
    assert await markets.list_assets(connection, PARTITION) == [("USD", 6, 2)]
