"""Which sources a deployment has: ours and any exchange by name, in the order in which they were named."""

from pathlib import Path

from servers.config import Settings
from servers.feed.binance import Binance
from servers.feed.coinmarketcap import CoinMarketCap
from servers.feed.exchange import Exchange
from servers.feed.yahoo import Yahoo
from servers.wiring.feed import sources_of


def settings(tmp_path: Path, **given: object) -> Settings:
    return Settings(state_dir=tmp_path, feed_simulated=False, **given)  # type: ignore[arg-type]


def test_sources_are_ours_and_any_exchange_by_its_name_each_once_and_in_order(tmp_path: Path) -> None:
    named = ["kraken", "binance", "yahoo", "kraken", "coinmarketcap", "bitstamp"]
    made = sources_of(settings(tmp_path, feed_sources=named, coinmarketcap_key="k"), None)
    assert [one.name for one in made] == ["kraken", "binance", "yahoo", "coinmarketcap", "bitstamp"]
    assert [type(one) for one in made] == [Exchange, Binance, Yahoo, CoinMarketCap, Exchange]


def test_a_deployment_says_how_an_exchange_names_pairs_and_how_often_it_is_asked(tmp_path: Path) -> None:
    given = {"feed_names": {"kraken": {"BTC-EUR": "XBT/EUR"}}, "feed_poll_s": {"kraken": 7.0}}
    kraken, bitstamp = sources_of(settings(tmp_path, feed_sources=["kraken", "bitstamp"], **given), None)
    assert isinstance(kraken, Exchange)
    assert isinstance(bitstamp, Exchange)
    assert (kraken._names, kraken._poll_s, kraken.stale_s) == ({"BTC-EUR": "XBT/EUR"}, 7.0, 51.0)
    assert bitstamp._names["BTC-USDT"] == "BTC/USDT"


def test_without_a_name_nobody_outside_is_asked(tmp_path: Path) -> None:
    assert sources_of(settings(tmp_path), None) == []
