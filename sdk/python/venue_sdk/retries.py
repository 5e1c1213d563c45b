"""Repeats calls for as long as that is safe: an interceptor under every generated stub.

What decides is the contract, as its descriptors have it: a method that REST gets with GET changes nothing; a request with a
`request_id` is answered once, however often it comes, so an empty one is given a new id here. Anything else is repeated only
where the status says that nothing was created.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import grpc
from google.api import annotations_pb2
from google.protobuf import descriptor_pool
from google.protobuf.message import Message

from venue_sdk.credentials import Credential, Metadata
from venue_sdk.errors import OutcomeUnknown, OverLimit, Unauthenticated, VenueError, error_of
from venue_sdk.request_ids import request_id

# Neither GET nor with a request_id, and the same however often they are called.
REPEATABLE: Final = frozenset(
    {"/venue.order.v1.OrderService/PreviewOrder", "/venue.order.v1.OrderService/CancelAllAfter"}
)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call is repeated, how long one attempt may take, and the waits between: they double from `first_s`."""

    total_s: float = 30.0
    attempt_s: float = 10.0
    first_s: float = 0.05
    longest_s: float = 2.0


@cache
def changes_nothing(method: str) -> bool:
    """Whether it may be repeated by its nature; `method` as gRPC writes it, /package.Service/Method."""
    service, _, name = method.removeprefix("/").partition("/")
    described = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
    options: Any = described.GetOptions()
    return bool(options.Extensions[annotations_pb2.http].get) or method in REPEATABLE


def is_named(request: Message) -> bool:
    """Whether the request has an id by which it is answered once; it has one afterwards."""
    if "request_id" not in request.DESCRIPTOR.fields_by_name or "Outcome" in request.DESCRIPTOR.name:
        return False
    if not getattr(request, "request_id"):  # noqa: B009  messages share no type with this field
        setattr(request, "request_id", request_id())  # noqa: B010
    return True


def wait_s(error: VenueError, attempt: int, patience: Patience) -> float:
    """The server's word, or twice as long each time, each with some chance so that clients do not come together."""
    if error.said.retry_after_s is not None:
        return error.said.retry_after_s * random.uniform(1.0, 1.1)  # noqa: S311
    longest: float = min(patience.longest_s, patience.first_s * 2**attempt)
    return random.uniform(longest / 2, longest)  # noqa: S311


class Retrying(grpc.aio.UnaryUnaryClientInterceptor):
    """Credential, request_id, repeats and typed errors of unary calls."""

    def __init__(self, plain: grpc.aio.Channel, credential: Credential | None, patience: Patience) -> None:
        self._plain = plain
        self._credential = credential
        self._patience = patience

    async def intercept_unary_unary(
        self,
        continuation: Callable[[Any, Any], Awaitable[Any]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,  # noqa: ANN401  any message of the contract
    ) -> Any:  # noqa: ANN401
        """Raises VenueError."""
        patience = self._patience
        # gRPC hands over bytes, whatever its types say.
        method: Any = client_call_details.method
        path = method.decode() if isinstance(method, bytes) else method
        safe = changes_nothing(path) or is_named(request)
        given = tuple(client_call_details.metadata or ())
        end = time.monotonic() + (client_call_details.timeout or patience.total_s)
        attempt, renewed = 0, False
        while True:
            mine: Metadata = () if self._credential is None else await self._credential.metadata(self._plain)
            signed: Metadata = ()
            if self._credential is not None:
                signed = self._credential.signed(path, request.SerializeToString())
            left = max(0.001, min(patience.attempt_s, end - time.monotonic()))
            details = grpc.aio.ClientCallDetails(
                client_call_details.method,
                left,
                grpc.aio.Metadata(*given, *mine, *signed),
                client_call_details.credentials,
                client_call_details.wait_for_ready,
            )
            try:
                return await (await continuation(details, request))
            except grpc.aio.AioRpcError as raw:
                error = error_of(raw, getattr(request, "request_id", ""))
                if isinstance(error, Unauthenticated) and self._credential is not None and not renewed:
                    renewed = True
                    if await self._credential.renew(self._plain, mine):
                        continue
                if not isinstance(error, OverLimit) and not (safe and isinstance(error, OutcomeUnknown)):
                    raise error from raw
                pause = wait_s(error, attempt, patience)
                if time.monotonic() + pause >= end:
                    raise error from raw
            await asyncio.sleep(pause)
            attempt += 1
