"""A server of gRPC's core in a process of its own, with handlers of every kind; it prints its port, and ends on SIGTERM."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import uvloop
from grpc.aio import EOF

from servers.transport import events
from servers.transport.core import CoreCall, CoreServer
from servers.transport.papers import open_channel

counts = {"cancelled": 0}


class Handlers:
    """Messages are bytes as they are."""

    def __init__(self) -> None:
        self.server: CoreServer
        self._held = AsyncExitStack()

    async def echo(self, raw: bytes, _call: CoreCall) -> bytes:
        return raw

    async def late(self, raw: bytes, _call: CoreCall) -> bytes:
        await asyncio.sleep(float(raw))
        return raw

    async def stay(self, _raw: bytes, _call: CoreCall) -> bytes:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            counts["cancelled"] += 1
            raise
        return b""

    async def linger(self, _raw: bytes, _call: CoreCall) -> bytes:
        """Has to clean up when its caller is gone."""
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.3)
            print("cleaned", flush=True)
        return b""

    async def state(self, _raw: bytes, _call: CoreCall) -> bytes:
        return json.dumps({**counts, "in_loop": self.server.events.in_loop, "calls": self.server.calls}).encode()

    async def about(self, _raw: bytes, call: CoreCall) -> bytes:
        await call.send_initial_metadata((("first", "1"),))
        call.set_trailing_metadata((("last-bin", b"\0\xff"),))
        left = call.time_remaining()
        return json.dumps({"peer": call.peer(), "left": left, "came": dict(call.invocation_metadata())}).encode()

    async def refuse(self, _raw: bytes, call: CoreCall) -> bytes:
        return await call.abort(grpc.StatusCode.FAILED_PRECONDITION, "no: \u00fc", (("why", "so"),))

    async def fail(self, _raw: bytes, _call: CoreCall) -> bytes:
        raise ValueError("nobody's business")

    async def dial(self, raw: bytes, _call: CoreCall) -> bytes:
        """A channel of this process, open from now on or no more."""
        await self._held.aclose()
        if raw:
            channel: Any = await self._held.enter_async_context(open_channel(raw.decode(), (), None))
            await channel.unary_unary("/t/echo")(b"x")
        return b""

    async def count(self, raw: bytes, call: CoreCall) -> None:
        for number in range(int(raw)):
            await call.write(str(number).encode())

    async def talk(self, _requests: object, call: CoreCall) -> None:
        while (raw := await call.read()) is not EOF:
            await call.write(raw)
        await call.write(b"bye")

    async def generate(self, requests: AsyncIterator[bytes], _call: CoreCall) -> AsyncIterator[bytes]:
        async for raw in requests:
            yield raw + raw


def routes(handlers: Handlers) -> dict[str, Any]:
    unary = [
        handlers.echo,
        handlers.late,
        handlers.stay,
        handlers.linger,
        handlers.state,
        handlers.about,
        handlers.refuse,
        handlers.fail,
        handlers.dial,
    ]
    return {
        **{f"/t/{each.__name__}": grpc.unary_unary_rpc_method_handler(each) for each in unary},
        "/t/count": grpc.unary_stream_rpc_method_handler(handlers.count),
        "/t/talk": grpc.stream_stream_rpc_method_handler(handlers.talk),
        "/t/generate": grpc.stream_stream_rpc_method_handler(handlers.generate),
    }


async def main(grace_s: float) -> None:
    async def unknown(_requests: object, call: CoreCall) -> None:
        await call.abort(grpc.StatusCode.UNIMPLEMENTED, "no such method")

    handlers = Handlers()
    options = (
        ("grpc.so_reuseport", 0),
        ("grpc.http2.max_requests_per_read", 256),
        ("grpc.max_receive_message_length", 100_000),
    )
    server = handlers.server = CoreServer(routes(handlers), grpc.stream_stream_rpc_method_handler(unknown), options)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    print(port, flush=True)
    await told.wait()
    await server.stop(grace_s)
    print("ended", flush=True)


if __name__ == "__main__":
    events.LOOK_EVERY_S = events.LOOK_SELDOM_S = float(sys.argv[2])  # type: ignore[misc]
    uvloop.run(main(float(sys.argv[1])))
