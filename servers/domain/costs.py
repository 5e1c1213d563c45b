"""What an account's assets cost on average in a reporting asset, and what it made of them: a fold over its ledger.

An exchange (a trade with its fee, a conversion) is what it changed in sum. Paying with the reporting asset makes the cost of what
is received; paying with another asset hands that one's share of its cost on, and realizes nothing; receiving the reporting asset
realizes what it is more than the share of the cost of what was paid. So fees are in costs and in what is realized.
A share is cost * paid // held, and all of it where all is paid: what rounding leaves stays in the cost until then.

Invariants: no cost is below zero, what is not held costs nothing, and all that is realized less all costs is all that came in
of the reporting asset by exchanges less what went out by them, less the costs of what came in, plus those of what went out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Cost:
    """Of one asset: what is held in its units; its cost and what was realized of it in units of the reporting asset."""

    held: int = 0
    cost: int = 0
    realized: int = 0


@dataclass(slots=True)
class Costs:
    """All assets of an account. Of the reporting asset itself the cost stays zero."""

    reporting: str
    assets: dict[str, Cost] = field(default_factory=dict)

    def of(self, asset: str) -> Cost:
        """Made at its first use."""
        cost = self.assets.get(asset)
        if cost is None:
            cost = self.assets[asset] = Cost()
        return cost

    def receive(self, asset: str, units: int, cost: int) -> None:
        """Take in a deposit or the like that is worth so much."""
        mine = self.of(asset)
        mine.held += units
        if asset != self.reporting:
            mine.cost += cost

    def give(self, asset: str, units: int) -> None:
        """Pay out a withdrawal or the like: its share of the cost goes with it."""
        self._take(asset, units)

    def exchange(self, changes: Mapping[str, int]) -> None:
        """Fold in what an exchange changed, by asset, in units."""
        paid = {asset: -units for asset, units in changes.items() if units < 0}
        received = {asset: units for asset, units in changes.items() if units > 0}
        cost = sum(self._take(asset, units) for asset, units in paid.items())
        for asset, units in received.items():
            self.of(asset).held += units
        brought = received.get(self.reporting, 0)
        bought = [asset for asset in received if asset != self.reporting]
        sold = [asset for asset in paid if asset != self.reporting]
        if bought:
            self.of(bought[0]).cost += cost
        else:
            # A fee by itself is a loss of the reporting asset.
            self.of(sold[0] if sold else self.reporting).realized += brought - cost

    def _take(self, asset: str, units: int) -> int:
        """What the units cost; of the reporting asset as much as they are."""
        mine = self.of(asset)
        if asset == self.reporting:
            mine.held -= units
            return units
        share = mine.cost * units // mine.held if units < mine.held else mine.cost
        mine.held -= units
        mine.cost -= share
        return share
