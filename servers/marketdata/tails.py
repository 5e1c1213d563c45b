"""The partitions of one environment, as one: each market's tail is that of its partition."""

from collections.abc import Mapping

from servers.marketdata.tail import Tail
from servers.marketdata.view import View


class Tails:
    """The tail of an environment's first partition, and those of the markets that are in others."""

    def __init__(self, first: Tail, others: Mapping[str, Tail]) -> None:
        self._first = first
        self._others = others

    @property
    def environment(self) -> int:
        return self._first.source.environment

    @property
    def partition(self) -> int:
        """The environment's first."""
        return self._first.source.partition

    @property
    def all(self) -> list[Tail]:
        """Every partition's."""
        return list(dict.fromkeys([self._first, *self._others.values()]))

    def of(self, symbol: str) -> Tail:
        """The tail that has a market, if there is such a market."""
        return self._others.get(symbol, self._first)

    def view(self, symbol: str) -> View:
        """Raises MarketNotFound, PartUnavailable."""
        return self.of(symbol).view(symbol)

    def listed(self) -> list[View]:
        """Every market, by symbol. Raises PartUnavailable."""
        found = [view for tail in self.all for view in tail.listed()]
        return sorted(found, key=lambda view: view.symbol)
