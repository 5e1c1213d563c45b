"""What the simulated sources share: an HTTP server on a port of its own, and the faults that any HTTP server has."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from aiohttp import web

from servers.feed.reading import BODY_MAX
from servers.feed.simulator.faults import Behaviour

JSON: Final = "application/json"


class Simulator:
    """A server that behaves as it is told. `calls` counts what it was asked."""

    def __init__(self) -> None:
        self.behaviour = Behaviour.WELL
        self.calls = 0
        self.port = 0
        self._runner: web.AppRunner | None = None
        self._stopping = asyncio.Event()

    def routes(self) -> list[web.RouteDef]:
        """What it serves."""
        raise NotImplementedError

    async def start(self, host: str = "127.0.0.1") -> None:
        """Listen on a port that the kernel gives."""
        application = web.Application()
        application.add_routes(self.routes())
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        self._stopping.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def pause(self, seconds: float) -> bool:
        """Wait. False: the server is stopping."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        return not self._stopping.is_set()

    async def answer(self, request: web.Request, body: Callable[[], str]) -> web.StreamResponse:
        """An answer with this JSON, or the fault that was asked for."""
        self.calls += 1
        match self.behaviour:
            case Behaviour.HANGS:
                await self.pause(3600)
                return web.Response(status=503)
            case Behaviour.CLOSES:
                if request.transport is not None:
                    request.transport.abort()
                return web.Response()
            case Behaviour.LIMITED:
                return web.Response(status=429, headers={"retry-after": "7"}, text="Too Many Requests")
            case Behaviour.BROKEN:
                return web.Response(status=500, text="oops")
            case Behaviour.GARBAGE:
                return web.Response(body=b"\xff\xfe<html>", content_type=JSON)
            case Behaviour.WRONG_SHAPE:
                return web.Response(text='{"surprise": [1, 2]}', content_type=JSON)
            case Behaviour.HUGE_BODY:
                return web.Response(body=b" " * (BODY_MAX + 1), content_type=JSON)
            case _:
                return web.Response(text=body(), content_type=JSON)
