"""A server of gRPC's core on the loop: what comes on the wire, as tasks of handlers.

The protocol is gRPC's own (HTTP/2, TLS, flow control, deadlines, keepalive): the same core that grpc.aio and grpc.server stand
on, through the part of it that grpc.server is written with. What is here is what lies between that and a handler; it does what
grpc.aio's server does, with a fraction of its turns between threads (decision 36). A handler and its context are used as there.
"""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, NoReturn, TypeAlias

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # its stub is not the one that is looked at
from grpc.aio import EOF, AbortError

from servers.transport.errors import Ended
from servers.transport.events import Events

Route: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]
FLAGS: Final = 0
_CANCELLED: Final = grpc.StatusCode.CANCELLED.value[0]
_INTERNAL: Final = grpc.StatusCode.INTERNAL.value[0]
# Calls that may come in one turn of the loop; further ones wait in gRPC for the next.
AWAITED: Final = 16
# What handlers have to clean up after their calls have ended, when the server ends.
HANDLERS_END_S: Final = 2.0
# Where a call has no deadline gRPC names the end of all times.
NEVER_S: Final = 1e12


class CoreCall:
    """One call, as its handler sees it: the names of grpc.aio.ServicerContext that the venue uses."""

    __slots__ = (
        "_begun", "_call", "_deadline_s", "_events", "_headers_sent", "_metadata", "_over", "_route", "_server", "_statused",
        "_task", "_trailing",
    )  # fmt: skip

    def __init__(self, server: "CoreServer", event: Any, route: Route) -> None:  # noqa: ANN401  gRPC's own type
        self._server = server
        self._events = server.events
        self._route: Any = route
        self._call = event.call
        self._metadata: Metadata = event.invocation_metadata
        self._deadline_s: float = event.call_details.deadline
        self._trailing: Metadata = ()
        self._headers_sent = False
        # Whether it has its status, and whether it is over on the wire.
        self._statused = self._over = False
        # Of the handler, until it has ended, and whether it was begun.
        self._begun = False
        self._task: asyncio.Task[None] | None = None

    # What a handler asks

    def invocation_metadata(self) -> Metadata:
        """What came with the call: texts, and bytes under names that end with -bin."""
        return self._metadata

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline, at least 0; None without one."""
        return None if self._deadline_s > NEVER_S else max(0.0, self._deadline_s - time.time())

    def peer(self) -> str:
        """The other end of the connection, as `ipv4:127.0.0.1:5000`."""
        return str(self._call.peer().decode())

    def set_trailing_metadata(self, trailing: Metadata) -> None:
        """What is told with the status."""
        self._trailing = trailing

    async def send_initial_metadata(self, metadata: Metadata) -> None:
        """Raises Ended."""
        self._headers_sent = True
        await self._done(cygrpc.SendInitialMetadataOperation(metadata, FLAGS))

    async def read(self) -> Any:  # noqa: ANN401  a message, or its bytes where the route reads none
        """The next message, or EOF. Raises Ended."""
        event = await self._done(cygrpc.ReceiveMessageOperation(FLAGS))
        raw = event.batch_operations[0].message()
        return EOF if raw is None else self._read(raw)

    async def write(self, message: Any) -> None:  # noqa: ANN401
        """Sends a message; waits as long as the caller's window is full. Raises Ended."""
        serialize = self._route.response_serializer
        sent = cygrpc.SendMessageOperation(message if serialize is None else serialize(message), FLAGS)
        if self._headers_sent:
            await self._done(sent)
        else:
            self._headers_sent = True
            await self._done(cygrpc.SendInitialMetadataOperation(None, FLAGS), sent)

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Metadata = ()) -> NoReturn:
        """Ends the call with this status. Raises AbortError, always."""
        self._trailing = trailing_metadata
        self._status(code.value[0], details)
        raise AbortError(f"{code.name}: {details}")

    # What the server does with it

    def begin(self) -> None:
        """The call has come: read its message, or serve it where messages are read as they come."""
        self._call.start_server_batch((cygrpc.ReceiveCloseOnServerOperation(FLAGS),), self._closed)
        if self._route.request_streaming:
            self._serve(_Requests(self))
        else:
            self._call.start_server_batch((cygrpc.ReceiveMessageOperation(FLAGS),), self._first)

    def cancel(self) -> None:
        """The caller is gone, or the server ends; once, as the handler may wait for what it has to clean up."""
        if self._task is not None and not self._task.cancelling():
            self._task.cancel()
            if not self._begun:
                # What was never begun has no end of its own either.
                self._end(_CANCELLED, "")

    def give_up(self) -> None:
        """Core takes nothing more, of whatever call."""
        self._over = True

    @property
    def task(self) -> asyncio.Task[None] | None:
        """Of the handler, once there is a message."""
        return self._task

    def _first(self, event: Any) -> None:  # noqa: ANN401  gRPC's own type
        raw = event.batch_operations[0].message()
        if self._over:
            return
        if raw is None:
            self._end(grpc.StatusCode.UNIMPLEMENTED.value[0], "the call has no message")
        else:
            self._serve(raw)

    def _closed(self, event: Any) -> None:  # noqa: ANN401  gRPC's own type
        self._over = True
        if self._task is None:
            self._server.leave(self)
        elif event.batch_operations[0].cancelled():
            self.cancel()

    def _serve(self, request: Any) -> None:  # noqa: ANN401
        self._task = self._server.loop.create_task(self._run(request))

    def _read(self, raw: bytes) -> Any:  # noqa: ANN401
        deserialize = self._route.request_deserializer
        return raw if deserialize is None else deserialize(raw)

    async def _run(self, request: Any) -> None:  # noqa: ANN401
        """Whatever the handler does: afterwards the call has a status, or its caller is gone."""
        self._begun = True
        code, details = _INTERNAL, "internal error"
        try:
            if self._route.response_streaming:
                await self._stream(request if self._route.request_streaming else self._read(request))
                self._status(0, "")
            else:
                answer = await self._route.unary_unary(self._read(request), self)
                self._answer(answer)
        except AbortError:
            pass
        except (Ended, asyncio.CancelledError):
            # Nobody reads it where the caller is gone.
            code, details = _CANCELLED, ""
        finally:
            # The boundary lets nothing else out (errors.py); what a library's handler raises the loop logs.
            self._end(code, details)

    async def _stream(self, request: Any) -> None:  # noqa: ANN401
        handler = self._route.stream_stream if self._route.request_streaming else self._route.unary_stream
        if not inspect.isasyncgenfunction(handler):
            await handler(request, self)
            return
        async for message in handler(request, self):
            await self.write(message)

    def _answer(self, message: Any) -> None:  # noqa: ANN401
        if self._statused or self._over:
            return
        serialize = self._route.response_serializer
        answer = (
            cygrpc.SendMessageOperation(message if serialize is None else serialize(message), FLAGS),
            cygrpc.SendStatusFromServerOperation(self._trailing, 0, "", FLAGS),
        )
        self._statused = True
        headers = () if self._headers_sent else (cygrpc.SendInitialMetadataOperation(None, FLAGS),)
        # Nobody waits for it to be sent.
        self._call.start_server_batch(headers + answer, _sent)

    def _status(self, code: int, details: str) -> None:
        """The last thing that a call is told, once. Core takes nothing of a call that is over, and ends the process for it."""
        if self._statused or self._over:
            return
        self._statused = True
        status = cygrpc.SendStatusFromServerOperation(self._trailing, code, details, FLAGS)
        headers = () if self._headers_sent else (cygrpc.SendInitialMetadataOperation(None, FLAGS),)
        self._call.start_server_batch((*headers, status), _sent)

    def _end(self, code: int, details: str) -> None:
        self._status(code, details)
        self._task = None
        if self._over:
            self._server.leave(self)

    async def _done(self, *operations: Any) -> Any:  # noqa: ANN401  gRPC's own types
        """The event of these, together. Raises Ended."""
        if self._statused or self._over:
            raise Ended
        future = self._server.loop.create_future()

        def tell(event: Any) -> None:  # noqa: ANN401
            if not future.done():
                future.set_result(event)

        if self._call.start_server_batch(operations, tell) != cygrpc.CallError.ok:
            raise Ended
        self._events.soon()
        event = await future
        if not event.success:
            raise Ended
        return event


class _Requests(AsyncIterator[Any]):
    """The messages of a call, for a handler that iterates over them."""

    def __init__(self, call: CoreCall) -> None:
        self._call = call

    async def __anext__(self) -> Any:  # noqa: ANN401
        message = await self._call.read()
        if message is EOF:
            raise StopAsyncIteration
        return message


class CoreServer:
    """A server with these routes by path."""

    def __init__(self, routes: Mapping[str, Route], unknown: Route, options: Sequence[tuple[str, Any]]) -> None:
        self.events = Events(self._is_busy)
        self._routes = routes
        self._unknown = unknown
        self._server: Any = cygrpc.Server(tuple(options), xds=False)
        self._server.register_completion_queue(self.events.queue)
        self._ports: set[int] = set()
        self._calls: set[CoreCall] = set()
        self._ended = asyncio.Event()
        self._started = False
        self._ending: asyncio.Task[None] | None = None
        self.loop: asyncio.AbstractEventLoop

    @property
    def calls(self) -> int:
        """How many are under way."""
        return len(self._calls)

    def add_insecure_port(self, address: str) -> int:
        """The port. Raises RuntimeError where it is taken."""
        return self._listening(address, self._server.add_http2_port(address.encode()))

    def add_secure_port(self, address: str, credentials: grpc.ServerCredentials) -> int:
        """The port. Raises RuntimeError where it is taken."""
        return self._listening(address, self._server.add_http2_port(address.encode(), _inside(credentials)))

    async def start(self) -> None:
        """Serves in the loop that runs."""
        self.loop = asyncio.get_running_loop()
        self._server.start()
        self._started = True
        for _ in range(AWAITED):
            self._await_call()
        self.events.watch(self._ports)

    async def stop(self, grace_s: float) -> None:
        """No new calls; those under way get `grace_s` seconds, then they are cancelled. It goes on where nobody waits for it."""
        if self._started:
            if self._ending is None:
                self._ending = self.loop.create_task(self._end(grace_s))
            await asyncio.shield(self._ending)

    async def _end(self, grace_s: float) -> None:
        quiet = self.loop.create_future()
        self._server.shutdown(self.events.queue, quiet.set_result)
        self.events.soon()
        done, _ = await asyncio.wait((quiet,), timeout=grace_s)
        if not done:
            self._server.cancel_all_calls()
            self.events.soon()
        for call in list(self._calls):
            call.cancel()
        await quiet
        handlers = [call.task for call in self._calls if call.task is not None]
        if handlers:
            await asyncio.wait(handlers, timeout=HANDLERS_END_S)
        for call in list(self._calls):
            call.give_up()
        await self.events.close()
        self._server.destroy()
        self._ended.set()

    async def wait_for_termination(self) -> None:
        if self._started:
            await self._ended.wait()

    def leave(self, call: CoreCall) -> None:
        """The call is over on the wire, and its handler is done."""
        self._calls.discard(call)

    def _is_busy(self) -> bool:
        return bool(self._calls)

    def _listening(self, address: str, port: int) -> int:
        if port == 0:
            raise RuntimeError(f"the port of {address} is taken")
        self._ports.add(port)
        return port

    def _await_call(self) -> None:
        self._server.request_call(self.events.queue, self.events.queue, self._arrived)

    def _arrived(self, event: Any) -> None:  # noqa: ANN401  gRPC's own type
        if self._ending is None:
            self._await_call()
        if not event.success:
            return
        self.events.came()
        path = event.call_details.method.decode(errors="replace")
        call = CoreCall(self, event, self._routes.get(path, self._unknown))
        self._calls.add(call)
        call.begin()


def _inside(credentials: grpc.ServerCredentials) -> Any:  # noqa: ANN401
    """What gRPC's core knows them by; every server of gRPC asks so."""
    return credentials._credentials  # type: ignore[attr-defined]  # noqa: SLF001


def _sent(_event: object) -> None:
    """Nobody waits for it."""
