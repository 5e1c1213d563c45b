"""What a market has traded, as of one place in the journal: what a server of market data starts from."""

from typing import Final, NamedTuple

from db.candles import INTERVALS_S, SECOND_S, CandleRecord, list_candles
from db.projections import TABLES, find_projection
from db.session import Connection
from db.trades import TradeRecord, list_trades

SECONDS_MAX: Final = 100_000


class History(NamedTuple):
    """All newest first. `newest` has the last candle by its length in seconds; no candles are there where none were asked for."""

    sequence: int
    trades: list[TradeRecord]
    seconds: list[CandleRecord]
    newest: dict[int, CandleRecord]


async def load_history(
    connection: Connection, partition: int, symbol: str, *, trades_max: int, since: int | None
) -> History:
    """The last trades, and (with `since`, microseconds since 1970) the candles of each second from then on."""
    async with connection.transaction():
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        position = await find_projection(connection, partition, TABLES)
        trades = await list_trades(connection, partition, symbol, limit=trades_max)
        seconds: list[CandleRecord] = []
        newest: dict[int, CandleRecord] = {}
        if since is not None:
            seconds = await list_candles(connection, partition, symbol, SECOND_S, start=since, limit=SECONDS_MAX)
            for length_s in INTERVALS_S:
                for candle in await list_candles(connection, partition, symbol, length_s, limit=1):
                    newest[length_s] = candle
    return History(position.sequence if position is not None else 0, trades, seconds, newest)
