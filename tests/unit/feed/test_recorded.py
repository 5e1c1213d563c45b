"""Messages with all the fields that the real sources send: they are read, and what is simulated has their shape.

The field names and types are those of recorded messages, `null` in the middle of a series and prices of any length included.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from servers.domain.money import parse
from servers.feed import coinmarketcap, yahoo
from servers.feed.binance import Binance
from servers.feed.pairs import BINANCE, COINMARKETCAP, YAHOO
from servers.feed.reading import read_json
from servers.feed.simulator.binance import BinanceSimulator
from servers.feed.simulator.coinmarketcap import CoinMarketCapSimulator
from servers.feed.simulator.walk import Walks
from servers.feed.simulator.yahoo import YahooSimulator
from servers.feed.source import Observation

RECORDED = Path(__file__).parent / "recorded"
SEEDS = {"BTC-USDT": "70000", "AAPL-USD": "171", "BTC-USD": "70000", "ETH-USD": "3500"}


def message_of(source: str) -> str:
    return (RECORDED / f"{source}.json").read_text(encoding="utf-8")


def told(source: str) -> list[Observation]:
    found = read_json(message_of(source))
    if source == BINANCE:
        return [Binance("ws://nowhere", {"BTC-USDT": "BTCUSDT"})._observation(found)]
    if source == YAHOO:
        return [yahoo.observation("AAPL-USD", "AAPL", found)]
    return coinmarketcap.observations({"BTC-USD": "BTC", "ETH-USD": "ETH"}, found)


@pytest.mark.parametrize(
    ("source", "prices"),
    [
        (BINANCE, {"BTC-USDT": "70086.91"}),
        (YAHOO, {"AAPL-USD": "171.48"}),
        (COINMARKETCAP, {"BTC-USD": "69987.49312884577", "ETH-USD": "3518.2500986"}),
    ],
)
def test_a_recorded_message_is_read_to_the_last_digit(source: str, prices: dict[str, str]) -> None:
    assert {one.pair: one.price for one in told(source)} == {pair: parse(price) for pair, price in prices.items()}
    # It is years old, and says so.
    assert min(one.age_s for one in told(source)) > 86_400


def simulated(source: str) -> Any:
    walks = Walks(SEEDS)
    if source == BINANCE:
        return json.loads(BinanceSimulator(walks, {"BTCUSDT": "BTC-USDT"})._message("BTCUSDT"))
    if source == YAHOO:
        return json.loads(YahooSimulator(walks, {"AAPL": "AAPL-USD"})._body("AAPL"))
    pairs = {"BTC": "BTC-USD", "ETH": "ETH-USD"}
    return json.loads(CoinMarketCapSimulator(walks, pairs, "key")._body(list(pairs)))


def lacking(made: Any, real: Any, where: str = "") -> list[str]:
    """Where what was made has something that the real one has not, or of another type. Numbers of any kind are one type."""
    number = (int, float)
    if isinstance(made, dict) and isinstance(real, dict):
        missing = [f"{where}.{name}" for name in made if name not in real]
        return missing + [
            at for name in made if name in real for at in lacking(made[name], real[name], f"{where}.{name}")
        ]
    if isinstance(made, list) and isinstance(real, list):
        return [at for one in made for at in lacking(one, real[0], f"{where}[]")]
    same = type(made) is type(real) or (isinstance(made, number) and isinstance(real, number))
    return [] if same else [f"{where}: {type(made).__name__} in place of {type(real).__name__}"]


@pytest.mark.parametrize("source", [BINANCE, YAHOO, COINMARKETCAP])
def test_what_is_simulated_has_the_shape_of_what_was_recorded(source: str) -> None:
    real = json.loads(message_of(source))
    assert lacking(simulated(source), real) == []
    if source == BINANCE:
        assert simulated(source)["data"].keys() == real["data"].keys()
