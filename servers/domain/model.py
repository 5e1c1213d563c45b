"""What the machine holds in memory: assets, markets, accounts, balances, orders, transfers.

Every field is declared stored (in the tables, under its own name or the one given), derived (made again from stored ones when
the tables are loaded) or constant; the tables are the snapshot, so a field that is none of them would be lost by a restart.
References are stored as the id of what they point to.

What is made for nearly every command says how: what the decorator would write is not compiled with the rest.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from servers.domain.limits import Bounds
    from servers.domain.losses import DayProfits

from servers.domain.hours import Schedule

STORED: Final = {"kept": "stored"}
DERIVED: Final = {"kept": "derived"}
CONSTANT: Final = {"kept": "constant"}
BY_ACCOUNT: Final = {"kept": "stored", "as": "account_id"}
BY_SYMBOL: Final = {"kept": "stored", "as": "symbol"}
# Who looks later than this at which prices moved counts anew.
MOVES_MAX: Final = 1_024


@dataclass(slots=True, eq=False)
class Asset:
    """Something that is owned; amounts count units of 10**-scale."""

    symbol: str = field(metadata=STORED)
    scale: int = field(metadata=STORED)
    display_scale: int = field(metadata=STORED)


class Moves:
    """Markets with one quote asset whose price moved, oldest first, and how many moves there ever were."""

    __slots__ = ("count", "recent")

    def __init__(self) -> None:
        self.count = 0
        self.recent: deque[Market] = deque(maxlen=MOVES_MAX)

    def add(self, market: "Market") -> None:
        """Note a move."""
        self.count += 1
        self.recent.append(market)


@dataclass(slots=True, eq=False)
class Market:
    """Where base is exchanged for quote. Prices count ticks, quantities lots; tick and lot are in atto."""

    symbol: str = field(metadata=STORED)
    kind: int = field(metadata=STORED)
    state: int = field(metadata=STORED)
    base_asset: str = field(metadata=STORED)
    quote_asset: str = field(metadata=STORED)
    tick_size: int = field(metadata=STORED)
    lot_size: int = field(metadata=STORED)
    min_lots: int = field(metadata=STORED)
    max_lots: int = field(metadata=STORED)
    max_ticks: int = field(metadata=STORED)
    last_ticks: int = field(metadata=STORED)
    # The sequence of the last command that changed the book.
    book_sequence: int = field(metadata=STORED)
    # The day (UTC, counted from 1970) of its last price, and the price that positions were worth when that day began.
    day: int = field(metadata=STORED)
    day_ticks: int = field(metadata=STORED)
    # Base units in a lot; quote units that one lot costs for each tick of its price.
    lot_units: int = field(metadata=DERIVED)
    tick_value: int = field(metadata=DERIVED)
    base_scale: int = field(metadata=DERIVED)
    quote_scale: int = field(metadata=DERIVED)
    # Prices from outside, in atto; 0: not known.
    mark_price: int = field(metadata=STORED, default=0)
    index_price: int = field(metadata=STORED, default=0)
    # When the index price was set last, the same one again included (microseconds since 1970).
    index_time: int = field(metadata=STORED, default=0)
    # Its trading hours (see hours.py), empty: none; and when they change its state next (microseconds since 1970), 0: never.
    hours: str = field(metadata=STORED, default="")
    next_state_time: int = field(metadata=STORED, default=0)
    # While it is PRE_OPEN: at what price how many lots its auction would trade now; 0: nothing.
    auction_ticks: int = field(metadata=STORED, default=0)
    auction_lots: int = field(metadata=STORED, default=0)
    schedule: "Schedule | None" = field(metadata=DERIVED, default=None)
    # Both given to it when it joins the others: the moves are shared by all with its quote asset.
    moves: Moves = field(metadata=DERIVED, init=False, repr=False)
    # The asset that an order holds, by its side (0 is none): looked up several times for each order, and an index costs no call.
    pays: tuple[str, ...] = field(metadata=DERIVED, init=False, repr=False)


@dataclass(slots=True, eq=False)
class Fees:
    """The fee rates of a tier in a market, in units of 1e-8 of the notional; a maker's may be negative."""

    symbol: str = field(metadata=STORED)
    tier: str = field(metadata=STORED)
    maker_rate: int = field(metadata=STORED)
    taker_rate: int = field(metadata=STORED)


@dataclass(slots=True, eq=False)
class Account:
    """A customer's account, or one of the venue's own (no user)."""

    account_id: str = field(metadata=STORED)
    user_id: str = field(metadata=STORED)
    type: int = field(metadata=STORED)
    name: str = field(metadata=STORED)
    tier: str = field(metadata=STORED)
    self_trade_group: str = field(metadata=STORED)
    status: int = field(metadata=STORED)
    create_time: int = field(metadata=STORED)
    # The sequence of the last command that changed an order or a balance of it.
    last_event_sequence: int = field(metadata=STORED)
    # When the dead-man's switch cancels its open orders, in microseconds since 1970; 0: not armed.
    lease_time: int = field(metadata=STORED, default=0)
    # The same of single tags: a JSON object of tag and time, by tag.
    tag_leases: str = field(metadata=STORED, default="{}")
    balances: "dict[str, Balance]" = field(metadata=DERIVED, default_factory=dict)
    # Open orders by number, oldest first, and by label.
    orders: "dict[int, Order]" = field(metadata=DERIVED, default_factory=dict)
    labels: "dict[str, Order]" = field(metadata=DERIVED, default_factory=dict)
    # By symbol; of markets that it trades or rests in.
    positions: "dict[str, Position]" = field(metadata=DERIVED, default_factory=dict)
    # What its positions made today, by quote asset, once asked for.
    day_profits: "dict[str, DayProfits]" = field(metadata=DERIVED, default_factory=dict)


@dataclass(slots=True, eq=False)
class Balance:
    """What an account has of one asset, in the asset's units: free, and held for orders and pending transfers."""

    account: Account = field(metadata=BY_ACCOUNT)
    asset: str = field(metadata=STORED)
    available: int = field(metadata=STORED)
    held: int = field(metadata=STORED)
    # The command that touched it last; spares a second event for the same command.
    touched: int = field(metadata=CONSTANT, default=0)


@dataclass(slots=True, eq=False)
class Position:
    """What orders of an account bought less what they sold in a market; below zero: sold more. Amounts in quote units.

    `cost` is what the lots cost (for lots below zero: less what they brought); realized - cost is all that came in less all that
    went out, so nothing is ever rounded away.
    """

    account: Account = field(metadata=BY_ACCOUNT)
    market: Market = field(metadata=BY_SYMBOL)
    lots: int = field(metadata=STORED, default=0)
    cost: int = field(metadata=STORED, default=0)
    # What closed lots brought over their cost, less all fees.
    realized: int = field(metadata=STORED, default=0)
    # The day (UTC, counted from 1970) of its last trade; realized and unrealized profit when that day began.
    day: int = field(metadata=STORED, default=0)
    day_start: int = field(metadata=STORED, default=0)
    # The sequence of its last trade; 0: none yet, and no row.
    update_sequence: int = field(metadata=STORED, default=0)
    # Lots that rest in the book, by side; resting reduce-only orders by number; the limits that hold here, once asked for.
    resting: list[int] = field(metadata=DERIVED, default_factory=lambda: [0, 0, 0])
    reducing: "dict[int, Order]" = field(metadata=DERIVED, default_factory=dict)
    bounds: "Bounds | None" = field(metadata=DERIVED, default=None)


@dataclass(slots=True, eq=False)
class Limits:
    """Limits of an account, a tier, a market or (all empty) everybody. -1: not said here, 0: none. Amounts in atto."""

    account_id: str = field(metadata=STORED)
    tier: str = field(metadata=STORED)
    symbol: str = field(metadata=STORED)
    quantity_max: int = field(metadata=STORED)
    notional_max: int = field(metadata=STORED)
    open_orders_max: int = field(metadata=STORED)
    position_max: int = field(metadata=STORED)
    daily_loss_max: int = field(metadata=STORED)
    # In units of 1e-8 of the reference price.
    price_band: int = field(metadata=STORED)
    # Symbols with spaces between them; empty: not said here, "*": all.
    symbols_allowed: str = field(metadata=STORED)


@dataclass(slots=True, eq=False)
class Order:
    """An order. `price`, `quantity` and `quote_amount` are as given or amended, in atto; the rest: ticks, lots, quote units.

    lots == filled_lots + removed_lots + what remains (open) or was given up (final).
    """

    number: int = field(metadata=STORED)
    account: Account = field(metadata=BY_ACCOUNT)
    market: Market = field(metadata=BY_SYMBOL)
    side: int = field(metadata=STORED)
    type: int = field(metadata=STORED)
    time_in_force: int = field(metadata=STORED)
    price: int = field(metadata=STORED)
    quantity: int = field(metadata=STORED)
    quote_amount: int = field(metadata=STORED)
    post_only: bool = field(metadata=STORED)
    reduce_only: bool = field(metadata=STORED)
    self_trade_prevention: int = field(metadata=STORED)
    client_order_id: str = field(metadata=STORED)
    request_id: str = field(metadata=STORED)
    # Microseconds since 1970; 0: never.
    expire_time: int = field(metadata=STORED)
    create_time: int = field(metadata=STORED)
    ticks: int = field(metadata=STORED, default=0)
    lots: int = field(metadata=STORED, default=0)
    filled_lots: int = field(metadata=STORED, default=0)
    # Taken off by self-trade prevention without a trade.
    removed_lots: int = field(metadata=STORED, default=0)
    notional: int = field(metadata=STORED, default=0)
    # The rates pinned when it was accepted; the fee of all fills, in quote units times 1e8; what of it was charged.
    maker_rate: int = field(metadata=STORED, default=0)
    taker_rate: int = field(metadata=STORED, default=0)
    fee_accrued: int = field(metadata=STORED, default=0)
    fee_charged: int = field(metadata=STORED, default=0)
    # What of the account's balance it holds: quote units for a buy, base units for a sell.
    held: int = field(metadata=STORED, default=0)
    status: int = field(metadata=STORED, default=0)
    reject_reason: int = field(metadata=STORED, default=0)
    cancel_reason: int = field(metadata=STORED, default=0)
    # Its place in the queue of its level, or among those that wait: see Clockwork.place.
    priority: int = field(metadata=STORED, default=0)
    update_time: int = field(metadata=STORED, default=0)
    update_sequence: int = field(metadata=STORED, default=0)
    # The order that it replaced, and the first of that line; 0: none, it is the first itself.
    parent_number: int = field(metadata=STORED, default=0)
    root_number: int = field(metadata=STORED, default=0)
    # What it waits for, or waited: the price at which it is triggered (atto, 0: never waited), whose it is, when it was.
    stop_price: int = field(metadata=STORED, default=0)
    trigger_source: int = field(metadata=STORED, default=0)
    trigger_time: int = field(metadata=STORED, default=0)
    # A trailing stop's distance (atto, or hundredths of a percent), and the best price since it was placed (atto).
    trailing_amount: int = field(metadata=STORED, default=0)
    trailing_percent: int = field(metadata=STORED, default=0)
    best_price: int = field(metadata=STORED, default=0)
    # The list it belongs to, named by the number of its first order (0: none), and what it is there (a ListRole).
    list_number: int = field(metadata=STORED, default=0)
    list_role: int = field(metadata=STORED, default=0)
    # The exits that its fills bring to life; see linking.py.
    exits: str = field(metadata=STORED, default="")
    # The client's tag: any number of orders share it.
    tag: str = field(metadata=STORED, default="")
    # An iceberg: how much it shows at a time, in atto (0: all of it), and how many lots it hides while it rests.
    display_quantity: int = field(metadata=STORED, default=0)
    hidden_lots: int = field(metadata=STORED, default=0)
    # The trading session whose loss cancels it; empty: none.
    session_id: str = field(metadata=STORED, default="")
    # An exit: the sequence of the command that brought it to life; 0: it is none, or the tables have it.
    born: int = field(metadata=CONSTANT, default=0)
    before: "Order | None" = field(metadata=DERIVED, default=None, repr=False)
    after: "Order | None" = field(metadata=DERIVED, default=None, repr=False)

    def __init__(  # noqa: PLR0913, PLR0915, PLR0917  what the decorator would write, but compiled
        self, number: int, account: Account, market: Market, side: int, type: int, time_in_force: int, price: int,  # noqa: A002
        quantity: int, quote_amount: int, post_only: bool, reduce_only: bool, self_trade_prevention: int, client_order_id: str,
        request_id: str, expire_time: int, create_time: int, ticks: int = 0, lots: int = 0, filled_lots: int = 0,
        removed_lots: int = 0, notional: int = 0, maker_rate: int = 0, taker_rate: int = 0, fee_accrued: int = 0,
        fee_charged: int = 0, held: int = 0, status: int = 0, reject_reason: int = 0, cancel_reason: int = 0,
        priority: int = 0, update_time: int = 0, update_sequence: int = 0, parent_number: int = 0, root_number: int = 0,
        stop_price: int = 0, trigger_source: int = 0, trigger_time: int = 0, trailing_amount: int = 0,
        trailing_percent: int = 0, best_price: int = 0, list_number: int = 0, list_role: int = 0, exits: str = "",
        tag: str = "", display_quantity: int = 0, hidden_lots: int = 0, session_id: str = "", born: int = 0,
        before: "Order | None" = None, after: "Order | None" = None,
    ) -> None:  # fmt: skip
        self.number = number
        self.account = account
        self.market = market
        self.side = side
        self.type = type
        self.time_in_force = time_in_force
        self.price = price
        self.quantity = quantity
        self.quote_amount = quote_amount
        self.post_only = post_only
        self.reduce_only = reduce_only
        self.self_trade_prevention = self_trade_prevention
        self.client_order_id = client_order_id
        self.request_id = request_id
        self.expire_time = expire_time
        self.create_time = create_time
        self.ticks = ticks
        self.lots = lots
        self.filled_lots = filled_lots
        self.removed_lots = removed_lots
        self.notional = notional
        self.maker_rate, self.taker_rate = maker_rate, taker_rate
        self.fee_accrued, self.fee_charged = fee_accrued, fee_charged
        self.held = held
        self.status = status
        self.reject_reason = reject_reason
        self.cancel_reason = cancel_reason
        self.priority = priority
        self.update_time = update_time
        self.update_sequence = update_sequence
        self.parent_number = parent_number
        self.root_number = root_number
        self.stop_price = stop_price
        self.trigger_source = trigger_source
        self.trigger_time = trigger_time
        self.trailing_amount = trailing_amount
        self.trailing_percent = trailing_percent
        self.best_price = best_price
        self.list_number = list_number
        self.list_role = list_role
        self.exits = exits
        self.tag = tag
        self.display_quantity = display_quantity
        self.hidden_lots = hidden_lots
        self.session_id = session_id
        self.born = born
        self.before, self.after = before, after


@dataclass(slots=True, eq=False)
class TradingSession:
    """A trading session whose loss cancels its orders; the tables have those that have not ended."""

    account: Account = field(metadata=BY_ACCOUNT)
    session_id: str = field(metadata=STORED)
    # The sequence of the command that opened it last.
    open_sequence: int = field(metadata=STORED, default=0)
    # When its orders are cancelled, in microseconds since 1970; 0: it is connected.
    cancel_time: int = field(metadata=STORED, default=0)
    ended: bool = field(metadata=CONSTANT, default=False)


@dataclass(slots=True, eq=False)
class Transfer:
    """Funds held for a move in two phases, or its outcome. Amounts in the asset's units."""

    transfer_id: str = field(metadata=STORED)
    debit_account_id: str = field(metadata=STORED)
    credit_account_id: str = field(metadata=STORED)
    asset: str = field(metadata=STORED)
    amount: int = field(metadata=STORED)
    posted: int = field(metadata=STORED)
    kind: int = field(metadata=STORED)
    state: int = field(metadata=STORED)
    # The sequence of the command that made or resolved it.
    sequence: int = field(metadata=STORED)
    # The account in another partition that a transfer to a transit account is for; empty: it ends here.
    receiver_account_id: str = field(metadata=STORED, default="")


@dataclass(slots=True, eq=False)
class Request:
    """A request_id that was used: by what body, and which command answered it. Time in microseconds since 1970."""

    scope: str = field(metadata=STORED)
    request_id: str = field(metadata=STORED)
    fingerprint: bytes = field(metadata=STORED)
    sequence: int = field(metadata=STORED)
    time: int = field(metadata=STORED)

    def __init__(self, scope: str, request_id: str, fingerprint: bytes, sequence: int, time: int) -> None:
        self.scope = scope
        self.request_id = request_id
        self.fingerprint = fingerprint
        self.sequence = sequence
        self.time = time


@dataclass(slots=True, eq=False)
class Clockwork:
    """The machine's own scalars: one row a partition."""

    sequence: int = field(metadata=STORED, default=0)
    time: int = field(metadata=STORED, default=0)
    epoch: int = field(metadata=STORED, default=0)
    rules_version: int = field(metadata=STORED, default=1)
    trade_number: int = field(metadata=STORED, default=0)
    digest: int = field(metadata=STORED, default=0)
    # The time of the newest request_id that was forgotten; 0: none was.
    forgotten_time: int = field(metadata=STORED, default=0)
    # The last place that was given in a queue: the sequence of its command, or one more than the place before.
    place: int = field(metadata=STORED, default=0)
