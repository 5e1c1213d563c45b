"""What the venue refuses, as the exceptions of ccxt: by the reason where ccxt has a class for it, else by the status."""

from typing import Final

import ccxt

REASONS: Final[dict[str, type[ccxt.BaseError]]] = {
    "ACCOUNT_NOT_ACTIVE": ccxt.AccountSuspended,
    "ACCOUNT_NOT_FOUND": ccxt.BadRequest,
    "MARKET_NOT_FOUND": ccxt.BadSymbol,
    "MARKET_HALTED": ccxt.OnMaintenance,
    "MARKET_CLOSED": ccxt.MarketClosed,
    "ORDER_NOT_FOUND": ccxt.OrderNotFound,
    "ORDER_CLOSED": ccxt.OrderNotFound,
    "REQUEST_ID_REUSED": ccxt.DuplicateOrderId,
    "INSUFFICIENT_FUNDS": ccxt.InsufficientFunds,
    "OVERLOADED": ccxt.ExchangeNotAvailable,
    "TIMED_OUT": ccxt.RequestTimeout,
    "DEADLINE_PASSED": ccxt.RequestTimeout,
    "NOT_PERMITTED": ccxt.PermissionDenied,
}
# By google.rpc.Code.
CODES: Final[dict[int, type[ccxt.BaseError]]] = {
    1: ccxt.RequestTimeout,
    2: ccxt.ExchangeNotAvailable,
    3: ccxt.BadRequest,
    4: ccxt.RequestTimeout,
    5: ccxt.BadRequest,
    7: ccxt.PermissionDenied,
    8: ccxt.RateLimitExceeded,
    9: ccxt.OperationRejected,
    10: ccxt.OperationRejected,
    13: ccxt.ExchangeNotAvailable,
    14: ccxt.ExchangeNotAvailable,
    16: ccxt.AuthenticationError,
}
# Why an order was rejected; any other reason is an InvalidOrder.
REJECTS: Final[dict[str, type[ccxt.BaseError]]] = {
    "INSUFFICIENT_FUNDS": ccxt.InsufficientFunds,
    "DUPLICATE_CLIENT_ORDER_ID": ccxt.DuplicateOrderId,
    "POST_ONLY_WOULD_TRADE": ccxt.OrderImmediatelyFillable,
    "NO_LIQUIDITY": ccxt.OrderNotFillable,
    "NOT_FILLABLE": ccxt.OrderNotFillable,
    "ACCOUNT_NOT_ACTIVE": ccxt.AccountSuspended,
    "MARKET_HALTED": ccxt.OnMaintenance,
    "MARKET_CLOSED": ccxt.MarketClosed,
    "MARKET_CANCEL_ONLY": ccxt.MarketClosed,
    "MARKET_PRE_OPEN": ccxt.MarketClosed,
}


def refused(status: dict[str, object]) -> ccxt.BaseError:
    """The exception for a google.rpc.Status as JSON, with its reason and each wrong field in the text."""
    details = status.get("details")
    listed = details if isinstance(details, list) else []
    reason = next((each["reason"] for each in listed if "reason" in each), "")
    message = str(status.get("message", ""))
    wrong = [f"{each['field']}: {each['description']}" for one in listed for each in one.get("fieldViolations", [])]
    # ccxt reads numbers of JSON as text.
    code = int(str(status.get("code", 2)))
    kind = REASONS.get(reason) or CODES.get(code, ccxt.ExchangeError)
    return kind("; ".join([f"venue {reason or code}: {message}", *(each for each in wrong if each not in message)]))


def rejected(reason: str) -> ccxt.BaseError:
    """The exception for an order that was rejected."""
    name = reason.removeprefix("REJECT_REASON_")
    return REJECTS.get(name, ccxt.InvalidOrder)(f"venue rejected the order: {name}")
