"""What stands before every servicer: one wrapper a method, made when the server is built.

The order of checks is documented and the same for every method: identity, access, size and form of the message, constraints,
limits. So one bad request has one right answer.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from hmac import compare_digest
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from grpc.aio import EOF

from servers.domain.errors import DeadlinePassed, Forbidden, NotImplementedYet, VenueError
from servers.transport import validation
from servers.transport.access import Rule, rule_of
from servers.transport.api_keys import ApiKeys
from servers.transport.binding import bind, names_account
from servers.transport.call import Call
from servers.transport.core import CoreCall, Route
from servers.transport.errors import Handler, boundary
from servers.transport.identity import Identity, TokenVerifier
from servers.transport.limits import Limits
from servers.transport.refusals import KycRequired, MessageTooLarge, NotAuthenticated, NotPermitted, TimedOut
from servers.transport.telemetry import MethodMetrics, Metrics
from venue.option.v1 import access_pb2

BYTES_MAX = 256 * 1024
BYTES_MAX_INTERNAL = 4 * 1024 * 1024
# Of an authorization header, in any case (RFC 9110, 11.1).
BEARER = "bearer "
# So long before a caller's deadline it is told that it was not kept.
MARGIN_S = 0.025
# What a limit must never stand between: the way out, and the inside of the venue.
NEVER_SHED = {access_pb2.BUCKET_CANCEL, access_pb2.BUCKET_INTERNAL}
# Buckets in which a batch counts as its items, and the fields that those are in.
COUNTED = {access_pb2.BUCKET_ORDER, access_pb2.BUCKET_CANCEL}
ITEMS = ("orders", "amendments", "cancels")


class Guard:
    """The checks of one process, and its open streams."""

    def __init__(
        self,
        verifier: TokenVerifier,
        limits: Limits,
        metrics: Metrics,
        *,
        bytes_max: int = BYTES_MAX,
        internal_key: str = "",
        gateway_key: str = "",
        api_keys: ApiKeys | None = None,
        kyc_levels: Callable[[str], Awaitable[int]] | None = None,
    ) -> None:
        # What callers of internal methods must know; empty: nothing (a server that only tests can reach).
        self.internal_key = internal_key.encode()
        # What the gateway sends along; empty: everybody is believed about the caller's address (behind nothing but a test).
        self.gateway_key = gateway_key.encode()
        self.api_keys = api_keys
        # The level of KYC that a user has; a server without it serves no method that demands one.
        self.kyc_levels = kyc_levels
        # Told of a known caller who was refused a privileged method.
        self.on_refused: Callable[[Call, VenueError], None] | None = None
        self.verifier = verifier
        self.limits = limits
        self.metrics = metrics
        self.bytes_max = bytes_max
        self._streams: set[Call] = set()
        self._closing = ""
        self._ended_together = 0
        # One for all streams, each of which keeps it.
        self._crowd = self.crowd
        self._quiet = asyncio.Event()
        self._quiet.set()
        verifier.on_revoked.append(self._end_sessions)

    def bind(self, method: MethodDescriptor, servicer: object, *, internal: bool = False) -> Route:
        """The handler of a method. Raises ValueError where the contract does not allow to serve it here."""
        rule = rule_of(method, internal=internal)
        if rule.kyc_level and self.kyc_levels is None:
            raise ValueError(f"{method.full_name} demands a level of KYC, which this server does not know")
        bound = Bound(self, method, servicer, rule)
        return bound.handler()

    def end_streams(self, reason: str) -> None:
        """Lets every open stream say goodbye and end; a stream opened from now on does so at once."""
        self._closing = reason
        self._ended_together = max(len(self._streams), self._ended_together)
        for call in self._streams:
            _end(call, reason)

    def crowd(self) -> int:
        """How many streams are open, or were when all of them were told to end."""
        return max(len(self._streams), self._ended_together)

    async def wait_quiet(self) -> None:
        """Until no stream is open."""
        await self._quiet.wait()

    def enter_stream(self, call: Call) -> None:
        call.end = asyncio.get_running_loop().create_future()
        call.crowd = self._crowd
        if self._closing:
            _end(call, self._closing)
        self._streams.add(call)
        self._quiet.clear()

    def leave_stream(self, call: Call) -> None:
        self._streams.discard(call)
        if not self._streams:
            self._quiet.set()

    def _end_sessions(self) -> None:
        for call in self._streams:
            if self.verifier.is_revoked(call.identity):
                _end(call, "SESSION_REVOKED")


class Bound:
    """One method of one servicer behind the guard. Whatever can be looked up beforehand is."""

    def __init__(self, guard: Guard, method: MethodDescriptor, servicer: object, rule: Rule) -> None:
        self._guard = guard
        self._method = method
        self._rule = rule
        self._path = f"/{method.containing_service.full_name}/{method.name}"
        self._serve: Any = getattr(servicer, method.name, None)
        self._kind = message_factory.GetMessageClass(method.input_type)
        self._metrics: MethodMetrics = guard.metrics.of(self._path)
        self._bytes_max = BYTES_MAX_INTERNAL if rule.scope == access_pb2.SCOPE_INTERNAL else guard.bytes_max
        self._bucket = guard.limits.bucket(rule.bucket)
        # Servers of the venue have no credential of this kind, and are not counted.
        self._anonymous = None if rule.scope == access_pb2.SCOPE_INTERNAL else guard.limits.anonymous
        # A batch counts as its items.
        self._items = next((name for name in ITEMS if _repeats(method, name)), None) if rule.bucket in COUNTED else None
        self._takes_bound = rule.is_open or rule.bound_keys or names_account(method.input_type)
        self._validates = rule.scope != access_pb2.SCOPE_INTERNAL and not getattr(
            self._serve, validation.SELF_VALIDATING, False
        )

    def handler(self) -> Route:
        if self._method.client_streaming:
            return grpc.stream_stream_rpc_method_handler(boundary(self._begin, self._session))
        if self._method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(boundary(self._begin, self._stream))
        return grpc.unary_unary_rpc_method_handler(boundary(self._begin, self._unary))

    def _begin(self, context: CoreCall) -> Call:
        return Call(context, self._path, self._metrics, self._guard.gateway_key)

    async def _admit(self, call: Call, raw: bytes) -> None:
        """Identity and access; `raw` is what the caller may have signed, empty for a stream of his.

        Raises NotAuthenticated, NotPermitted, KycRequired, DeadlinePassed, NotImplementedYet, RateLimited.
        """
        credential = call.credential
        if call.api_key:
            call.identity = await self._by_key(call, raw)
        elif credential:
            if credential[: len(BEARER)].lower() != BEARER:
                raise NotAuthenticated("no bearer token, or more than one credential")
            token = credential[len(BEARER) :]
            verifier = self._guard.verifier
            call.identity = verifier.remembered(token) or await verifier.verify(token)
        elif self._anonymous is not None and call.by_gateway:
            await self._anonymous.count(call.peer)
        try:
            self._rule.check(call.identity)
        except Forbidden as error:
            if self._rule.is_privileged and self._guard.on_refused is not None:
                self._guard.on_refused(call, error)
            raise
        if self._rule.kyc_level:
            await self._check_level(call.user_id)
        if call.identity.account_id and not self._takes_bound:
            raise NotPermitted(account_id=call.identity.account_id)
        key = self._guard.internal_key
        if key and self._rule.scope == access_pb2.SCOPE_INTERNAL and not compare_digest(call.internal.encode(), key):
            raise NotAuthenticated("not a server of this venue")
        # All tokens of a user count together, each of his keys by itself.
        call.caller = call.identity.api_key_id or call.identity.user_id or call.peer
        if self._serve is None:
            raise NotImplementedYet(self._method.name)
        if call.deadline_monotonic is not None and call.timeout_s == 0.0:
            raise DeadlinePassed

    async def _check_level(self, user_id: str) -> None:
        """Raises KycRequired, PartUnavailable."""
        levels = self._guard.kyc_levels
        assert levels is not None, "looked at when the server was built"
        if await levels(user_id) < self._rule.kyc_level:
            raise KycRequired(self._rule.kyc_level)

    async def _by_key(self, call: Call, raw: bytes) -> Identity:
        """Raises NotAuthenticated, SignatureStale, SignatureReplayed, RateLimited, PartUnavailable."""
        keys = self._guard.api_keys
        if call.credential or keys is None:
            # Two credentials are none; and a server without keys to ask knows nobody by one.
            raise NotAuthenticated("an API key beside a token, or where none is taken")
        if "." not in call.api_key:
            return await keys.verify_signed(call.api_key, call.peer, call.signed(raw))
        return keys.remembered(call.api_key, call.peer) or await keys.verify(call.api_key, call.peer)

    def _read(self, raw: bytes, account_id: str = "") -> Message:
        """Raises MessageTooLarge, MalformedMessage, InvalidField; AccountNotFound where a key is bound to another account."""
        if len(raw) > self._bytes_max:
            raise MessageTooLarge(self._bytes_max)
        request = validation.parse(self._kind, raw)
        if self._validates:
            validation.check(request)
        if account_id:
            bind(request, account_id)
        return request

    async def _unary(self, raw: bytes, call: Call) -> bytes:
        await self._admit(call, raw)
        request = self._read(raw, call.identity.account_id)
        limits = self._guard.limits
        if self._bucket is not None:
            count = 1 if self._items is None else len(getattr(request, self._items))
            call.bucket = self._bucket
            await self._bucket.count(call.caller, count)
        if self._rule.bucket not in NEVER_SHED:
            limits.check_in_flight()
        limits.in_flight += 1
        try:
            serve = self._serve if call.deadline_monotonic is None else self._in_time
            answer = await serve(request, call)
        finally:
            limits.in_flight -= 1
        if (headers := call.tell_limits()) is not None:
            await headers
        return _serialized(answer)

    async def _in_time(self, request: Message, call: Call) -> Any:  # noqa: ANN401  a message or its bytes
        """The answer. Raises TimedOut a moment before the deadline: gRPC itself would end the call without a word of why."""
        left = call.timeout_s or 0.0
        limit = asyncio.timeout(left - min(MARGIN_S, left / 10))
        try:
            async with limit:
                return await self._serve(request, call)
        except TimeoutError:
            if limit.expired():
                raise TimedOut from None
            raise

    async def _stream(self, raw: bytes, call: Call) -> None:
        await self._admit(call, raw)
        # Handed on, not held: a stream lasts, and its servicer knows for how long it needs what was asked.
        request = [self._read(raw, call.identity.account_id)]
        await self._send(call, lambda: self._serve(request.pop(), call))

    async def _session(self, _requests: object, call: Call) -> None:
        await self._admit(call, b"")
        async with aclosing(self._requests(call)) as requests:
            await self._send(call, lambda: self._serve(requests, call))

    async def _requests(self, call: Call) -> AsyncGenerator[Message, None]:
        while True:
            raw = await call.read()
            if raw is EOF:
                return
            yield self._read(raw, call.identity.account_id)

    async def _send(self, call: Call, open_frames: Callable[[], AsyncGenerator[Message | bytes, None]]) -> None:
        """Writes the servicer's frames; closes the servicer's generator whatever happens."""
        if self._bucket is not None:
            call.bucket = self._bucket
            await self._bucket.count(call.caller)
        limits = self._guard.limits
        # A server of the venue speaks for many callers, whom it counts itself.
        counted = self._rule.scope != access_pb2.SCOPE_INTERNAL
        if counted:
            limits.open_stream(call.caller)
        self._guard.enter_stream(call)
        self._metrics.streams_open += 1
        try:
            async with aclosing(open_frames()) as frames:
                async for frame in frames:
                    await call.write(_serialized(frame))
        finally:
            self._metrics.streams_open -= 1
            self._guard.leave_stream(call)
            if counted:
                limits.close_stream(call.caller)


def refuse_unknown(metrics: Metrics) -> Route:
    """The handler of methods that no service of the server has."""
    counters = metrics.of("unknown")

    async def refuse(_requests: object, _call: Call) -> None:
        raise NotImplementedYet("this method")

    handle: Handler = boundary(lambda context: Call(context, "unknown", counters), refuse)
    return grpc.stream_stream_rpc_method_handler(handle)


def _repeats(method: MethodDescriptor, name: str) -> bool:
    items = method.input_type.fields_by_name.get(name)
    return items is not None and items.is_repeated


def _serialized(answer: Message | bytes) -> bytes:
    return answer if type(answer) is bytes else answer.SerializeToString()  # type: ignore[union-attr]


def _end(call: Call, reason: str) -> None:
    assert call.end is not None
    if not call.end.done():
        call.end.set_result(reason)
