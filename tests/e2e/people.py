"""Customers of the venue: registered, logged in, each with a demo account."""

import secrets
import time
from dataclasses import dataclass
from decimal import Decimal

from tests.e2e.rest import Json
from tests.e2e.ways import Way

PASSWORD = "correct horse battery 7"
FUNDS = {"USD": "100000", "BTC": "10", "ETH": "100"}
MARKET = "ETH-USD"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an access token and a demo account."""

    name: str
    email: str
    token: str
    refresh_token: str
    account_id: str
    position: str

    def order(self, side: str, price: str, quantity: str, **more: object) -> Json:
        """A limit order that stays, unless `more` says otherwise."""
        return {
            "accountId": self.account_id,
            "symbol": MARKET,
            "side": f"SIDE_{side}",
            "type": "ORDER_TYPE_LIMIT",
            "timeInForce": "TIME_IN_FORCE_GTC",
            "quantity": quantity,
            "price": price,
        } | more


def join(way: Way, name: str) -> Person:
    """Register, log in, refresh, and open a demo account."""
    email = f"{name}.{secrets.token_hex(4)}@example.com"
    way.call("auth.v1.AuthService.Register", {"email": email, "password": PASSWORD, "displayName": name})
    login = way.call("auth.v1.AuthService.Login", {"email": email, "password": PASSWORD})
    fresh = way.call("auth.v1.AuthService.Refresh", {"refreshToken": login["refreshToken"]})
    token = fresh["accessToken"]
    opened = way.call("account.v1.AccountService.CreateAccount", {"type": "ACCOUNT_TYPE_DEMO", "name": name}, token)
    return Person(name, email, token, fresh["refreshToken"], opened["account"]["accountId"], opened["position"])


def log_in(way: Way, email: str, password: str = PASSWORD) -> str:
    """An access token."""
    token: str = way.call("auth.v1.AuthService.Login", {"email": email, "password": password})["accessToken"]
    return token


def balances(way: Way, person: Person, position: str = "") -> dict[str, Json]:
    """By asset, as new as the position."""
    request = {"accountId": person.account_id} | ({"minPosition": position} if position else {})
    listed = way.call("account.v1.AccountService.ListBalances", request, person.token)
    return {balance["asset"]: balance for balance in listed["balances"]}


def ledger(way: Way, person: Person, position: str = "", page_size: int = 3) -> list[Json]:
    """Every entry of the account, newest first, page by page."""
    found: list[Json] = []
    token = ""
    while True:
        request: Json = {"accountId": person.account_id, "pageSize": page_size}
        request |= {"minPosition": position} if position else {}
        request |= {"pageToken": token} if token else {}
        page = way.call("account.v1.AccountService.ListLedgerEntries", request, person.token)
        found += page["entries"]
        token = page["nextPageToken"]
        if not token:
            return found


def sums(entries: list[Json]) -> dict[str, Decimal]:
    """What the entries of each asset add up to."""
    totals: dict[str, Decimal] = {}
    for entry in entries:
        totals[entry["asset"]] = totals.get(entry["asset"], Decimal(0)) + Decimal(entry["amount"])
    return totals


def totals(held: dict[str, Json]) -> dict[str, Decimal]:
    return {asset: Decimal(balance["total"]) for asset, balance in held.items()}


def inside(way: Way, patience_s: float = 20.0) -> str:
    """A price between the best bid and the best ask, off the round ones, once both are there."""
    end = time.monotonic() + patience_s
    while True:
        book = way.call("marketdata.v1.MarketDataService.GetOrderBook", {"symbol": MARKET, "depth": 1})
        if book["bids"] and book["asks"]:
            price = Decimal(book["bids"][0]["price"]) + Decimal("0.03")
            if price < Decimal(book["asks"][0]["price"]):
                return format(price.normalize(), "f")
        assert time.monotonic() < end, book
        time.sleep(0.1)
