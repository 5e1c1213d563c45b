"""What a command caused, in the order it happened.

Events that point to an order, balance, account, market or transfer point to the living thing: it has the state after the
command until the next command is executed, and readers take what they need before that.

Those that nearly every command causes say how they are made: what the decorator would say is not compiled with the rest.
"""

from dataclasses import dataclass

from servers.domain.model import (
    Account,
    Asset,
    Balance,
    Fees,
    Limits,
    Market,
    Order,
    Position,
    Request,
    TradingSession,
    Transfer,
)


@dataclass(slots=True, eq=False)
class OrderChanged:
    """An order was accepted, rejected, filled or ended; once a command and order."""

    order: Order

    def __init__(self, order: Order) -> None:
        self.order = order


@dataclass(slots=True, eq=False)
class Traded:
    """A maker and a taker traded. Fees in quote units, negative for a rebate."""

    number: int
    market: Market
    maker: Order
    taker: Order
    ticks: int
    lots: int
    notional: int
    maker_fee: int
    taker_fee: int

    def __init__(
        self,
        number: int,
        market: Market,
        maker: Order,
        taker: Order,
        ticks: int,
        lots: int,
        notional: int,
        maker_fee: int,
        taker_fee: int,
    ) -> None:
        self.number = number
        self.market = market
        self.maker = maker
        self.taker = taker
        self.ticks = ticks
        self.lots = lots
        self.notional = notional
        self.maker_fee = maker_fee
        self.taker_fee = taker_fee


@dataclass(slots=True, eq=False)
class Posted:
    """An amount (in the asset's units, above zero) went from debit to credit: both halves of a double entry."""

    debit: Account
    credit: Account
    asset: str
    amount: int
    kind: int
    reference: str

    def __init__(self, debit: Account, credit: Account, asset: str, amount: int, kind: int, reference: str) -> None:
        self.debit = debit
        self.credit = credit
        self.asset = asset
        self.amount = amount
        self.kind = kind
        self.reference = reference


@dataclass(slots=True, eq=False)
class BalanceChanged:
    """A balance was touched; once a command and balance."""

    balance: Balance

    def __init__(self, balance: Balance) -> None:
        self.balance = balance


@dataclass(slots=True, eq=False)
class PositionChanged:
    """A position was traded into; once a command and position."""

    position: Position

    def __init__(self, position: Position) -> None:
        self.position = position


@dataclass(slots=True, eq=False)
class AccountTouched:
    """A customer's account has a new event; `previous` is the sequence of the one before."""

    account: Account
    previous: int

    def __init__(self, account: Account, previous: int) -> None:
        self.account = account
        self.previous = previous


@dataclass(slots=True, eq=False)
class LevelChanged:
    """What now rests at a price; lots 0: the level is gone. May come several times a command: the last holds."""

    market: Market
    side: int
    ticks: int
    lots: int
    count: int

    def __init__(self, market: Market, side: int, ticks: int, lots: int, count: int) -> None:
        self.market = market
        self.side = side
        self.ticks = ticks
        self.lots = lots
        self.count = count


@dataclass(slots=True, eq=False)
class AccountChanged:
    """An account was opened or its status set."""

    account: Account


@dataclass(slots=True, eq=False)
class MarketChanged:
    """A market was defined or its state set."""

    market: Market


@dataclass(slots=True, eq=False)
class AssetDefined:
    """An asset was defined."""

    asset: Asset


@dataclass(slots=True, eq=False)
class FeesChanged:
    """The fee rates of a tier in a market were set."""

    fees: Fees


@dataclass(slots=True, eq=False)
class LimitsChanged:
    """Limits were set."""

    limits: Limits


@dataclass(slots=True, eq=False)
class TransferChanged:
    """A transfer was made or resolved."""

    transfer: Transfer


@dataclass(slots=True, eq=False)
class RequestRemembered:
    """A request_id was used for the first time."""

    request: Request

    def __init__(self, request: Request) -> None:
        self.request = request


@dataclass(slots=True, eq=False)
class SessionChanged:
    """A trading session was opened, lost or ended."""

    session: TradingSession


Event = (
    OrderChanged
    | Traded
    | Posted
    | BalanceChanged
    | PositionChanged
    | AccountTouched
    | LevelChanged
    | AccountChanged
    | MarketChanged
    | AssetDefined
    | FeesChanged
    | LimitsChanged
    | TransferChanged
    | RequestRemembered
    | SessionChanged
)
