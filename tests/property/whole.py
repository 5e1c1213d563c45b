"""Everything that can be asked of a venue, in one stream."""

from itertools import count
from random import Random
from typing import Final

from servers.domain import commands as c
from servers.domain.events import Event
from servers.domain.exchange import Exchange
from servers.domain.model import Limits
from servers.domain.money import ATTO
from servers.domain.terms import EntryKind, Environment
from tests.property.conditions import ConditionalTraffic
from tests.property.traffic import ACCOUNTS, ASSETS, PARTITION, SYMBOLS

# Used request ids that the machine remembers.
MEMORY: Final = 300


class WholeTraffic(ConditionalTraffic):
    """The traffic of the properties: orders that wait, linked ones, ones that only reduce; limits come and go among them."""

    def __init__(self, seed: int, *, transfers: bool = True, accounts: tuple[str, ...] = ACCOUNTS) -> None:
        super().__init__(seed, transfers=transfers, accounts=accounts)
        self.limiting = 0.01
        self.reducing = 0.12
        # (account, tier, symbol) of limits that will soon be taken away again.
        self.limited: list[tuple[str, str, str]] = []
        # Dice of their own: what is done beside trading does not turn the rest into another run.
        self.beside = Random(seed)
        self.spare = ""
        # Of ids: a simulation that lost a leader comes to the same sequence again.
        self.named = count(1)

    def next(self) -> c.Command:
        beside = self.beside.random()
        if beside < 0.005:
            return self._terms()
        if self.transfers and beside < 0.025:
            return self.beside.choice((self._convert, self._spare))()
        dice = self.random.random()
        if dice < self.limiting:
            return self._limit()
        if dice < 2 * self.limiting + 0.03 and self.limited:
            return c.SetLimits(*self._stamp(), Limits(*self.limited.pop(), -1, -1, -1, -1, -1, -1, ""))
        return super().next()

    def _place(self, like: c.PlaceOrder | None = None) -> c.PlaceOrder:
        order = super()._place(like)
        order.reduce_only = self.random.random() < self.reducing
        return order

    def _beside(self, request_id: str, account_id: str = "") -> tuple[int, int, str, str, bytes]:
        self.sequence += 1
        return self.sequence, self.time, f"user of {account_id}" if account_id else "", request_id, b"body"

    def _convert(self) -> c.Convert:
        """Now and then too late, of too much, or of an asset for itself."""
        random = self.beside
        account_id = random.choice(self.accounts)
        stamp = self._beside(f"conversion {next(self.named)}", account_id)
        pair, expires = random.choices(tuple(ASSETS), k=2), self.time + random.choice((1, 1_000, 10_000_000, 0))
        first, second = (random.randrange(3) * ATTO // 10 for _ in pair)
        return c.Convert(*stamp, account_id, pair[0], first, pair[1], second, expires, "once")

    def _spare(self) -> c.Command:
        """An account beside the others is opened, renamed, paid into by the venue, closed; closing others is tried too."""
        random, number = self.beside, next(self.named)
        told = f"spare {number}"
        account_id = random.choice(self.accounts)
        if not self.spare:
            self.spare = f"demo-spare-{number}"
            return c.OpenAccount(*self._beside(told, account_id), self.spare, 2, "spare", "default", "", ())
        dice = random.random()
        if dice < 0.1:
            return c.BeginBatch(*self._beside(told, account_id))
        if dice < 0.25:
            return c.RenameAccount(*self._beside(told, account_id), account_id, told)
        if dice < 0.35:
            usd, kind = "USD", int(EntryKind.DEPOSIT)
            return c.MakeTransfer(*self._beside(told), "venue:paper", self.spare, usd, ATTO, kind, False)
        if dice < 0.45:
            return c.CloseAccount(*self._beside(told), account_id)
        closed, self.spare = self.spare, self.spare if dice < 0.6 else ""
        return c.CloseAccount(*self._beside(told), closed)

    def _terms(self) -> c.SetAccountTerms:
        """An account comes to another tier or group, now and then to neither."""
        random = self.beside
        tier = random.choice(("", "default", "vip"))
        return c.SetAccountTerms(
            *self._beside(""),
            random.choice(self.accounts),
            tier,
            random.choice(("", "family", "others", *self.accounts)),
        )

    def _limit(self) -> c.SetLimits:
        """Of an account, a tier, a market or all; most are wide enough to be met only now and then."""
        random = self.random
        whose = random.choice((("", ""), ("", ""), (random.choice(self.accounts), ""), ("", "vip")))
        symbol = random.choice(("", *SYMBOLS))
        self.limited.append((*whose, symbol))

        def amount(most: int) -> int:
            # Some of what AAA comes to, some of what BBB does.
            size = random.choice((ATTO // 10, ATTO, 50 * ATTO))
            return random.choice((-1, -1, random.randrange(1, most) * size))

        orders = random.choice((-1, random.randrange(2, 30))) if not symbol else -1
        allowed = random.choice(("", "", "*", SYMBOLS[0])) if not symbol else ""
        band = random.choice((-1, -1, random.randrange(1, 40) * 10**6))
        limits = Limits(*whose, symbol, amount(60), amount(40), orders, amount(40), amount(9), band, allowed)
        return c.SetLimits(*self._stamp(), limits)


class SwarmTraffic(WholeTraffic):
    """The same with other weights for each seed: what seldom comes together in a mixture does where all else is seldom."""

    def __init__(self, seed: int, *, transfers: bool = True, accounts: tuple[str, ...] = ACCOUNTS) -> None:
        super().__init__(seed, transfers=transfers, accounts=accounts)
        random = self.random
        self.limiting = random.choice((0, 0.01, 0.04))
        self.reducing = random.choice((0, 0.1, 0.4))
        self.shares = tuple(share * random.choice((0, 1, 1, 2)) for share in self.shares)  # type: ignore[assignment]  # five
        self.changing = random.choice((0, 0.05, 0.15))

    def next(self) -> c.Command:
        """More changes of orders than anybody would make."""
        if self.numbers and self.random.random() < self.changing:
            return self.random.choice((self._amend, self._replace, self._retarget))()
        return super().next()


def opened(seed: int) -> tuple[Exchange, SwarmTraffic, list[Event]]:
    """A machine with the small venue, everything there is for it, and the events so far."""
    exchange, traffic = Exchange(PARTITION, Environment.DEMO, request_memory=MEMORY), SwarmTraffic(seed)
    traffic.alive = exchange.floor.orders
    events: list[Event] = []
    for command in traffic.opening():
        events += exchange.execute(command)
    return exchange, traffic, events
