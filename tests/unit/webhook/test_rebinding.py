"""A name that leads elsewhere a moment later (DNS rebinding): the connection is made to the address that was looked at."""

import asyncio
import socket
import sys
from typing import Any

import pytest
from aiohttp import web

from servers.webhook.addresses import Guard
from servers.webhook.posting import Answer, Poster


async def listening(stack: list[web.AppRunner], host: str, port: int, came: list[str]) -> int:
    """A server that says where it was reached."""

    async def take(request: web.Request) -> web.Response:
        came.append(f"{host} {request.host}")
        return web.Response()

    application = web.Application()
    application.router.add_post("/", take)
    runner = web.AppRunner(application)
    await runner.setup()
    stack.append(runner)
    await web.TCPSite(runner, host, port).start()
    found: int = runner.addresses[0][1]
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere this machine has one address of its own")
async def test_s26_what_a_name_leads_to_is_asked_once_and_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    runners: list[web.AppRunner] = []
    came: list[str] = []
    asked: list[str] = []
    loop = asyncio.get_running_loop()
    plain = loop.getaddrinfo

    async def rebound(host: Any, port: Any, **more: Any) -> Any:
        """First the one address, then the other one."""
        if host != "rebound.example":
            return await plain(host, port, **more)
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "127.0.0.2"
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))]

    try:
        port = await listening(runners, "127.0.0.1", 0, came)
        await listening(runners, "127.0.0.2", port, came)
        monkeypatch.setattr(loop, "getaddrinfo", rebound)
        async with Poster(Guard(loopback=True)) as poster:
            url = f"http://rebound.example:{port}/"
            assert await poster.post(url, {}, "{}") == Answer(200)
            assert (came, asked) == ([f"127.0.0.1 rebound.example:{port}"], ["rebound.example"])
            # The next attempt looks again, and keeps no connection of the one before.
            assert await poster.post(url, {}, "{}") == Answer(200)
            assert (came[1:], len(asked)) == ([f"127.0.0.2 rebound.example:{port}"], 2)
    finally:
        for runner in runners:
            await runner.cleanup()
