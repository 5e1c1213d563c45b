"""Everything that can be asked of a venue, in one stream."""

from servers.domain import commands as c
from servers.domain.model import Limits
from servers.domain.money import ATTO
from tests.property.traffic import SYMBOLS, Traffic


class WholeTraffic(Traffic):
    """The traffic of the properties, and limits that come and go."""

    def next(self) -> c.Command:
        dice = self.random.random()
        if dice < 0.02:
            return self._limit()
        command = super().next()
        if isinstance(command, c.PlaceOrder) and dice > 0.97:
            command.reduce_only = True
        return command

    def _limit(self) -> c.SetLimits:
        """Of an account, a tier, a market or all; most are wide enough to be met only now and then."""
        random = self.random
        whose = random.choice((("", ""), ("", ""), (random.choice(self.accounts), ""), ("", "vip")))
        symbol = random.choice(("", *SYMBOLS))

        def amount(most: int) -> int:
            return random.choice((-1, -1, random.randrange(1, most) * ATTO))

        orders = random.choice((-1, random.randrange(4, 60))) if not symbol else -1
        allowed = random.choice(("", "", "*", SYMBOLS[0])) if not symbol else ""
        band = random.choice((-1, -1, random.randrange(1, 40) * 10**6))
        limits = Limits(*whose, symbol, amount(60), amount(60), orders, amount(90), amount(3_000), band, allowed)
        return c.SetLimits(*self._stamp(), limits)
