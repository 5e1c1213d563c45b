"""Candles of a market as a table of pandas, indexed by time; needs no log-in.

    python -m examples.python.candles localhost:8080 ETH-USD 1M 200

Prices stay Decimal; who computes statistics with them makes them floats knowingly: `table.astype(float)`.
"""

import asyncio
import importlib
import importlib.util
import sys
from typing import Any

from venue_sdk import Candle, Client

COLUMNS = ("open", "high", "low", "close", "volume", "trade_count")


def table(candles: list[Candle]) -> Any:  # noqa: ANN401  a DataFrame, where there is pandas
    pandas = importlib.import_module("pandas")
    rows = [[getattr(candle, name) for name in COLUMNS] for candle in candles]
    times = pandas.DatetimeIndex([candle.open_time for candle in candles], name="open_time")
    return pandas.DataFrame(rows, columns=list(COLUMNS), index=times)


async def main(target: str, symbol: str, interval: str, count: str) -> None:
    async with Client(target) as client:
        candles = await client.candles(symbol, interval, int(count))
    if importlib.util.find_spec("pandas") is None:
        print("pandas is not installed (pip install pandas): plain lines in its place")
        for candle in candles:
            print(candle.open_time, *(getattr(candle, name) for name in COLUMNS))
        return
    print(table(candles))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
