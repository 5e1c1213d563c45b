"""What the market maker counts, for Prometheus and for whoever waits until its books have quotes."""

from collections.abc import Iterable

from prometheus_client import REGISTRY, CollectorRegistry, Gauge


class BotMeasures:
    """By market. `symbols` are those it is to quote."""

    def __init__(self, symbols: Iterable[str], registry: CollectorRegistry = REGISTRY) -> None:
        self._waiting = set(symbols)
        self._quotes = Gauge(
            "venue_bot_quotes", "Orders that the market maker has in a book.", ["symbol"], registry=registry
        )
        for symbol in sorted(self._waiting):
            self._quotes.labels(symbol).set(0)
        self._untried = Gauge("venue_bot_untried", "Markets that have not answered its quotes yet.", registry=registry)
        self._untried.set(len(self._waiting))

    def turned(self, symbol: str, resting: int) -> None:
        """A market has answered: so many of the quotes are in its book."""
        self._quotes.labels(symbol).set(resting)
        self._waiting.discard(symbol)
        self._untried.set(len(self._waiting))
