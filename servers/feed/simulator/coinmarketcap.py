"""CoinMarketCap's latest quotes, version 2, as its API reference describes them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from servers.feed.simulator.faults import AHEAD_S, LIES, Behaviour
from servers.feed.simulator.server import JSON, Simulator
from servers.feed.simulator.walk import Walks


class CoinMarketCapSimulator(Simulator):
    """Answers whoever has the key, for the symbols of `pairs`."""

    def __init__(self, walks: Walks, pairs: dict[str, str], key: str) -> None:
        super().__init__()
        self._walks, self._pairs, self._key = walks, pairs, key

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v2/cryptocurrency/quotes/latest", self._latest)]

    async def _latest(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("X-CMC_PRO_API_KEY") != self._key:
            status = status_of(1001, "This API Key is invalid.")
            return web.Response(status=401, text=json.dumps({"status": status}), content_type=JSON)
        symbols = request.query["symbol"].split(",")
        return await self.answer(request, lambda: self._body(symbols))

    def _body(self, symbols: list[str]) -> str:
        now = datetime.now(UTC) + timedelta(seconds=AHEAD_S if self.behaviour is Behaviour.AHEAD else 0)
        updated = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        data = {
            symbol: [
                {
                    "id": number,
                    "name": symbol.title(),
                    "symbol": symbol,
                    "slug": symbol.lower(),
                    "is_active": 1,
                    "quote": {"USD": {"price": f"@{symbol}", "volume_24h": 0, "last_updated": updated}},
                    "last_updated": updated,
                }
            ]
            for number, symbol in enumerate(symbols, 1)
        }
        text = json.dumps({"status": status_of(0, None), "data": data})
        for symbol in symbols:
            price = LIES.get(self.behaviour, self._walks.price(self._pairs[symbol]))
            text = text.replace(f'"@{symbol}"', price)
        return text


def status_of(code: int, message: str | None) -> dict[str, Any]:
    """The head of every answer."""
    return {
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "error_code": code,
        "error_message": message,
        "elapsed": 1,
        "credit_count": 1,
        "notice": None,
    }
