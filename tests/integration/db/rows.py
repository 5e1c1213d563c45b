"""Whole rows to put into tables, with what a test does not care about filled in."""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import sql

from db.adaptation import Micros
from db.session import Connection

# 2026-03-10 12:00:00 UTC
NOON = 1_773_144_000_000_000
SECOND = 1_000_000
ORDER: Mapping[str, object] = {
    "partition": 2,
    "number": 1,
    "account_id": "demo-a",
    "symbol": "ETH-USD",
    "side": 1,
    "type": 2,
    "time_in_force": 1,
    "price": 2000 * 10**18,
    "quantity": 10**18,
    "quote_amount": 0,
    "post_only": False,
    "reduce_only": False,
    "self_trade_prevention": 1,
    "client_order_id": "",
    "request_id": "",
    "expire_time": Micros(0),
    "create_time": Micros(NOON),
    "ticks": 200_000,
    "lots": 1000,
    "filled_lots": 0,
    "removed_lots": 0,
    "notional": 0,
    "maker_rate": 0,
    "taker_rate": 100_000,
    "fee_accrued": 0,
    "fee_charged": 0,
    "held": 200_200_000_000,
    "status": 2,
    "reject_reason": 0,
    "cancel_reason": 0,
    "priority": 1,
    "update_time": Micros(NOON),
    "update_sequence": 1,
    "parent_number": 0,
    "root_number": 0,
    "tag": "",
    "display_quantity": 0,
    "hidden_lots": 0,
    "stop_price": 0,
    "trigger_source": 0,
    "trigger_time": Micros(0),
    "trailing_amount": 0,
    "trailing_percent": 0,
    "best_price": 0,
    "list_number": 0,
    "list_role": 0,
    "exits": "",
}
TRADE: Mapping[str, object] = {
    "partition": 2,
    "number": 1,
    "sequence": 2,
    "time": Micros(NOON),
    "symbol": "ETH-USD",
    "ticks": 200_000,
    "lots": 10,
    "notional": 2_000_000,
    "taker_side": 2,
    "maker_order": 1,
    "taker_order": 2,
    "maker_account_id": "demo-a",
    "taker_account_id": "demo-b",
    "maker_fee": -5,
    "taker_fee": 2000,
}
POSTING: Mapping[str, object] = {
    "partition": 2,
    "sequence": 1,
    "n": 0,
    "time": Micros(NOON),
    "debit_account_id": "demo-a",
    "credit_account_id": "demo-b",
    "asset": "USD",
    "amount": 500,
    "kind": 4,
    "reference": "2-t1",
}
BALANCE: Mapping[str, object] = {"partition": 2, "account_id": "demo-a", "asset": "USD", "available": 1, "held": 0}
TRANSFER: Mapping[str, object] = {
    "partition": 2,
    "transfer_id": "t",
    "debit_account_id": "demo-a",
    "credit_account_id": "demo-b",
    "asset": "USD",
    "amount": 5,
    "posted": 0,
    "kind": 3,
    "state": 1,
    "sequence": 1,
}
EVENT: Mapping[str, object] = {
    "partition": 2,
    "sequence": 1,
    "n": 0,
    "account_id": "demo-a",
    "previous_sequence": 0,
    "type": 1,
    "payload": b"\x00e",
    "time": Micros(NOON),
}
CANDLE: Mapping[str, object] = {
    "partition": 2,
    "symbol": "ETH-USD",
    "interval_s": 60,
    "open_time": Micros(NOON),
    "open_ticks": 5,
    "high_ticks": 9,
    "low_ticks": 1,
    "close_ticks": 7,
    "lots": 10,
    "notional": 100,
    "trade_count": 2,
}


async def insert(connection: Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    names = list(rows[0])
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, names)),
        sql.SQL(", ").join(map(sql.Placeholder, names)),
    )
    async with connection.transaction(), connection.cursor() as cursor:
        await cursor.executemany(statement, rows)
