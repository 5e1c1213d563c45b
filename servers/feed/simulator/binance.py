"""Binance's combined streams, as its public documentation of market streams describes them."""

import asyncio
import json
import time
from typing import Final

from aiohttp import web

from servers.domain.money import ATTO_SCALE, format_units, parse
from servers.feed.simulator.faults import AHEAD_S, LIES, Behaviour
from servers.feed.simulator.server import Simulator
from servers.feed.simulator.walk import Walks

HALF_SPREAD_BPS: Final = 1
ENDING: Final = {Behaviour.CLOSES, Behaviour.LIMITED, Behaviour.BROKEN}


class BinanceSimulator(Simulator):
    """Tells each asked symbol's ticker every `every_s`."""

    def __init__(self, walks: Walks, pairs: dict[str, str], every_s: float = 1.0) -> None:
        super().__init__()
        self._walks, self._pairs, self._every_s = walks, pairs, every_s

    @property
    def address(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/stream", self._stream)]

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        self.calls += 1
        if self.behaviour is Behaviour.LIMITED:
            return web.Response(status=429)
        if self.behaviour is Behaviour.BROKEN:
            return web.Response(status=500)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        symbols = [name.partition("@")[0].upper() for name in request.query.get("streams", "").split("/")]
        telling = asyncio.create_task(self._tell(socket, symbols))
        # Pings and the end of the other side are seen by who reads.
        async for _ in socket:
            pass
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
        return socket

    async def _tell(self, socket: web.WebSocketResponse, symbols: list[str]) -> None:
        while self.behaviour not in ENDING:
            for symbol in symbols:
                if self.behaviour is not Behaviour.HANGS:
                    await socket.send_str(self._message(symbol))
            if not await self.pause(self._every_s):
                break
        await socket.close()

    def _message(self, symbol: str) -> str:
        match self.behaviour:
            case Behaviour.GARBAGE:
                return '{"stream":'
            case Behaviour.WRONG_SHAPE:
                return '{"surprise": [1, 2]}'
            case Behaviour.HUGE_BODY:
                return " " * (1 << 17)
            case behaviour:
                ticker = ticker_of(symbol, self._walks.price(self._pairs[symbol]))
        if behaviour in LIES:
            ticker |= {"b": LIES[behaviour], "a": LIES[behaviour]}
        if behaviour is Behaviour.AHEAD:
            ticker["E"] = int(time.time() + AHEAD_S) * 1000
        return json.dumps({"stream": f"{symbol.lower()}@ticker", "data": ticker})


def ticker_of(symbol: str, price: str) -> dict[str, str | int]:
    """A 24hrTicker around a price."""
    atto, now = parse(price), int(time.time() * 1000)
    half = atto * HALF_SPREAD_BPS // 10_000 // 10**10 * 10**10

    def text(value: int) -> str:
        return format_units(value // 10**10 * 10**10, ATTO_SCALE)

    return {
        "e": "24hrTicker",
        "E": now,
        "s": symbol,
        "p": "0.00",
        "P": "0.000",
        "w": price,
        "x": price,
        "c": price,
        "Q": "0.01000000",
        "b": text(atto - half),
        "B": "2.00000000",
        "a": text(atto + half),
        "A": "2.00000000",
        "o": price,
        "h": price,
        "l": price,
        "v": "1000.00000000",
        "q": "1000.00000000",
        "O": now - 86_400_000,
        "C": now,
        "F": 0,
        "L": 1000,
        "n": 1001,
    }
