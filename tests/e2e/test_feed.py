"""What a newcomer sees of prices from outside: an index that moves, a book that follows it, and figures of the market."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.e2e import node_client
from tests.e2e.launching import Venue, eventually
from tests.e2e.ways import Rest, Way, opened

MARKETDATA = "marketdata.v1.MarketDataService"
NAMED = {"symbol": "BTC-USD"}


@pytest.fixture(scope="module", params=["grpc", "rest", "web"])
def each_way(request: pytest.FixtureRequest, venue: Venue, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    def script() -> Any:
        return node_client.bundle("bridge", tmp_path_factory.mktemp("bridge"))

    with opened(request.param, venue.url, venue.target, script) as way:
        yield way


def ticker(way: Way) -> Any:
    return way.call(f"{MARKETDATA}.GetTicker", NAMED)["ticker"]


def test_an_index_moves_and_the_book_follows_it(rest: Rest) -> None:
    eventually(lambda: ticker(rest)["indexPrice"] != "", "an index price")
    first = ticker(rest)["indexPrice"]
    eventually(lambda: ticker(rest)["indexPrice"] != first, "another index price")

    def is_near() -> bool:
        seen = ticker(rest)
        if not seen["bidPrice"] or not seen["askPrice"]:
            return False
        middle = (Decimal(seen["bidPrice"]) + Decimal(seen["askPrice"])) / 2
        return abs(middle - Decimal(seen["indexPrice"])) * 500 < middle

    eventually(is_near, "a book around the index")
    assert 63_000 < Decimal(first) < 67_000


def test_figures_of_a_market_are_told_in_every_way(each_way: Way) -> None:
    eventually(lambda: int(ticker(each_way)["tradeCount"]) > 0, "a trade")
    found = each_way.call(f"{MARKETDATA}.GetMarketStatistics", {**NAMED, "days": 2})["statistics"]
    assert found["symbol"] == "BTC-USD"
    assert Decimal(found["volume"]) > 0
    assert [band["bps"] for band in found["depth"]] in ([], [10, 25, 50, 100, 200])
    eventually(
        lambda: each_way.call(f"{MARKETDATA}.GetMarketStatistics", NAMED)["statistics"]["days"] != [],
        "a day with trades",
    )
    listed = each_way.call(f"{MARKETDATA}.ListMarketStatistics", {})["statistics"]
    assert "BTC-USD" in [each["symbol"] for each in listed]


def test_the_terminal_shows_each_source(venue: Venue) -> None:
    shown = venue.run("feed")
    assert shown.returncode == 0, shown.stderr
    for word in ("binance", "yahoo", "coinmarketcap", "closed", "BTC-USD"):
        assert word in shown.stdout
