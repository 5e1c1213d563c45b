"""The closed vocabulary of numbers: the same as on the wire, which a contract test holds equal."""

from enum import IntEnum


class Environment(IntEnum):
    """Which world a partition belongs to."""

    UNSPECIFIED = 0
    LIVE = 1
    DEMO = 2


class Side(IntEnum):
    """The side of an order."""

    UNSPECIFIED = 0
    BUY = 1
    SELL = 2


class OrderType(IntEnum):
    """How an order is priced."""

    UNSPECIFIED = 0
    MARKET = 1
    LIMIT = 2
    STOP = 3
    STOP_LIMIT = 4
    TAKE_PROFIT = 5
    TAKE_PROFIT_LIMIT = 6
    TRAILING_STOP = 7


class TimeInForce(IntEnum):
    """How long an order lives."""

    UNSPECIFIED = 0
    GTC = 1
    IOC = 2
    FOK = 3
    GTD = 4
    DAY = 5


class OrderStatus(IntEnum):
    """Where an order is in its life; from FILLED on it is final."""

    UNSPECIFIED = 0
    PENDING_TRIGGER = 1
    OPEN = 2
    PARTIALLY_FILLED = 3
    FILLED = 4
    CANCELLED = 5
    REJECTED = 6
    EXPIRED = 7


class RejectReason(IntEnum):
    """Why an order was not accepted; checks run in the order of these numbers."""

    UNSPECIFIED = 0
    ACCOUNT_NOT_ACTIVE = 1
    MARKET_HALTED = 2
    MARKET_CLOSED = 3
    MARKET_CANCEL_ONLY = 4
    MARKET_POST_ONLY = 5
    MARKET_PRE_OPEN = 6
    SYMBOL_NOT_ALLOWED = 7
    PRICE_OFF_TICK = 8
    PRICE_OUT_OF_RANGE = 9
    PRICE_OUT_OF_BAND = 10
    QUANTITY_OFF_LOT = 11
    QUANTITY_TOO_SMALL = 12
    QUANTITY_TOO_LARGE = 13
    NOTIONAL_TOO_LARGE = 14
    EXPIRE_TIME_PAST = 15
    DUPLICATE_CLIENT_ORDER_ID = 16
    TOO_MANY_OPEN_ORDERS = 17
    TRIGGER_PRICE_UNKNOWN = 18
    NOT_REDUCING = 19
    POSITION_LIMIT = 20
    DAILY_LOSS_LIMIT = 21
    POST_ONLY_WOULD_TRADE = 22
    NO_LIQUIDITY = 23
    NOT_FILLABLE = 24
    INSUFFICIENT_FUNDS = 25


class CancelReason(IntEnum):
    """Why an accepted order was cancelled."""

    UNSPECIFIED = 0
    REQUESTED = 1
    UNFILLED = 2
    SELF_TRADE = 3
    ADMINISTRATIVE = 4
    REPLACED = 5
    LEASE_EXPIRED = 6
    LINKED = 7
    DISCONNECTED = 8
    NOT_REDUCING = 9
    MARKET_CLOSED = 10
    TRIGGER_REJECTED = 11


class TriggerSource(IntEnum):
    """Which price triggers a waiting order."""

    UNSPECIFIED = 0
    LAST = 1
    MARK = 2
    INDEX = 3


class ListRole(IntEnum):
    """What an order is in a list of linked orders."""

    UNSPECIFIED = 0
    OCO = 1
    ENTRY = 2
    TAKE_PROFIT = 3
    STOP_LOSS = 4


class SelfTradePrevention(IntEnum):
    """What happens when an order would trade with its own group."""

    UNSPECIFIED = 0
    CANCEL_NEWEST = 1
    CANCEL_OLDEST = 2
    CANCEL_BOTH = 3
    DECREMENT_AND_CANCEL = 4


class MarketKind(IntEnum):
    """What a market trades in."""

    UNSPECIFIED = 0
    SPOT = 1
    PERPETUAL = 2


class MarketState(IntEnum):
    """What a market takes at present."""

    UNSPECIFIED = 0
    PRE_OPEN = 1
    OPEN = 2
    POST_ONLY = 3
    CANCEL_ONLY = 4
    HALTED = 5
    CLOSED = 6
    OUTSIDE_HOURS = 7


class AccountType(IntEnum):
    """What an account is for."""

    UNSPECIFIED = 0
    TRADING = 1
    DEMO = 2


class AccountStatus(IntEnum):
    """Whether an account may trade."""

    UNSPECIFIED = 0
    ACTIVE = 1
    FROZEN = 2
    CLOSED = 3


class EntryKind(IntEnum):
    """What a posting came from."""

    UNSPECIFIED = 0
    DEPOSIT = 1
    WITHDRAWAL = 2
    TRANSFER = 3
    TRADE = 4
    FEE = 5
    PAPER = 6
    ADJUSTMENT = 7
    BONUS = 8
    CONVERSION = 9


class TransferState(IntEnum):
    """Where a transfer is; a pending one resolves once."""

    UNSPECIFIED = 0
    PENDING = 1
    POSTED = 2
    VOIDED = 3
