"""Where exceptions become statuses.

A VenueError becomes its google.rpc.Status with details; anything else is a fault of the venue and becomes INTERNAL, "internal
error": no text of it ever leaves.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol, TypeVar

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc.aio import AbortError
from psycopg import OperationalError

from servers.domain.errors import Fault, FieldViolation, Invalid, OverLimit, PartUnavailable, Refused, VenueError
from servers.transport.returning import duration, refused_s

DOMAIN = "venue"
DETAILS = "grpc-status-details-bin"
REQUEST_ID = "x-request-id"
# A client drops trailing metadata of more than 8 KiB together with the status in it.
VIOLATIONS_BYTES_MAX = 3072
TEXT_MAX = 256
CODES = {code.name: code for code in grpc.StatusCode}
NUMBERS: dict[str, int] = {code.name: code.value[0] for code in grpc.StatusCode}
NAMES = {number: name for name, number in NUMBERS.items()}


class Ended(Exception):
    """The call is over on the wire: nothing more can be read from it or written to it."""


class Observed(Protocol):
    """What the boundary needs of a call: its id for the client, and to be told the end."""

    @property
    def request_id(self) -> str: ...

    @property
    def told(self) -> tuple[tuple[str, str], ...]: ...

    def finish(self, code: str, error: VenueError | None, cause: BaseException | None) -> None: ...


Opened = TypeVar("Opened", bound=Observed)
Handler = Callable[[Any, Any], Awaitable[bytes | None]]


def boundary(begin: Callable[[Any], Opened], body: Callable[[Any, Opened], Awaitable[bytes | None]]) -> Handler:
    """Wraps a handler so that whatever it raises ends the call with the status it deserves."""

    async def handle(request: Any, context: Any) -> bytes | None:  # noqa: ANN401  gRPC hands over what it has
        call = begin(context)
        try:
            answer = await body(request, call)
        except VenueError as error:
            call.finish(error.code, error, None)
            await abort(context, error, call.request_id, call.told)
        except Ended:
            call.finish("CANCELLED", None, None)
            raise
        except AbortError:
            raise
        except asyncio.CancelledError as cancelled:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                call.finish("CANCELLED", None, None)
                raise
            # Something the servicer waited for was cancelled, not the call: silence would leave the client waiting.
            away = PartUnavailable("a part of the venue")
            call.finish(away.code, away, cancelled)
            await abort(context, away, call.request_id, call.told)
        except OperationalError as error:
            away = PartUnavailable("the database")
            call.finish(away.code, away, error)
            await abort(context, away, call.request_id, call.told)
        except Exception as error:
            fault = Fault()
            call.finish(fault.code, fault, error)
            await abort(context, fault, call.request_id, call.told)
        else:
            call.finish("OK", None, None)
            return answer
        return None

    return handle


async def abort(
    context: Any,  # noqa: ANN401  gRPC's own type is not public
    error: VenueError,
    request_id: str,
    told: tuple[tuple[str, str], ...] = (),
) -> None:
    """Ends the call with the error's status, and what else there is to tell as metadata. Raises AbortError."""
    status = to_status(error, request_id)
    await context.abort(
        CODES[error.code], status.message, ((DETAILS, status.SerializeToString()), (REQUEST_ID, request_id), *told)
    )


def to_status(error: VenueError, request_id: str = "") -> status_pb2.Status:
    """The error as the contract shows it, an OverLimit with another wait each time; `request_id` is for RequestInfo."""
    status = status_pb2.Status(code=NUMBERS[error.code], message=error.message[:TEXT_MAX])
    for detail in details(error):
        packed = AnyMessage()
        packed.Pack(detail, deterministic=True)
        status.details.append(packed)
    if request_id:
        status.details.add().Pack(error_details_pb2.RequestInfo(request_id=request_id))
    return status


def details(error: VenueError) -> Iterator[Message]:
    """The details of an error: ErrorInfo first, always."""
    metadata = {name: value[:TEXT_MAX] for name, value in error.metadata.items()}
    yield error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)
    # Invalid has them, and a refusal that one field of the request is to blame for.
    violations: tuple[FieldViolation, ...] = getattr(error, "violations", ())
    if violations:
        yield bad_request(violations)
    if isinstance(error, OverLimit):
        # Another server's word has its share of chance already.
        told_s = error.retry_after_s if error.is_told else refused_s(error.retry_after_s)
        yield error_details_pb2.RetryInfo(retry_delay=duration(told_s))
        quota = error_details_pb2.QuotaFailure.Violation(
            subject=metadata.get("bucket", DOMAIN), description=error.message[:TEXT_MAX]
        )
        yield error_details_pb2.QuotaFailure(violations=[quota])
    elif isinstance(error, Refused) or hasattr(error, "precondition"):
        precondition = error_details_pb2.PreconditionFailure.Violation(
            type=getattr(error, "precondition", error.reason),
            subject=metadata[min(metadata)] if metadata else "",
            description=error.message[:TEXT_MAX],
        )
        yield error_details_pb2.PreconditionFailure(violations=[precondition])


def bad_request(violations: tuple[FieldViolation, ...]) -> error_details_pb2.BadRequest:
    """As many of the violations, in order, as fit into trailing metadata; at least one."""
    bad = error_details_pb2.BadRequest()
    size = 0
    for violation in violations:
        entry = error_details_pb2.BadRequest.FieldViolation(
            field=violation.field[:TEXT_MAX],
            description=violation.description[:TEXT_MAX],
            reason=violation.reason.upper().replace(".", "_"),
        )
        size += entry.ByteSize()
        if size > VIOLATIONS_BYTES_MAX and bad.field_violations:
            break
        bad.field_violations.append(entry)
    return bad


def from_status(status: status_pb2.Status) -> VenueError:
    """The error that another server of the venue sent, as the class it was raised as (where that class is known here)."""
    found: dict[str, Message] = {}
    kinds: tuple[type[Message], ...] = (
        error_details_pb2.ErrorInfo,
        error_details_pb2.BadRequest,
        error_details_pb2.RetryInfo,
    )
    for packed in status.details:
        for kind in kinds:
            if packed.Is(kind.DESCRIPTOR):  # type: ignore[arg-type]
                detail = kind()
                packed.Unpack(detail)
                found[kind.DESCRIPTOR.name] = detail
    code = NAMES.get(status.code, "INTERNAL")
    info = found.get("ErrorInfo", error_details_pb2.ErrorInfo())
    assert isinstance(info, error_details_pb2.ErrorInfo)
    kind_of = classes().get(info.reason) or next((base for base in bases() if base.code == code), Fault)
    error = kind_of.__new__(kind_of)
    VenueError.__init__(error, status.message, **dict(info.metadata))
    if isinstance(error, Invalid):
        bad = found.get("BadRequest", error_details_pb2.BadRequest())
        assert isinstance(bad, error_details_pb2.BadRequest)
        error.violations = tuple(FieldViolation(v.field, v.description, v.reason) for v in bad.field_violations)
    if isinstance(error, OverLimit):
        retry = found.get("RetryInfo", error_details_pb2.RetryInfo())
        assert isinstance(retry, error_details_pb2.RetryInfo)
        error.retry_after_s, error.is_told = retry.retry_delay.ToNanoseconds() / 1e9, True
    return error


def from_call(failed: grpc.aio.AioRpcError) -> VenueError:
    """The error of a call to another server of the venue; without details the server is taken as away."""
    for name, value in failed.trailing_metadata() or ():
        if name == DETAILS:
            return from_status(status_pb2.Status.FromString(value if isinstance(value, bytes) else value.encode()))
    return PartUnavailable("a part of the venue")


def bases() -> list[type[VenueError]]:
    """The classes that stand for a code."""
    return VenueError.__subclasses__()


def classes() -> dict[str, type[VenueError]]:
    """Every class that gives a reason of its own and is imported, by reason."""
    found: dict[str, type[VenueError]] = {}
    waiting = bases()
    while waiting:
        kind = waiting.pop()
        waiting.extend(kind.__subclasses__())
        if "reason" in vars(kind):
            found[kind.reason] = kind
    return found
