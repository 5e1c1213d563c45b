"""Answers of the venue as ccxt's unified structures. Decimal text stays text until ccxt's own `safe_...` make numbers of it."""

from typing import Any, Final

Json = dict[str, Any]
STATUSES: Final = {
    "ORDER_STATUS_PENDING_TRIGGER": "open",
    "ORDER_STATUS_OPEN": "open",
    "ORDER_STATUS_PARTIALLY_FILLED": "open",
    "ORDER_STATUS_FILLED": "closed",
    "ORDER_STATUS_CANCELLED": "canceled",
    "ORDER_STATUS_REJECTED": "rejected",
    "ORDER_STATUS_EXPIRED": "expired",
}


def bare(name: str, prefix: str) -> str:
    """TIME_IN_FORCE_GTC becomes gtc."""
    return name.removeprefix(prefix).lower()


def market(exchange: Any, told: Json) -> Json:
    base, quote = told["baseAsset"], told["quoteAsset"]
    swap = told["kind"] == "MARKET_KIND_PERPETUAL"
    number = exchange.safe_number
    return {
        "id": told["symbol"],
        "symbol": f"{base}/{quote}:{quote}" if swap else f"{base}/{quote}",
        "base": base, "quote": quote, "baseId": base, "quoteId": quote,
        "settle": quote if swap else None, "settleId": quote if swap else None,
        "type": "swap" if swap else "spot",
        "spot": not swap, "swap": swap, "future": False, "option": False, "margin": False, "contract": swap,
        "linear": True if swap else None, "inverse": False if swap else None,
        "contractSize": 1 if swap else None,
        "active": told["state"] == "MARKET_STATE_OPEN",
        "maker": number(told, "makerFeeRate"), "taker": number(told, "takerFeeRate"),
        "precision": {"price": number(told, "tickSize"), "amount": number(told, "lotSize")},
        "limits": {
            "amount": {"min": number(told, "minQuantity"), "max": number(told, "maxQuantity")},
            "price": {"min": number(told, "tickSize"), "max": number(told, "maxPrice")},
            "cost": {"min": None, "max": None},
            "leverage": {"min": None, "max": None},
        },
        "info": told,
    }  # fmt: skip


def ticker(exchange: Any, told: Json, of: Json) -> Json:
    at = exchange.parse8601(told.get("updateTime"))
    text = exchange.safe_string
    found: Json = exchange.safe_ticker(
        {
            "symbol": of["symbol"], "timestamp": at, "datetime": exchange.iso8601(at),
            "high": text(told, "highPrice"), "low": text(told, "lowPrice"), "open": text(told, "openPrice"),
            "bid": text(told, "bidPrice"), "bidVolume": text(told, "bidQuantity"),
            "ask": text(told, "askPrice"), "askVolume": text(told, "askQuantity"),
            "close": text(told, "lastPrice"), "last": text(told, "lastPrice"), "change": text(told, "priceChange"),
            "baseVolume": text(told, "volume"), "quoteVolume": text(told, "quoteVolume"),
            "markPrice": text(told, "markPrice") or None, "indexPrice": text(told, "indexPrice") or None,
            "info": told,
        },
        of,
    )  # fmt: skip
    return found


def order(exchange: Any, told: Json, of: Json) -> Json:
    at = exchange.parse8601(told.get("createTime"))
    text = exchange.safe_string
    kind = bare(told["type"], "ORDER_TYPE_")
    stop = text(told, "stopPrice") or None
    found: Json = exchange.safe_order(
        {
            "id": told["orderId"], "clientOrderId": text(told, "clientOrderId") or None, "symbol": of["symbol"],
            "timestamp": at, "datetime": exchange.iso8601(at),
            "lastUpdateTimestamp": exchange.parse8601(told.get("updateTime")),
            "status": STATUSES[told["status"]], "side": bare(told["side"], "SIDE_"),
            "type": "limit" if "limit" in kind else "market",
            "timeInForce": "PO" if told.get("postOnly") else bare(told["timeInForce"], "TIME_IN_FORCE_").upper(),
            "postOnly": told.get("postOnly"), "reduceOnly": told.get("reduceOnly"),
            "price": text(told, "price") or None, "triggerPrice": stop, "stopPrice": stop,
            "amount": text(told, "quantity"), "filled": text(told, "filledQuantity"),
            "remaining": text(told, "remainingQuantity"), "average": text(told, "averagePrice") or None,
            "fee": {"cost": text(told, "fee"), "currency": text(told, "feeAsset") or None},
            "info": told,
        },
        of,
    )  # fmt: skip
    return found


def trade(exchange: Any, told: Json, of: Json) -> Json:
    """A fill of one's own, or a trade of the market."""
    at = exchange.parse8601(told.get("tradeTime"))
    text = exchange.safe_string
    mine = "orderId" in told
    side = told["side"] if mine else told["takerSide"]
    found: Json = exchange.safe_trade(
        {
            "id": told["tradeId"], "order": text(told, "orderId"), "symbol": of["symbol"],
            "timestamp": at, "datetime": exchange.iso8601(at), "side": bare(side, "SIDE_"),
            "takerOrMaker": bare(told["liquidity"], "LIQUIDITY_") if mine else None,
            "price": text(told, "price"), "amount": text(told, "quantity"),
            "fee": {"cost": text(told, "fee"), "currency": text(told, "feeAsset")} if mine else None,
            "info": told,
        },
        of,
    )  # fmt: skip
    return found
