"""The client of the venue: typed calls, safe retries, resumable streams, exact books.

Invariant: no price, quantity or amount is ever a float. The generated messages carry decimal text; `venue_sdk.values` makes
them Decimal and back.
"""

from venue_sdk.client import Client
from venue_sdk.credentials import ApiKey, Credential, Password
from venue_sdk.errors import (
    AlreadyExists,
    Contended,
    FieldViolation,
    Invalid,
    NotFound,
    OrderRejected,
    OutcomeUnknown,
    OverLimit,
    PermissionDenied,
    Refused,
    Unauthenticated,
    VenueError,
)
from venue_sdk.market import Book, Change, MarketState, StreamBrokenError
from venue_sdk.orders import OpenOrders
from venue_sdk.request_ids import request_id
from venue_sdk.retries import Patience
from venue_sdk.signing import SigningKey
from venue_sdk.values import Balance, Candle, Fill, Level, Market, Order, Placed, text, value

__all__ = [
    "AlreadyExists",
    "ApiKey",
    "Balance",
    "Book",
    "Candle",
    "Change",
    "Client",
    "Contended",
    "Credential",
    "FieldViolation",
    "Fill",
    "Invalid",
    "Level",
    "Market",
    "MarketState",
    "NotFound",
    "OpenOrders",
    "Order",
    "OrderRejected",
    "OutcomeUnknown",
    "OverLimit",
    "Password",
    "Patience",
    "PermissionDenied",
    "Placed",
    "Refused",
    "SigningKey",
    "StreamBrokenError",
    "Unauthenticated",
    "VenueError",
    "request_id",
    "text",
    "value",
]
