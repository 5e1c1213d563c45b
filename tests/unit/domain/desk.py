"""A trader's desk: the machine with one market and a few accounts, spoken to in decimal text.

BTC-USD: tick 0.01, lot 0.001, at least 0.001 and at most 100 BTC, prices up to 100,000 USD, no fees unless a test sets some.
Everybody starts with 1,000,000 USD and 1,000 BTC.
"""

from dataclasses import dataclass
from typing import Any

from servers.domain import commands as c
from servers.domain.errors import VenueError
from servers.domain.events import Event, OrderChanged, Traded
from servers.domain.exchange import Exchange
from servers.domain.invariants import breaches
from servers.domain.limits import UNSAID
from servers.domain.model import Limits, Order, Transfer
from servers.domain.money import ATTO_SCALE, RATE_SCALE, format_units, parse
from servers.domain.state import state_hash
from servers.domain.terms import (
    AccountType,
    CancelReason,
    Environment,
    MarketKind,
    MarketState,
    OrderStatus,
    OrderType,
    RejectReason,
    SelfTradePrevention,
    Side,
    TimeInForce,
    TriggerSource,
)

SYMBOL = "BTC-USD"
PARTITION = 2
MIDNIGHT_US = 1_700_006_400_000_000
# By whether there is a limit price and a stop price.
_KINDS = {
    (False, False): OrderType.MARKET,
    (True, False): OrderType.LIMIT,
    (False, True): OrderType.STOP,
    (True, True): OrderType.STOP_LIMIT,
}
TRADERS = ("ann", "ben", "cem")


@dataclass(frozen=True)
class Outcome:
    """What a placement came to, as a trader reads it."""

    status: str
    reason: str
    filled: str
    remaining: str


class Desk:
    """Stamps commands, one microsecond apart, from midnight on; checks the whole machine after each."""

    def __init__(self, *, request_memory: int = 1_000, maker: str = "0", taker: str = "0") -> None:
        self.exchange = Exchange(PARTITION, Environment.DEMO, request_memory)
        self.now = MIDNIGHT_US
        self.run(c.DefineAsset, "USD", 8, 2)
        self.run(c.DefineAsset, "BTC", 8, 8)
        self.define(maker=maker, taker=taker)
        for trader in TRADERS:
            self.open(trader)

    def stamp(self, user: str = "", request_id: str = "", body: str = "") -> tuple[int, int, str, str, bytes]:
        self.now += 1
        return self.exchange.clock.sequence + 1, self.now, user, request_id, body.encode()

    def execute(self, command: c.Command) -> list[Event]:
        """The events; a refusal must have changed nothing, anything else must leave the machine sound."""
        before = state_hash(self.exchange)
        try:
            events = self.exchange.execute(command)
        except VenueError:
            assert state_hash(self.exchange) == before
            raise
        assert breaches(self.exchange) == []
        return events

    def run(self, make: type[c.Command], *fields: Any, user: str = "", request_id: str = "") -> list[Event]:
        return self.execute(make(*self.stamp(user, request_id, repr(fields)), *fields))

    def define(self, symbol: str = SYMBOL, *, maker: str = "0", taker: str = "0", **sizes: str) -> None:
        given = {"tick": "0.01", "lot": "0.001", "least": "0.001", "most": "100", "highest": "100000", **sizes}
        numbers = [parse(given[name]) for name in ("tick", "lot", "least", "most", "highest")]
        base, quote = symbol.split("-")
        rates = parse(maker, RATE_SCALE), parse(taker, RATE_SCALE)
        kind, state = int(MarketKind.SPOT), int(MarketState.OPEN)
        self.run(c.DefineMarket, symbol, kind, state, base, quote, *numbers, *rates)

    def fees(self, maker: str, taker: str, tier: str = "default") -> None:
        self.run(c.SetFees, SYMBOL, tier, parse(maker, RATE_SCALE), parse(taker, RATE_SCALE))

    def limit(
        self,
        account_id: str = "",
        *,
        tier: str = "",
        symbol: str = "",
        quantity: str = "",
        notional: str = "",
        orders: int = UNSAID,
        position: str = "",
        loss: str = "",
        band: str = "",
        symbols: str = "",
    ) -> None:
        """Set limits; empty: not said. The band is in percent."""
        most, worth, held, lost = (parse(text) if text else UNSAID for text in (quantity, notional, position, loss))
        width = parse(band, RATE_SCALE - 2) if band else UNSAID
        self.run(c.SetLimits, Limits(account_id, tier, symbol, most, worth, orders, held, lost, width, symbols))

    def open(self, trader: str, *, group: str = "", tier: str = "", usd: str = "1000000", btc: str = "1000") -> None:
        funds = tuple((asset, parse(amount)) for asset, amount in (("USD", usd), ("BTC", btc)) if amount != "0")
        account = (f"demo-{trader}", int(AccountType.DEMO), trader, tier, group, funds)
        self.run(c.OpenAccount, *account, user=trader)

    def order(
        self,
        trader: str,
        side: Side,
        quantity: str = "",
        price: str = "",
        *,
        kind: OrderType | None = None,
        life: TimeInForce | None = None,
        amount: str = "",
        post_only: bool = False,
        reduce_only: bool = False,
        prevention: SelfTradePrevention = SelfTradePrevention.UNSPECIFIED,
        label: str = "",
        tag: str = "",
        display: str = "",
        stop: str = "",
        source: TriggerSource = TriggerSource.UNSPECIFIED,
        trail: str = "",
        percent: str = "",
        profit: c.ExitTerms | None = None,
        loss: c.ExitTerms | None = None,
        expires: int = 0,
        request_id: str = "",
        symbol: str = SYMBOL,
        user: str | None = None,
    ) -> c.PlaceOrder:
        """The command of an order: without a price a market order, with a stop price a stop order, unless its kind is given."""
        kind = kind or _KINDS[bool(price), bool(stop)]
        time_in_force = life or (TimeInForce.IOC if kind == OrderType.MARKET else TimeInForce.GTC)
        return c.PlaceOrder(
            *self.stamp(trader if user is None else user, request_id, f"{side} {quantity} {price} {amount}"),
            f"demo-{trader}",
            symbol,
            int(side),
            int(kind),
            int(time_in_force),
            parse(price) if price else 0,
            parse(quantity) if quantity else 0,
            parse(amount) if amount else 0,
            post_only,
            reduce_only,
            int(prevention),
            label,
            expires,
            tag,
            parse(display) if display else 0,
            parse(stop) if stop else 0,
            int(source),
            parse(trail) if trail else 0,
            parse(percent, 2) if percent else 0,
            profit,
            loss,
        )

    def place(self, trader: str, side: Side, quantity: str = "", price: str = "", **terms: Any) -> Order:
        command = self.order(trader, side, quantity, price, **terms)
        events = self.execute(command)
        return next(e.order for e in events if isinstance(e, OrderChanged) and e.order.number == command.sequence)

    def print(self, price: str, quantity: str = "0.001") -> None:
        """Let eve and fay trade a lot at a price that nothing in the book is nearer to."""
        for trader in ("eve", "fay"):
            if f"demo-{trader}" not in self.exchange.ledger.accounts:
                self.open(trader)
        self.sell("eve", quantity, price)
        self.buy("fay", quantity, price)

    def references(self, *, mark: str = "", index: str = "") -> list[Event]:
        prices = [parse(price) if price else 0 for price in (mark, index)]
        return self.run(c.SetReferencePrices, SYMBOL, *prices)

    def buy(self, trader: str, quantity: str = "", price: str = "", **terms: Any) -> Order:
        return self.place(trader, Side.BUY, quantity, price, **terms)

    def sell(self, trader: str, quantity: str = "", price: str = "", **terms: Any) -> Order:
        return self.place(trader, Side.SELL, quantity, price, **terms)

    def cancel(self, order: Order, user: str | None = None) -> list[Event]:
        owner = order.account.user_id if user is None else user
        return self.run(c.CancelOrder, order.number, "", "", user=owner)

    def advance(self, to_us: int) -> list[Event]:
        self.now = max(self.now, to_us - 1)
        return self.run(c.Advance)

    def transfer(
        self,
        debit: str,
        credit: str,
        amount: str,
        *,
        asset: str = "USD",
        transfer_id: str = "t1",
        pending: bool = False,
        kind: int = 3,
    ) -> Transfer:
        self.run(c.MakeTransfer, debit, credit, asset, parse(amount), kind, pending, request_id=transfer_id)
        return self.exchange.transfers.pending.get(transfer_id) or Transfer(
            transfer_id, debit, credit, asset, 0, 0, kind, 0, 0
        )

    def balance(self, account_id: str, asset: str = "USD") -> tuple[str, str]:
        """(available, held)."""
        account = self.exchange.ledger.accounts[account_id if ":" in account_id else f"demo-{account_id}"]
        balance = account.balances.get(asset)
        scale = self.exchange.ledger.assets[asset].scale
        return ("0", "0") if balance is None else (units(balance.available, scale), units(balance.held, scale))

    def book(self, side: Side, symbol: str = SYMBOL) -> list[str]:
        """The levels of a side, best first, each as `quantity @ price`."""
        market = self.exchange.market(symbol)
        return [
            f"{units(level.lots * market.lot_size)} @ {units(level.ticks * market.tick_size)}"
            for level in self.exchange.floor.books[symbol].side(side).walk()
        ]


def units(number: int, scale: int = ATTO_SCALE) -> str:
    return format_units(number, scale)


def outcome(order: Order) -> Outcome:
    """What became of an order; `remaining` is what still may be filled."""
    live = order.status in {OrderStatus.PENDING_TRIGGER, OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED}
    reason = RejectReason(order.reject_reason).name if order.reject_reason else CancelReason(order.cancel_reason).name
    lot = order.market.lot_size
    rest = order.lots - order.filled_lots - order.removed_lots if live else 0
    return Outcome(
        OrderStatus(order.status).name,
        "" if reason == "UNSPECIFIED" else reason,
        units(order.filled_lots * lot),
        units(rest * lot),
    )


def trades(events: list[Event]) -> list[str]:
    """Trades as `quantity @ price`."""
    return [
        f"{units(e.lots * e.market.lot_size)} @ {units(e.ticks * e.market.tick_size)}"
        for e in events
        if isinstance(e, Traded)
    ]
