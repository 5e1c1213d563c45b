"""Everything that can be asked of a venue, in one stream."""

from servers.domain import commands as c
from servers.domain.model import Limits
from servers.domain.money import ATTO
from tests.property.conditions import ConditionalTraffic
from tests.property.traffic import ACCOUNTS, SYMBOLS


class WholeTraffic(ConditionalTraffic):
    """The traffic of the properties, orders that wait and limits that come and go among it."""

    def __init__(self, seed: int, *, accounts: tuple[str, ...] = ACCOUNTS) -> None:
        super().__init__(seed, accounts=accounts)
        # (account, tier, symbol) of limits that will soon be taken away again.
        self.limited: list[tuple[str, str, str]] = []

    def next(self) -> c.Command:
        dice = self.random.random()
        if dice < 0.01:
            return self._limit()
        if dice < 0.05 and self.limited:
            return c.SetLimits(*self._stamp(), Limits(*self.limited.pop(), -1, -1, -1, -1, -1, -1, ""))
        command = super().next()
        if isinstance(command, c.PlaceOrder) and dice > 0.97:
            command.reduce_only = True
        return command

    def _limit(self) -> c.SetLimits:
        """Of an account, a tier, a market or all; most are wide enough to be met only now and then."""
        random = self.random
        whose = random.choice((("", ""), ("", ""), (random.choice(self.accounts), ""), ("", "vip")))
        symbol = random.choice(("", *SYMBOLS))
        self.limited.append((*whose, symbol))

        def amount(most: int) -> int:
            return random.choice((-1, -1, random.randrange(1, most) * ATTO))

        orders = random.choice((-1, random.randrange(4, 60))) if not symbol else -1
        allowed = random.choice(("", "", "*", SYMBOLS[0])) if not symbol else ""
        band = random.choice((-1, -1, random.randrange(1, 40) * 10**6))
        limits = Limits(*whose, symbol, amount(60), amount(60), orders, amount(90), amount(3_000), band, allowed)
        return c.SetLimits(*self._stamp(), limits)
