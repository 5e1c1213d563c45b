"""What can be asked of the machine: stamped commands, built positionally by the codec and never changed.

Each begins with its stamp: the journal sequence, the time in microseconds since 1970, the user on whose behalf (empty: the
venue), the request id that idempotency counts under (empty: none) and the fingerprint of the body.
Prices, quantities and amounts are in atto (1e-18).
"""

from dataclasses import dataclass

from servers.domain.hours import Hours
from servers.domain.model import Limits


@dataclass(slots=True)
class Command:
    """The stamp that every command carries."""

    sequence: int
    time: int
    user_id: str
    request_id: str
    fingerprint: bytes


@dataclass(slots=True)
class ExitTerms:
    """An exit of a bracket; price 0: a market order once it is triggered."""

    stop_price: int
    price: int
    trigger_source: int
    client_order_id: str


@dataclass(slots=True)
class PlaceOrder(Command):
    """Places an order; price 0 for a market order, exactly one of quantity and quote_amount is not 0.

    trailing_percent counts hundredths of a percent.
    """

    account_id: str
    symbol: str
    side: int
    type: int
    time_in_force: int
    price: int
    quantity: int
    quote_amount: int
    post_only: bool
    reduce_only: bool
    self_trade_prevention: int
    client_order_id: str
    expire_time: int
    tag: str = ""
    display_quantity: int = 0
    stop_price: int = 0
    trigger_source: int = 0
    trailing_amount: int = 0
    trailing_percent: int = 0
    take_profit: ExitTerms | None = None
    stop_loss: ExitTerms | None = None
    session_id: str = ""

    def __init__(  # noqa: PLR0913, PLR0917  what the decorator would write, but compiled
        self, sequence: int, time: int, user_id: str, request_id: str, fingerprint: bytes, account_id: str, symbol: str,
        side: int, type: int, time_in_force: int, price: int, quantity: int, quote_amount: int, post_only: bool,  # noqa: A002
        reduce_only: bool, self_trade_prevention: int, client_order_id: str, expire_time: int, tag: str = "",
        display_quantity: int = 0, stop_price: int = 0, trigger_source: int = 0, trailing_amount: int = 0,
        trailing_percent: int = 0, take_profit: ExitTerms | None = None, stop_loss: ExitTerms | None = None,
        session_id: str = "",
    ) -> None:  # fmt: skip
        self.sequence = sequence
        self.time = time
        self.user_id = user_id
        self.request_id = request_id
        self.fingerprint = fingerprint
        self.account_id = account_id
        self.symbol = symbol
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
        self.expire_time = expire_time
        self.tag = tag
        self.display_quantity = display_quantity
        self.stop_price = stop_price
        self.trigger_source = trigger_source
        self.trailing_amount = trailing_amount
        self.trailing_percent = trailing_percent
        self.take_profit = take_profit
        self.stop_loss = stop_loss
        self.session_id = session_id


@dataclass(slots=True)
class PlaceOco(Command):
    """Places two orders of which one cancels the other; all have one stamp."""

    orders: tuple[PlaceOrder, PlaceOrder]


@dataclass(slots=True)
class CancelOrder(Command):
    """Cancels an open order: by number, or (number 0) by account and label."""

    number: int
    account_id: str
    client_order_id: str

    def __init__(
        self, sequence: int, time: int, user_id: str, request_id: str, fingerprint: bytes, number: int, account_id: str,
        client_order_id: str,
    ) -> None:  # fmt: skip
        self.sequence = sequence
        self.time = time
        self.user_id = user_id
        self.request_id = request_id
        self.fingerprint = fingerprint
        self.number = number
        self.account_id = account_id
        self.client_order_id = client_order_id


@dataclass(slots=True)
class CancelAllOrders(Command):
    """Cancels the open orders of an account; empty symbol or tag and side 0: all."""

    account_id: str
    symbol: str
    side: int
    tag: str = ""


@dataclass(slots=True)
class AmendOrder(Command):
    """Changes an open order, named as in CancelOrder; a price or quantity of 0: unchanged, expected_version 0: whatever it is."""

    number: int
    account_id: str
    client_order_id: str
    price: int
    quantity: int
    expected_version: int
    stop_price: int = 0


@dataclass(slots=True)
class ReplaceOrder(Command):
    """Cancels an open order and places another, whose quantity counts what the old one filled; both have one stamp."""

    number: int
    order: PlaceOrder


@dataclass(slots=True)
class CancelAllAfter(Command):
    """Arms the dead-man's switch of an account, or of one tag in it, to go off after so many microseconds; 0 disarms."""

    account_id: str
    timeout: int
    tag: str = ""


@dataclass(slots=True)
class OpenSession(Command):
    """Begins a trading session whose loss cancels its orders, or takes it up again."""

    session_id: str
    account_id: str


@dataclass(slots=True)
class EndSession(Command):
    """Ends a trading session, or says that it is lost; it must still be the one that was opened by the command `opened`."""

    session_id: str
    account_id: str
    opened: int
    lost: bool


@dataclass(slots=True)
class OpenAccount(Command):
    """Opens an account with paper funds (asset, atto) as given."""

    account_id: str
    type: int
    name: str
    tier: str
    self_trade_group: str
    opening: tuple[tuple[str, int], ...]


@dataclass(slots=True)
class RenameAccount(Command):
    """Gives an account another name."""

    account_id: str
    name: str


@dataclass(slots=True)
class CloseAccount(Command):
    """Closes an account that has nothing."""

    account_id: str


@dataclass(slots=True)
class MakeTransfer(Command):
    """Moves funds; pending: only holds them. Its request_id is the transfer's id."""

    debit_account_id: str
    credit_account_id: str
    asset: str
    amount: int
    kind: int
    pending: bool
    receiver_account_id: str = ""
    receives: bool = False


@dataclass(slots=True)
class Convert(Command):
    """Exchanges one asset for another with the house, before a time; its request_id is the conversion's id."""

    account_id: str
    from_asset: str
    from_amount: int
    to_asset: str
    to_amount: int
    expire_time: int
    acceptance: str


@dataclass(slots=True)
class ResolveTransfer(Command):
    """Posts (amount 0: all) or voids a pending transfer."""

    transfer_id: str
    void: bool
    amount: int


@dataclass(slots=True)
class DefineAsset(Command):
    """Defines an asset."""

    symbol: str
    scale: int
    display_scale: int


@dataclass(slots=True)
class DefineMarket(Command):
    """Defines a market and the default tier's fee rates (units of 1e-8)."""

    symbol: str
    kind: int
    state: int
    base_asset: str
    quote_asset: str
    tick_size: int
    lot_size: int
    min_quantity: int
    max_quantity: int
    max_price: int
    maker_rate: int
    taker_rate: int
    hours: tuple[Hours, ...] = ()


@dataclass(slots=True)
class SetMarketState(Command):
    """Sets what a market takes."""

    symbol: str
    state: int


@dataclass(slots=True)
class SetReferencePrices(Command):
    """Sets the mark and the index price of a market; 0: unchanged. Or takes back the index price that was set at a time."""

    symbol: str
    mark_price: int
    index_price: int
    stale_index_time: int = 0


@dataclass(slots=True)
class SetTradingHours(Command):
    """Sets when a market trades."""

    symbol: str
    hours: tuple[Hours, ...]


@dataclass(slots=True)
class SetFees(Command):
    """Sets the fee rates of a tier in a market (units of 1e-8)."""

    symbol: str
    tier: str
    maker_rate: int
    taker_rate: int


@dataclass(slots=True)
class SetLimits(Command):
    """Sets limits, in place of those for the same account, tier and market."""

    limits: Limits


@dataclass(slots=True)
class SetAccountStatus(Command):
    """Freezes or thaws an account."""

    account_id: str
    status: int


@dataclass(slots=True)
class SetAccountTerms(Command):
    """Puts an account into a tier and into a group whose orders do not trade with each other; "": as it is.

    `previous_`: refused where it is not that now; "": whatever it is.
    """

    account_id: str
    tier: str
    self_trade_group: str
    previous_tier: str = ""
    previous_self_trade_group: str = ""


@dataclass(slots=True)
class BeginBatch(Command):
    """Takes a request_id for a batch of commands, which have ids of their own."""


@dataclass(slots=True)
class Advance(Command):
    """Lets time pass to the stamp's time."""


@dataclass(slots=True)
class LeaderStarted(Command):
    """Marks that a leader began."""

    epoch: int


@dataclass(slots=True)
class ChangeRules(Command):
    """Goes over to another version of the rules."""

    rules_version: int
