"""Which pairs each source is asked for, and what it calls them. A deployment adds its own in VENUE_FEED_NAMES."""

from collections.abc import Mapping
from typing import Final

BINANCE: Final = "binance"
YAHOO: Final = "yahoo"
COINMARKETCAP: Final = "coinmarketcap"
OWN: Final = (BINANCE, YAHOO, COINMARKETCAP)

# Pair -> the source's own name of it. What it quotes in is checked where it says so.
NAMES: Final[Mapping[str, Mapping[str, str]]] = {
    BINANCE: {"BTC-USDT": "BTCUSDT", "ETH-USDT": "ETHUSDT", "SOL-USDT": "SOLUSDT"},
    YAHOO: {
        "BTC-USD": "BTC-USD",
        "ETH-USD": "ETH-USD",
        "SOL-USD": "SOL-USD",
        "USDT-USD": "USDT-USD",
        "AAPL-USD": "AAPL",
        "EUR-USD": "EURUSD=X",
    },
    COINMARKETCAP: {"BTC-USD": "BTC", "ETH-USD": "ETH", "SOL-USD": "SOL", "USDT-USD": "USDT"},
}


def names_of(source: str, added: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """A source's names by pair, those of the deployment included."""
    return {**NAMES.get(source, {}), **added.get(source, {})}
