"""Why something is refused: one class a reason, grouped by what the caller should do.

The reason is the name a client sees (venue.error.v1.Reason without its prefix), the metadata are the facts beside it. `code` is
the name of the gRPC status; only the transport turns it into one.
"""

from typing import ClassVar, NamedTuple


class FieldViolation(NamedTuple):
    """What is wrong with one field of a request: its path, a sentence, and the rule's id."""

    field: str
    description: str
    reason: str


class VenueError(Exception):
    """A refusal. Subclasses fill in `code`, `reason` and the sentence."""

    code: ClassVar[str] = "INTERNAL"
    reason: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, **metadata: str) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = metadata


class Invalid(VenueError):
    """The request is wrong whatever the state: correct it."""

    code = "INVALID_ARGUMENT"

    def __init__(self, message: str, *violations: FieldViolation, **metadata: str) -> None:
        super().__init__(message, **metadata)
        self.violations = violations


class Unauthenticated(VenueError):
    """No credential, or not a valid one: log in."""

    code = "UNAUTHENTICATED"


class Forbidden(VenueError):
    """The credential does not allow it."""

    code = "PERMISSION_DENIED"


class NotFound(VenueError):
    """It does not exist, or is somebody else's."""

    code = "NOT_FOUND"


class AlreadyExists(VenueError):
    """It exists with other fields."""

    code = "ALREADY_EXISTS"


class Refused(VenueError):
    """The state does not allow it: change the state first."""

    code = "FAILED_PRECONDITION"


class Contended(VenueError):
    """Somebody else was faster: read again and repeat."""

    code = "ABORTED"


class OverLimit(VenueError):
    """Too much: come again after `retry_after_s` seconds."""

    code = "RESOURCE_EXHAUSTED"

    def __init__(self, message: str, retry_after_s: float, **metadata: str) -> None:
        super().__init__(message, **metadata)
        self.retry_after_s = retry_after_s
        # The wait is what a caller was told, not the least that has to be waited.
        self.is_told = False


class Unavailable(VenueError):
    """The outcome is unknown: repeat with the same request_id."""

    code = "UNAVAILABLE"


class DeadlineExceeded(VenueError):
    """The call's deadline passed."""

    code = "DEADLINE_EXCEEDED"


class Unimplemented(VenueError):
    """Declared, not served yet."""

    code = "UNIMPLEMENTED"


class Internal(VenueError):
    """A fault of the venue."""

    code = "INTERNAL"


class RequestIdReused(Invalid):
    """The request_id was used before with another body."""

    reason = "REQUEST_ID_REUSED"

    def __init__(self, request_id: str) -> None:
        violation = FieldViolation("request_id", "was used before with another body", self.reason)
        super().__init__("request_id was used before with another body", violation, request_id=request_id)


class RequestIdFromFuture(Invalid):
    """The request_id is a UUIDv7 of more than 60 s from now."""

    reason = "REQUEST_ID_FROM_FUTURE"

    def __init__(self, request_id: str) -> None:
        violation = FieldViolation("request_id", "its time lies more than 60 s in the future", self.reason)
        super().__init__("request_id lies in the future", violation, request_id=request_id)


class PositionInvalid(Invalid):
    """A position that this venue did not give."""

    reason = "POSITION_INVALID"

    def __init__(self, field: str) -> None:
        super().__init__(f"{field} is not a position", FieldViolation(field, "is not a position", self.reason))


class DefinitionInvalid(Invalid):
    """An asset or market that contradicts itself."""

    reason = "DEFINITION_INVALID"

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field} {description}", FieldViolation(field, description, self.reason))


class AccountNotFound(NotFound):
    """No such account, or somebody else's."""

    reason = "ACCOUNT_NOT_FOUND"

    def __init__(self, account_id: str) -> None:
        super().__init__("account not found", account_id=account_id)


class MarketNotFound(NotFound):
    """No such market in this environment."""

    reason = "MARKET_NOT_FOUND"

    def __init__(self, symbol: str) -> None:
        super().__init__("market not found", symbol=symbol)


class OrderNotFound(NotFound):
    """No such order, or somebody else's."""

    reason = "ORDER_NOT_FOUND"

    def __init__(self, order_id: str) -> None:
        super().__init__("order not found", order_id=order_id)


class RequestNotFound(NotFound):
    """Nothing is known of a request."""

    reason = "REQUEST_NOT_FOUND"

    def __init__(self, request_id: str) -> None:
        super().__init__("nothing is known of this request", request_id=request_id)


class TransferNotFound(NotFound):
    """No such transfer."""

    reason = "TRANSFER_NOT_FOUND"

    def __init__(self, transfer_id: str) -> None:
        super().__init__("transfer not found", transfer_id=transfer_id)


class OrderClosed(Refused):
    """The order is final already."""

    reason = "ORDER_CLOSED"

    def __init__(self, order_id: str) -> None:
        super().__init__("order is filled, cancelled, rejected or expired already", order_id=order_id)


class OrderHasChanged(Contended):
    """The order is not as the caller saw it any more."""

    reason = "ORDER_CHANGED"

    def __init__(self, order_id: str, expected: int, sequence: int) -> None:
        super().__init__(
            "order has changed meanwhile", order_id=order_id, expected_version=str(expected), sequence=str(sequence)
        )


class AmendBelowFilled(Refused):
    """Nothing would be left of the order; quantities in decimal text."""

    reason = "AMEND_BELOW_FILLED"

    def __init__(self, order_id: str, filled: str, removed: str) -> None:
        super().__init__(
            "the quantity must be more than what is filled already, and what self-trade prevention took off",
            order_id=order_id,
            filled=filled,
            removed=removed,
        )


class AmendRefused(Refused):
    """The order as it would be after the change would be rejected; `reject_reason` is the name of a RejectReason."""

    reason = "AMEND_REFUSED"

    def __init__(self, order_id: str, reject_reason: str) -> None:
        super().__init__("the changed order would be rejected", order_id=order_id, reject_reason=reject_reason)


class ReplaceMismatched(Refused):
    """What takes an order's place must be of its market and side."""

    reason = "REPLACE_MISMATCHED"

    def __init__(self, order_id: str) -> None:
        super().__init__("the new order is of another market or side", order_id=order_id)


class ListInvalid(Invalid):
    """Orders that cannot be linked to each other."""

    reason = "LIST_INVALID"

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field} {description}", FieldViolation(field, description, self.reason))


class MarketHalted(Refused):
    """The market takes nothing, cancels included."""

    reason = "MARKET_HALTED"

    def __init__(self, symbol: str) -> None:
        super().__init__("market is halted", symbol=symbol)


class MarketClosed(Refused):
    """The market has ended: nothing about it can be changed."""

    reason = "MARKET_CLOSED"

    def __init__(self, symbol: str) -> None:
        super().__init__("market has ended", symbol=symbol)


class TooManyLeases(Refused):
    """The account has all the switches of single tags that it may have."""

    reason = "TOO_MANY_LEASES"

    def __init__(self, account_id: str, most: int) -> None:
        super().__init__("the account has all the switches it may have", account_id=account_id, most=str(most))


class AccountNotActive(Refused):
    """The account is frozen."""

    reason = "ACCOUNT_NOT_ACTIVE"

    def __init__(self, account_id: str) -> None:
        super().__init__("account is not active", account_id=account_id)


class InsufficientFunds(Refused):
    """Available funds do not cover a transfer; amounts in decimal text."""

    reason = "INSUFFICIENT_FUNDS"

    def __init__(self, asset: str, available: str, needed: str) -> None:
        super().__init__("available funds do not cover this", asset=asset, available=available, needed=needed)


class TransferAlreadyPosted(Refused):
    """A pending transfer resolves once."""

    reason = "TRANSFER_ALREADY_POSTED"

    def __init__(self, transfer_id: str) -> None:
        super().__init__("transfer was posted already", transfer_id=transfer_id)


class TransferAlreadyVoided(Refused):
    """A pending transfer resolves once."""

    reason = "TRANSFER_ALREADY_VOIDED"

    def __init__(self, transfer_id: str) -> None:
        super().__init__("transfer was voided already", transfer_id=transfer_id)


class TransferExceedsPending(Refused):
    """More would be posted than is pending."""

    reason = "TRANSFER_EXCEEDS_PENDING"

    def __init__(self, transfer_id: str) -> None:
        super().__init__("more would be posted than is pending", transfer_id=transfer_id)


class TransferIdReused(AlreadyExists):
    """A transfer's id is unique for ever."""

    reason = "TRANSFER_ID_REUSED"

    def __init__(self, transfer_id: str) -> None:
        super().__init__("transfer id was used before with other fields", transfer_id=transfer_id)


class DefinitionExists(AlreadyExists):
    """The asset, market or account exists with other fields."""

    reason = "DEFINITION_EXISTS"

    def __init__(self, name: str) -> None:
        super().__init__("exists with other fields", name=name)


class Overloaded(OverLimit):
    """The venue sheds new orders."""

    reason = "OVERLOADED"

    def __init__(self, retry_after_s: float = 0.25) -> None:
        super().__init__("the venue is overloaded", retry_after_s)


class PartUnavailable(Unavailable):
    """The part that would answer is starting, stopping or away."""

    reason = "UNAVAILABLE"

    def __init__(self, part: str) -> None:
        super().__init__(f"{part} is not available", part=part)


class NotLeader(Unavailable):
    """The process does not lead the partition, or not any more: of what it was asked nothing was done, nor will be."""

    reason = "NOT_LEADER"

    def __init__(self, partition: int) -> None:
        super().__init__("another server leads this partition", partition=str(partition))


class DeadlinePassed(DeadlineExceeded):
    """The deadline passed before the command was accepted: it never will be."""

    reason = "DEADLINE_PASSED"

    def __init__(self) -> None:
        super().__init__("the deadline passed before the command was accepted")


class NotImplementedYet(Unimplemented):
    """Declared in the contract, not served yet."""

    reason = "NOT_IMPLEMENTED"

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not served yet", what=what)


class Fault(Internal):
    """A fault of the venue; says nothing more to the outside."""

    reason = "INTERNAL"

    def __init__(self) -> None:
        super().__init__("internal error")
