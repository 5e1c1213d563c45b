"""A program written against ccxt trades at the venue through the gateway, with an API key, and gets ccxt's exceptions."""

from collections.abc import AsyncIterator

import ccxt
import pytest

from tests.e2e.launching import Venue
from tests.e2e.people import Person, join
from tests.e2e.ways import Rest
from venue_ccxt import Venue as Exchange

FAR = 2.5


@pytest.fixture(scope="module")
def carl(rest: Rest) -> Person:
    return join(rest, "carl")


@pytest.fixture
async def exchange(venue: Venue, rest: Rest, carl: Person) -> AsyncIterator[Exchange]:
    asked = {"name": "bot", "scopes": ["SCOPE_READ", "SCOPE_TRADE"], "accountId": carl.account_id}
    made = rest.call("auth.v1.AuthService.CreateApiKey", asked, carl.token)
    key = {"apiKey": made["apiKey"]["apiKeyId"], "secret": made["secret"]}
    opened = Exchange({**key, "urls": {"api": venue.url}, "options": {"accountId": carl.account_id}})
    yield opened
    await opened.close()


async def test_public_data_has_ccxts_shapes(exchange: Exchange) -> None:
    markets = await exchange.load_markets()
    eth = markets["ETH/USD"]
    assert (eth["id"], eth["spot"]) == ("ETH-USD", True)
    assert (eth["precision"]["price"], eth["precision"]["amount"]) == (0.01, 0.0001)
    assert (markets["BTC/USD:USD"]["swap"], markets["BTC/USD:USD"]["id"]) == (True, "BTC-USD-PERP")
    book = await exchange.fetch_order_book("ETH/USD", 5)
    assert book["bids"][0][0] < book["asks"][0][0]
    assert 0 < len(book["bids"]) <= 5
    ticker = await exchange.fetch_ticker("ETH/USD")
    assert 0 < ticker["bid"] < ticker["ask"]
    assert "ETH/USD" in await exchange.fetch_tickers(["ETH/USD"])
    await exchange.create_order("ETH/USD", "market", "buy", 0.01)
    trades = await exchange.fetch_trades("ETH/USD", limit=1)
    assert trades[0]["symbol"] == "ETH/USD"
    candles = await exchange.fetch_ohlcv("ETH/USD", "1m", limit=3)
    opened, high, low = candles[-1][0], candles[-1][2], candles[-1][3]
    assert 1 <= len(candles) <= 3
    assert (opened % 60_000, high >= low > 0) == (0, True)
    assert await exchange.fetch_ohlcv("ETH/USD", "1m", since=opened, limit=1) != []
    with pytest.raises(ccxt.BadRequest):
        await exchange.fetch_ohlcv("ETH/USD", "3w")


async def test_orders_are_placed_found_and_cancelled(exchange: Exchange) -> None:
    placed = await exchange.create_order(
        "ETH/USD", "limit", "buy", 0.5, FAR, {"clientOrderId": "one", "postOnly": True}
    )
    assert (placed["status"], placed["amount"], placed["price"], placed["timeInForce"]) == ("open", 0.5, FAR, "PO")
    assert [each["id"] for each in await exchange.fetch_open_orders("ETH/USD")] == [placed["id"]]
    assert (await exchange.fetch_order(placed["id"]))["clientOrderId"] == "one"
    assert (await exchange.fetch_balance())["USD"]["used"] == pytest.approx(1.2525)
    assert (await exchange.cancel_order(placed["id"], "ETH/USD"))["status"] == "canceled"
    stop = await exchange.create_order("ETH/USD", "market", "sell", 0.01, None, {"triggerPrice": 1000})
    assert (stop["triggerPrice"], stop["status"]) == (1000, "open")
    assert [each["status"] for each in await exchange.cancel_all_orders("ETH/USD")] == ["canceled"]
    assert await exchange.fetch_open_orders() == []
    bought = await exchange.create_order("ETH/USD", "market", "buy", 0.02)
    assert (bought["status"], bought["filled"]) == ("closed", 0.02)
    fills = [each for each in await exchange.fetch_my_trades("ETH/USD") if each["order"] == bought["id"]]
    assert sum(each["amount"] for each in fills) == pytest.approx(0.02)
    assert {each["takerOrMaker"] for each in fills} == {"taker"}
    assert bought["id"] in {each["id"] for each in await exchange.fetch_closed_orders("ETH/USD", limit=5)}


async def test_refusals_are_ccxts_exceptions(exchange: Exchange, venue: Venue) -> None:
    with pytest.raises(ccxt.InsufficientFunds):
        await exchange.create_order("ETH/USD", "limit", "buy", 9000, 3000)
    with pytest.raises(ccxt.OrderImmediatelyFillable):
        await exchange.create_order("ETH/USD", "limit", "sell", 0.01, FAR, {"postOnly": True})
    with pytest.raises(ccxt.OrderNotFound):
        await exchange.cancel_order("2-999999999")
    with pytest.raises(ccxt.BadSymbol):
        await exchange.fetch_ticker("NO/SUCH")
    with pytest.raises(ccxt.BadRequest, match="client_order_id"):
        await exchange.create_order("ETH/USD", "limit", "buy", 1, FAR, {"clientOrderId": "no spaces"})
    stranger = Exchange({"apiKey": "no", "secret": "such", "urls": {"api": venue.url}})
    with pytest.raises(ccxt.AuthenticationError):
        await stranger.fetch_balance()
    await stranger.close()
