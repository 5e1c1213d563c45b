"""A failed call as an exception: one class for what the caller should do, with the reason, its metadata and each wrong field.

The reasons are the names of `venue.error.v1.Reason` without their prefix.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import grpc
from google.rpc import error_details_pb2, status_pb2

DETAILS: Final = "grpc-status-details-bin"


class FieldViolation(NamedTuple):
    """A field of the request by its path, and what is wrong with it."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class Said:
    """What an error carries. `retry_after_s` is the server's word when to come again; None where it gave none."""

    code: str
    reason: str
    message: str
    metadata: Mapping[str, str]
    violations: Sequence[FieldViolation] = ()
    preconditions: Sequence[FieldViolation] = ()
    retry_after_s: float | None = None


class VenueError(Exception):
    """A call that failed. `request_id` is that of the mutation, where it was one."""

    def __init__(self, said: Said, request_id: str = "") -> None:
        super().__init__(said, request_id)
        self.said = said
        self.request_id = request_id

    def __str__(self) -> str:
        wrong = "".join(f"; {each.field}: {each.description}" for each in self.said.violations)
        return f"{self.said.message} ({self.said.code} / {self.said.reason}){wrong}"

    @property
    def reason(self) -> str:
        return self.said.reason

    @property
    def violations(self) -> Sequence[FieldViolation]:
        return self.said.violations


class Invalid(VenueError):
    """The request breaks the contract: `violations` names each field."""


class Unauthenticated(VenueError):
    """No credential, or one that is not valid."""


class PermissionDenied(VenueError):
    """The credential does not suffice."""


class NotFound(VenueError):
    """No such thing, or somebody else's."""


class AlreadyExists(VenueError):
    """There is one already."""


class Refused(VenueError):
    """Not as things stand: a closed order, a halted market, a missing second factor."""


class Contended(VenueError):
    """It changed meanwhile: read it again."""


class OverLimit(VenueError):
    """Too many calls: come again after `said.retry_after_s`."""


class OutcomeUnknown(VenueError):
    """Nobody knows whether it happened: repeat with the same request_id, or ask `Client.outcome`."""


class OrderRejected(Exception):
    """The venue took the order's request and rejected the order. `reason` is a RejectReason without its prefix."""

    def __init__(self, reason: str, order_id: str) -> None:
        super().__init__(f"order {order_id} was rejected: {reason}")
        self.reason = reason
        self.order_id = order_id


CLASSES: Final[Mapping[str, type[VenueError]]] = {
    "INVALID_ARGUMENT": Invalid,
    "OUT_OF_RANGE": Invalid,
    "UNIMPLEMENTED": Invalid,
    "UNAUTHENTICATED": Unauthenticated,
    "PERMISSION_DENIED": PermissionDenied,
    "NOT_FOUND": NotFound,
    "ALREADY_EXISTS": AlreadyExists,
    "FAILED_PRECONDITION": Refused,
    "ABORTED": Contended,
    "RESOURCE_EXHAUSTED": OverLimit,
}


def error_of(error: grpc.aio.AioRpcError, request_id: str = "") -> VenueError:
    """The exception for a failed call. A code that CLASSES does not name leaves the outcome open."""
    code = error.code().name
    status = status_pb2.Status(message=error.details() or "")
    for name, value in error.trailing_metadata() or ():
        if name == DETAILS and isinstance(value, bytes):
            status = status_pb2.Status.FromString(value)
    return CLASSES.get(code, OutcomeUnknown)(said_of(code, status), request_id)


def said_of(code: str, status: status_pb2.Status) -> Said:
    """The details that the contract names; others are left aside."""
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    retry, precondition = error_details_pb2.RetryInfo(), error_details_pb2.PreconditionFailure()
    after: float | None = None
    for packed in status.details:
        packed.Unpack(info)
        packed.Unpack(bad)
        packed.Unpack(precondition)
        if packed.Unpack(retry):
            after = retry.retry_delay.ToTimedelta().total_seconds()
    return Said(
        code,
        info.reason or code,
        status.message,
        dict(info.metadata),
        [FieldViolation(each.field, each.description) for each in bad.field_violations],
        [FieldViolation(each.subject, each.description) for each in precondition.violations],
        after,
    )
