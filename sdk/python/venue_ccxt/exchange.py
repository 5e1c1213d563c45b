"""The class that bots use. Every unified method is a call or two of the venue's REST interface."""

import json
from typing import Any, Final

import ccxt
from ccxt.async_support.base.exchange import Exchange

from venue_ccxt import values
from venue_ccxt.errors import refused, rejected
from venue_ccxt.values import Json
from venue_sdk.request_ids import request_id

PAGE: Final = 500
# A mutation whose outcome is unknown is sent again with its request id.
ATTEMPTS: Final = 3
OPEN: Final = ("ORDER_STATUS_PENDING_TRIGGER", "ORDER_STATUS_OPEN", "ORDER_STATUS_PARTIALLY_FILLED")
CLOSED: Final = ("ORDER_STATUS_FILLED", "ORDER_STATUS_CANCELLED", "ORDER_STATUS_EXPIRED")
METHODS: Final = (
    "cancelAllOrders", "cancelOrder", "createOrder", "fetchBalance", "fetchClosedOrders", "fetchMarkets", "fetchMyTrades",
    "fetchOHLCV", "fetchOpenOrders", "fetchOrder", "fetchOrderBook", "fetchTicker", "fetchTickers", "fetchTrades",
)  # fmt: skip


class Venue(Exchange):  # type: ignore[misc]  # ccxt has no types
    """See ccxt's manual for the methods. Raises its exceptions."""

    def describe(self) -> Any:
        return self.deep_extend(
            super().describe(),
            {
                "id": "venue", "name": "venue", "countries": [], "version": "v1", "rateLimit": 20,
                "has": {"CORS": None, "spot": True, "swap": True, **dict.fromkeys(METHODS, True)},
                "timeframes": {each: each for each in ("1s", "1m", "5m", "15m", "1h", "4h", "1d")},
                "urls": {"api": "http://localhost:8080"},
                "requiredCredentials": {"apiKey": True, "secret": True},
                "precisionMode": ccxt.TICK_SIZE,
                "options": {"accountId": ""},
            },
        )  # fmt: skip

    def sign(
        self, path: str, api: Any = "public", method: str = "GET", params: Any = None,
        headers: Any = None, body: Any = None,
    ) -> Json:  # fmt: skip
        given = dict(params or {})
        url = f"{self.urls['api']}/v1/{self.implode_params(path, given)}"
        given = self.omit(given, self.extract_params(path))
        headers = dict(headers or {})
        if api == "private":
            self.check_required_credentials()
            headers["x-api-key"] = f"{self.apiKey}.{self.secret}"
        if method in {"GET", "DELETE"}:
            url += f"?{self.urlencode_with_array_repeat(given)}" if given else ""
        else:
            body, headers["content-type"] = json.dumps(given), "application/json"
        return {"url": url, "method": method, "body": body, "headers": headers}

    def handle_errors(
        self, code: int, reason: str, url: str, method: str, headers: Any, body: str,
        response: Any, request_headers: Any, request_body: Any,
    ) -> None:  # fmt: skip
        if code >= 400 and isinstance(response, dict) and "details" in response:
            raise refused(response)

    async def _account(self) -> str:
        if not self.options["accountId"]:
            listed = await self.request("accounts", "private")
            if not listed["accounts"]:
                raise ccxt.BadRequest("venue: this key has no account; open one, or set options['accountId']")
            self.options["accountId"] = listed["accounts"][0]["accountId"]
        return str(self.options["accountId"])

    async def _surely(self, path: str, method: str, given: Json) -> Any:
        """A mutation, repeated while its outcome is unknown: by its request id it happens once."""
        asked = {"requestId": request_id(), **given} if method == "POST" else given
        for attempt in range(ATTEMPTS):
            try:
                return await self.request(path, "private", method, asked)
            except (ccxt.RateLimitExceeded, ccxt.OnMaintenance):
                raise
            except ccxt.NetworkError:
                if attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError

    def _of(self, told: Json) -> Json:
        found: Json = self.safe_market(told["symbol"])
        return found

    async def fetch_markets(self, params: Json | None = None) -> list[Json]:
        listed = await self.request("markets", "public", "GET", dict(params or {}))
        return [values.market(self, each) for each in listed["markets"]]

    async def fetch_ticker(self, symbol: str, params: Json | None = None) -> Json:
        await self.load_markets()
        of = self.market(symbol)
        answer = await self.request("markets/{symbol}/ticker", "public", "GET", {"symbol": of["id"], **(params or {})})
        return values.ticker(self, answer["ticker"], of)

    async def fetch_tickers(self, symbols: list[str] | None = None, params: Json | None = None) -> dict[str, Json]:
        await self.load_markets()
        listed = await self.request("tickers", "public", "GET", dict(params or {}))
        found = [values.ticker(self, each, self._of(each)) for each in listed["tickers"]]
        return {each["symbol"]: each for each in found if symbols is None or each["symbol"] in symbols}

    async def fetch_order_book(self, symbol: str, limit: int | None = None, params: Json | None = None) -> Json:
        await self.load_markets()
        of = self.market(symbol)
        asked = {"symbol": of["id"], **({"depth": limit} if limit else {}), **(params or {})}
        answer = await self.request("markets/{symbol}/book", "public", "GET", asked)
        book: Json = self.parse_order_book(answer, of["symbol"], None, "bids", "asks", "price", "quantity")
        book["nonce"] = self.safe_integer(answer, "sequence")
        return book

    async def fetch_trades(
        self, symbol: str, since: int | None = None, limit: int | None = None, params: Json | None = None
    ) -> list[Json]:
        await self.load_markets()
        of = self.market(symbol)
        asked = {"symbol": of["id"], "pageSize": min(limit or PAGE, PAGE), **(params or {})}
        listed = await self.request("markets/{symbol}/trades", "public", "GET", asked)
        return self._sorted([values.trade(self, each, of) for each in listed["trades"]], since, limit)

    async def fetch_ohlcv(
        self, symbol: str, timeframe: str = "1m", since: int | None = None, limit: int | None = None,
        params: Json | None = None,
    ) -> list[list[Any]]:  # fmt: skip
        """Oldest first. With `since` from there on, else the newest."""
        await self.load_markets()
        of, count = self.market(symbol), min(limit or PAGE, PAGE)
        if timeframe not in self.timeframes:
            raise ccxt.BadRequest(f"venue has no timeframe {timeframe}")
        asked = {"symbol": of["id"], "interval": f"CANDLE_INTERVAL_{timeframe.upper()}", "pageSize": count}
        if since is not None:
            end = since + count * self.parse_timeframe(timeframe) * 1000
            asked |= {"startTime": self.iso8601(since), "endTime": self.iso8601(end)}
        listed = await self.request("markets/{symbol}/candles", "public", "GET", asked | (params or {}))
        names = ("open", "high", "low", "close", "volume")
        return [
            [self.parse8601(each["openTime"]), *(self.safe_number(each, name) for name in names)]
            for each in reversed(listed["candles"])
        ]

    async def fetch_balance(self, params: Json | None = None) -> Json:
        asked = {"account": await self._account(), **(params or {})}
        listed = await self.request("accounts/{account}/balances", "private", "GET", asked)
        found: Json = {"info": listed}
        for each in listed["balances"]:
            found[each["asset"]] = {"free": each["available"], "used": each["held"], "total": each["total"]}
        balance: Json = self.safe_balance(found)
        return balance

    async def create_order(
        self, symbol: str, type: str, side: str, amount: float, price: float | None = None, params: Json | None = None  # noqa: A002
    ) -> Json:  # fmt: skip
        """`params`: clientOrderId, timeInForce, postOnly, reduceOnly, triggerPrice, and fields of the venue's own."""
        await self.load_markets()
        of, more = self.market(symbol), dict(params or {})
        limit = type == "limit"
        if limit and price is None:
            raise ccxt.ArgumentsRequired("venue: a limit order needs a price")
        trigger = more.pop("triggerPrice", None) or more.pop("stopPrice", None)
        kind = ("STOP_" if trigger is not None else "") + ("LIMIT" if limit else "MARKET")
        force = more.pop("timeInForce", "") or ("GTC" if limit or trigger is not None else "IOC")
        post_only = bool(more.pop("postOnly", False)) or force == "PO"
        asked: Json = {
            "accountId": await self._account(), "symbol": of["id"], "side": f"SIDE_{side.upper()}",
            "type": f"ORDER_TYPE_{'STOP' if kind == 'STOP_MARKET' else kind}",
            "timeInForce": f"TIME_IN_FORCE_{'GTC' if force == 'PO' else force}",
            "quantity": self.amount_to_precision(symbol, amount), "postOnly": post_only,
        }  # fmt: skip
        if limit:
            asked["price"] = self.price_to_precision(symbol, price)
        if trigger is not None:
            asked |= {"stopPrice": self.price_to_precision(symbol, trigger), "triggerSource": "TRIGGER_SOURCE_LAST"}
        answer = await self._surely("orders", "POST", asked | more)
        if answer["order"]["status"] == "ORDER_STATUS_REJECTED":
            raise rejected(answer["order"]["rejectReason"])
        return values.order(self, answer["order"], of)

    async def cancel_order(self, id: str, symbol: str | None = None, params: Json | None = None) -> Json:  # noqa: A002
        await self.load_markets()
        answer = await self._surely("orders/{id}", "DELETE", {"id": id, **(params or {})})
        return values.order(self, answer["order"], self._of(answer["order"]))

    async def cancel_all_orders(self, symbol: str | None = None, params: Json | None = None) -> list[Json]:
        """The orders that were open before and are cancelled now."""
        await self.load_markets()
        before = await self.fetch_open_orders(symbol)
        asked = {"accountId": await self._account(), **(params or {})}
        asked |= {"symbol": self.market(symbol)["id"]} if symbol else {}
        await self._surely("orders:cancelAll", "POST", asked)
        return [{**each, "status": "canceled"} for each in before]

    async def fetch_order(self, id: str, symbol: str | None = None, params: Json | None = None) -> Json:  # noqa: A002
        await self.load_markets()
        answer = await self.request("orders/{id}", "private", "GET", {"id": id, **(params or {})})
        return values.order(self, answer["order"], self._of(answer["order"]))

    async def fetch_open_orders(
        self, symbol: str | None = None, since: int | None = None, limit: int | None = None, params: Json | None = None
    ) -> list[Json]:
        return await self._orders(OPEN, symbol, since, limit, params)

    async def fetch_closed_orders(
        self, symbol: str | None = None, since: int | None = None, limit: int | None = None, params: Json | None = None
    ) -> list[Json]:
        return await self._orders(CLOSED, symbol, since, limit, params)

    async def fetch_my_trades(
        self, symbol: str | None = None, since: int | None = None, limit: int | None = None, params: Json | None = None
    ) -> list[Json]:
        await self.load_markets()
        listed = await self._listed("fills", "fills", symbol, limit, params)
        return self._sorted([values.trade(self, each, self._of(each)) for each in listed], since, limit)

    async def _orders(
        self, statuses: tuple[str, ...], symbol: str | None, since: int | None, limit: int | None, params: Json | None
    ) -> list[Json]:
        await self.load_markets()
        listed = await self._listed("orders", "orders", symbol, limit, {"status": list(statuses), **(params or {})})
        return self._sorted([values.order(self, each, self._of(each)) for each in listed], since, limit)

    async def _listed(
        self, path: str, name: str, symbol: str | None, limit: int | None, params: Json | None
    ) -> list[Json]:
        """Newest first, page by page, as many as are asked for; all where nothing is said."""
        asked = {"accountId": await self._account(), "pageSize": min(limit or PAGE, PAGE), **(params or {})}
        asked |= {"symbol": self.market(symbol)["id"]} if symbol else {}
        found: list[Json] = []
        while True:
            page = await self.request(path, "private", "GET", asked)
            found += page[name]
            asked["pageToken"] = page["nextPageToken"]
            if not page["nextPageToken"] or (limit and len(found) >= limit):
                return found

    def _sorted(self, found: list[Json], since: int | None, limit: int | None) -> list[Json]:
        """Oldest first, as ccxt has it: from `since` on the first so many, without it the last."""
        ordered = sorted(found, key=lambda each: each["timestamp"] or 0)
        if since is not None:
            return [each for each in ordered if (each["timestamp"] or 0) >= since][:limit]
        return ordered[-limit:] if limit else ordered
