"""Yahoo's chart endpoint, in the shape that its clients read."""

import json
import time

from aiohttp import web

from servers.feed.simulator.faults import AHEAD_S, LIES, Behaviour
from servers.feed.simulator.server import JSON, Simulator
from servers.feed.simulator.walk import Walks


class YahooSimulator(Simulator):
    """Answers for the symbols of `pairs`."""

    def __init__(self, walks: Walks, pairs: dict[str, str]) -> None:
        super().__init__()
        self._walks, self._pairs = walks, pairs

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v8/finance/chart/{symbol}", self._chart)]

    async def _chart(self, request: web.Request) -> web.StreamResponse:
        symbol = request.match_info["symbol"]
        if symbol not in self._pairs:
            missing = {"code": "Not Found", "description": "No data found, symbol may be delisted"}
            text = json.dumps({"chart": {"result": None, "error": missing}})
            return web.Response(status=404, text=text, content_type=JSON)
        return await self.answer(request, lambda: self._body(symbol))

    def _body(self, symbol: str) -> str:
        pair = self._pairs[symbol]
        now = int(time.time()) + (AHEAD_S if self.behaviour is Behaviour.AHEAD else 0)
        # A number, not text: so it is on the wire.
        price = LIES.get(self.behaviour, self._walks.price(pair))
        meta = {
            "currency": pair.partition("-")[2],
            "symbol": symbol,
            "exchangeName": "SIM",
            "instrumentType": "CRYPTOCURRENCY",
            "regularMarketTime": now,
            "regularMarketPrice": "@",
            "priceHint": 2,
            "dataGranularity": "1m",
            "range": "1d",
        }
        indicators: dict[str, list[dict[str, list[str]]]] = {
            "quote": [{"open": [], "high": [], "low": [], "close": [], "volume": []}]
        }
        result = [{"meta": meta, "timestamp": [], "indicators": indicators}]
        return json.dumps({"chart": {"result": result, "error": None}}).replace('"@"', price)
