"""Random commands for a small venue whose numbers are chosen to hurt: notionals of a few units, rebates, shared groups."""

from collections.abc import Iterator, Mapping
from random import Random

from servers.domain import commands as c
from servers.domain.events import Event
from servers.domain.exchange import Exchange
from servers.domain.hours import Hours
from servers.domain.money import ATTO, RATE, parse
from servers.domain.terms import (
    AccountStatus,
    AccountType,
    EntryKind,
    Environment,
    MarketKind,
    MarketState,
    OrderType,
    SelfTradePrevention,
    Side,
    TimeInForce,
)

PARTITION = 2
START_US = 1_700_000_000_000_000
ACCOUNTS = ("demo-ann", "demo-ben", "demo-cem", "demo-dee", "demo-eve")
ASSETS = {"USD": 4, "AAA": 3, "BBB": 2}
SYMBOLS = ("AAA-USD", "BBB-USD")
TAGS = ("", "", "red", "blue")
STATES = (
    MarketState.CANCEL_ONLY,
    MarketState.HALTED,
    MarketState.PRE_OPEN,
    MarketState.PRE_OPEN,
    MarketState.POST_ONLY,
)
# tick, lot, least, most, highest price, maker's rate, taker's rate: a lot of AAA at one tick costs one unit of USD.
MARKETS = {
    "AAA-USD": ("0.01", "0.01", "0.02", "0.35", "1.10", -RATE // 1_000, RATE // 500),
    "BBB-USD": ("0.5", "1", "1", "38", "60", RATE // 1_000, RATE // 300),
}
_ORDER_KINDS = (
    (OrderType.LIMIT, TimeInForce.GTC),
    (OrderType.LIMIT, TimeInForce.GTC),
    (OrderType.LIMIT, TimeInForce.GTC),
    (OrderType.LIMIT, TimeInForce.GTD),
    (OrderType.LIMIT, TimeInForce.DAY),
    (OrderType.LIMIT, TimeInForce.IOC),
    (OrderType.LIMIT, TimeInForce.FOK),
    (OrderType.MARKET, TimeInForce.IOC),
    (OrderType.MARKET, TimeInForce.FOK),
)


class Traffic:
    """Commands one after another; the same seed gives the same ones as long as the machine does the same."""

    def __init__(self, seed: int, *, transfers: bool = True, accounts: tuple[str, ...] = ACCOUNTS) -> None:
        self.random = Random(seed)
        self.transfers = transfers
        self.accounts = accounts
        self.sequence = 0
        self.time = START_US
        self.numbers: list[int] = []
        # The open orders of the machine, where the caller shows them: changes and cancels then mostly find one.
        self.alive: Mapping[int, object] = {}
        # What was sent as the order of each number.
        self.sent: dict[int, c.PlaceOrder] = {}
        # When the index price of a market was set last.
        self.indexed: dict[str, int] = {}
        self.pending: list[str] = []
        # By account: the sequence that opened its session last.
        self.sessions: dict[str, int] = {}
        # Markets and accounts that take nothing at present: they soon will again.
        self.closed: list[str] = []
        self.frozen: list[str] = []

    def opening(self) -> Iterator[c.Command]:
        """What defines the venue and opens its accounts."""
        for symbol, scale in ASSETS.items():
            yield c.DefineAsset(*self._stamp(), symbol, scale, 2)
        for symbol, (tick, lot, least, most, highest, maker, taker) in MARKETS.items():
            sizes = (parse(tick), parse(lot), parse(least), parse(most), parse(highest))
            base = symbol.partition("-")[0]
            kind, state = int(MarketKind.SPOT), int(MarketState.OPEN)
            yield c.DefineMarket(*self._stamp(), symbol, kind, state, base, "USD", *sizes, maker, taker)
        yield c.SetFees(*self._stamp(), "AAA-USD", "vip", -(RATE // 700), RATE // 700)
        for account_id in self.accounts:
            group = "family" if account_id in ACCOUNTS[:2] else ""
            tier = "vip" if account_id == ACCOUNTS[2] else ""
            funds = (("USD", 3_000 * ATTO), ("AAA", 40 * ATTO), ("BBB", 400 * ATTO))
            stamp = self._stamp(account_id, f"open {account_id}")
            yield c.OpenAccount(*stamp, account_id, int(AccountType.DEMO), "", tier, group, funds)

    def next(self) -> c.Command:
        """One more command. Call `refused` if the machine refuses it."""
        dice = self.random.random()
        if dice < 0.05 and self.closed:
            return c.SetMarketState(*self._stamp(), self.closed.pop(), int(MarketState.OPEN))
        if dice < 0.1 and self.frozen:
            return c.SetAccountStatus(*self._stamp(), self.frozen.pop(), int(AccountStatus.ACTIVE))
        if dice < 0.66:
            return self._place()
        if dice < 0.73 and self.numbers:
            return self._amend()
        if dice < 0.78 and self.numbers:
            return self._replace()
        if dice < 0.9 and self.numbers:
            return c.CancelOrder(*self._stamp(), self._number(30), "", "")
        return self._seldom()

    def refused(self) -> None:
        """The last command used no sequence."""
        self.sequence -= 1

    def _number(self, within: int) -> int:
        """Of an open order where they are known, now and then of one of the last that were placed."""
        alive = sorted(number for number in self.alive if number in self.sent) if self.random.random() < 0.8 else []
        return (
            self.random.choice(alive)
            if alive
            else self.numbers[-min(self.random.randrange(1, within), len(self.numbers))]
        )

    def _stamp(self, account_id: str = "", request_id: str = "") -> tuple[int, int, str, str, bytes]:
        self.sequence += 1
        self.time += self.random.choice((0, 1, 1_000))
        user = "user of " + account_id if account_id else ""
        return self.sequence, self.time, user, request_id, b"body" if request_id else b""

    def _place(self, like: c.PlaceOrder | None = None) -> c.PlaceOrder:
        """An order of any account, market and side, or of those of another order."""
        random = self.random
        account_id, symbol = random.choice(self.accounts), random.choice(SYMBOLS)
        side = int(random.choice((Side.BUY, Side.SELL)))
        if like is not None:
            account_id, symbol, side = like.account_id, like.symbol, like.side
        tick, lot, *_ = MARKETS[symbol]
        kind, time_in_force = random.choice(_ORDER_KINDS)
        stamp = self._stamp(account_id, f"place {self.sequence}" if random.random() < 0.5 else "")
        price = amount = 0
        quantity = random.randrange(1, 40) * parse(lot) + (random.random() < 0.02)
        if kind == OrderType.LIMIT:
            price = random.choice((100, 100, 98, 99, 101, 102, 96, 104, 90, 108, 111)) * parse(tick)
            price += random.random() < 0.02
        elif random.random() < 0.5:
            quantity, amount = 0, random.randrange(1, 3_000) * ATTO // 10**4 * (1 if symbol == "AAA-USD" else 10**3)
        expires = (
            self.time + random.choice((-1, *[random.randrange(1, 30_000)] * 9))
            if time_in_force == TimeInForce.GTD
            else 0
        )
        resting = kind == OrderType.LIMIT and time_in_force not in {TimeInForce.IOC, TimeInForce.FOK}
        label = f"label {random.randrange(8)}" if random.random() < 0.3 else ""
        self.numbers.append(self.sequence)
        order = self.sent[self.sequence] = c.PlaceOrder(
            *stamp,
            account_id,
            symbol,
            side,
            int(kind),
            int(time_in_force),
            price,
            quantity,
            amount,
            resting and random.random() < 0.2,
            False,
            random.choice((0, *map(int, SelfTradePrevention))),
            label,
            expires,
            random.choice(TAGS),
            self._display(quantity, parse(lot)) if resting else 0,
            session_id=random.choice(("", "desk")),
        )
        return order

    def _display(self, quantity: int, lot: int) -> int:
        """How much of a resting order is shown at a time; now and then too much, too little or no whole lots."""
        random = self.random
        if random.random() < 0.7:
            return 0
        return random.choice(
            (random.randrange(1, 6) * lot, quantity // lot // 3 * lot, random.randrange(1, 9) * lot + 1)
        )

    def _amend(self) -> c.AmendOrder:
        """Of a recent order, which may be gone; now and then in prices and sizes of the other market."""
        random = self.random
        number = self._number(12)
        tick, lot, *_ = MARKETS[self.sent[number].symbol if random.random() < 0.9 else random.choice(SYMBOLS)]
        price = random.choice((0, 0, 98, 99, 100, 101, 102, 130)) * parse(tick) + (random.random() < 0.02)
        quantity = random.choice((0, *range(1, 40))) * parse(lot) + (random.random() < 0.02)
        stamp = self._stamp("", f"amend {self.sequence}" if random.random() < 0.5 else "")
        return c.AmendOrder(*stamp, number, "", "", price, quantity, random.choice((0, 0, 0, 0, 7)))

    def _replace(self) -> c.ReplaceOrder:
        """Of a recent order, which may be gone; now and then by one that may not take its place."""
        number = self._number(6)
        order = self._place(self.sent[number] if self.random.random() < 0.9 else None)
        if order.quote_amount:
            order.quantity, order.quote_amount = order.quote_amount, 0
        order.user_id = ""
        stamp = (order.sequence, order.time, order.user_id, order.request_id, order.fingerprint)
        return c.ReplaceOrder(*stamp, number, order)

    def _seldom(self) -> c.Command:
        random = self.random
        account_id, symbol = random.choice(self.accounts), random.choice(SYMBOLS)
        match random.randrange(14 if self.transfers else 11):
            case 0:
                wanted = random.choice(("", symbol)), random.choice((0, 0, int(Side.BUY), int(Side.SELL)))
                return c.CancelAllOrders(*self._stamp(account_id), account_id, *wanted, random.choice(TAGS))
            case 1 | 2:
                self.time += random.choice((10_000, 10_000, 30_000, 3_600_000_000))
                return c.Advance(*self._stamp())
            case 3:
                state = random.choice(STATES)
                self.closed.append(symbol)
                return c.SetMarketState(*self._stamp(), symbol, int(state))
            case 4:
                self.frozen.append(account_id)
                return c.SetAccountStatus(*self._stamp(), account_id, int(AccountStatus.FROZEN))
            case 5:
                rates = random.choice(((-RATE // 1_000, RATE // 500), (0, 0), (RATE // 10, RATE // 100), (-1, 1)))
                return c.SetFees(*self._stamp(), symbol, random.choice(("default", "vip")), *rates)
            case 6:
                timeout = random.choice((0, 5_000, 20_000, 20_000, 3_600_000_000))
                return c.CancelAllAfter(*self._stamp(account_id), account_id, timeout, random.choice(TAGS))
            case 7:
                return c.LeaderStarted(*self._stamp(), self.sequence)
            case 8 | 9 | 10:
                return random.choice((self._session, self._session, self._set_hours))(account_id, symbol)
            case 11 | 12:
                return self._transfer(account_id)
            case _:
                transfer_id = random.choice(self.pending) if self.pending else "none"
                amount = random.choice((0, 0, random.randrange(50) * ATTO))
                return c.ResolveTransfer(*self._stamp(), transfer_id, random.random() < 0.4, amount)

    def _set_hours(self, _account_id: str, symbol: str) -> c.SetTradingHours:
        self.closed.append(symbol)
        return c.SetTradingHours(*self._stamp(), symbol, self._hours())

    def _hours(self) -> tuple[Hours, ...]:
        """None, or hours that change something soon; the week has more, of other days."""
        random = self.random
        second = (self.time // 1_000_000 + 3 * 86_400) % (7 * 86_400)
        weekday, of_day = second // 86_400 + 1, second % 86_400
        opens = min(max(of_day + random.choice((-7_200, 1, 60)), 100), 86_000)
        closes = min(opens + random.choice((2, 30, 3_600, 10_800)), 86_400)
        other = Hours(weekday % 7 + 1, 30_000, 60_000, random.choice((0, 600)))
        today = Hours(weekday, opens, closes, random.choice((0, 1, 60)))
        return random.choice(((), (today,), (today, other)))

    def _session(self, account_id: str, _symbol: str) -> c.OpenSession | c.EndSession:
        """Opens an account's session, loses or ends it; now and then it is another's that was opened before."""
        random = self.random
        stamp, opened = self._stamp(account_id), self.sessions.get(account_id, 0)
        if not opened or random.random() < 0.4:
            self.sessions[account_id] = self.sequence
            return c.OpenSession(*stamp, "desk", account_id)
        return c.EndSession(*stamp, "desk", account_id, opened - (random.random() < 0.2), random.random() < 0.7)

    def _transfer(self, account_id: str) -> c.MakeTransfer:
        random = self.random
        transfer_id = f"transfer {self.sequence} {random.random()}"
        if random.random() < 0.6:
            self.pending.append(transfer_id)
        pending = transfer_id in self.pending
        other = random.choice(("venue:paper", "venue:external", "transit:9", *self.accounts))
        pair = random.choice(((account_id, other), (other, account_id)))
        receiver = "demo-far" if pending and pair[1] == "transit:9" else ""
        asset, amount = random.choice(tuple(ASSETS)), random.randrange(40) * ATTO
        self.sequence += 1
        stamp = (self.sequence, self.time, "", transfer_id, b"body")
        receives = pair[0] == "transit:9" and not pending
        return c.MakeTransfer(*stamp, *pair, asset, amount, int(EntryKind.TRANSFER), pending, receiver, receives)


def opened(seed: int, *, transfers: bool = True) -> tuple[Exchange, Traffic, list[Event]]:
    """A machine with the small venue, the traffic for it, and the events so far."""
    exchange, traffic = Exchange(PARTITION, Environment.DEMO, request_memory=300), Traffic(seed, transfers=transfers)
    events: list[Event] = []
    for command in traffic.opening():
        events += exchange.execute(command)
    return exchange, traffic, events
