"""People at the browser terminal, in a real browser: trading through crashes, what all can read, signing on, administration."""

import base64
import gzip
import hashlib
import re
import secrets
import subprocess
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.e2e.browser import PICTURES, built, play
from tests.e2e.gateway import ROOT
from tests.e2e.launching import Venue
from tests.e2e.people import PASSWORD, join
from tests.e2e.ways import Rest

pytestmark = pytest.mark.timeout(300)
FIRST_LOAD_BYTES = 350 * 1024
# What the first load of the trading page is made of; the rest is fetched with the page that needs it.
LATER = re.compile(r"administration|portal|settings|deed|reference")
QUIET_MARKET = "EUR-USD"
# What the REST reference lists, in the order of the contract's files.
PUBLIC = (
    "venue.account.v1.AccountService", "venue.auth.v1.AuthService", "venue.funding.v1.FundingService",
    "venue.marketdata.v1.MarketDataService", "venue.notify.v1.NotificationService", "venue.order.v1.OrderService",
    "venue.webhook.v1.WebhookService",
)  # fmt: skip


def test_a_newcomer_trades_in_two_windows_through_crashes_and_no_network(venue: Venue, rest: Rest) -> None:
    email = f"newcomer.{secrets.token_hex(4)}@example.com"
    seen = play("newcomer", venue, address=email)
    assert (seen["problems"], seen["unreadable"]) == ([], [])
    # Each wrong field says what the server says of it.
    assert set(seen["wrong"]) == {"E-mail", "Password"}
    assert all(seen["wrong"].values())
    assert float(seen["prefilled"]) > 0
    assert "Price off tick" in seen["failed"]
    assert seen["cost"] == "1,501.50 USD"
    assert {"ETH-USD", "Buy", "Limit", "3,000.00", "0.5000", "Open"} <= set(re.split(r"[\t\n]+", seen["resting"]))
    assert seen["filledForm"] == "2999"
    assert all(float(value) > 0 for value in seen["picked"])
    assert {"ETH-USD", "Buy", "0.2500", "Taker"} <= set(re.split(r"[\t\n]+", seen["fill"]))
    assert seen["stale"] == [True, True]
    # What the page shows in the end is what the venue has.
    token = rest.call("auth.v1.AuthService.Login", {"email": email, "password": PASSWORD})["accessToken"]
    (account,) = rest.call("account.v1.AccountService.ListAccounts", {}, token)["accounts"]
    listed = rest.call("account.v1.AccountService.ListBalances", {"accountId": account["accountId"]}, token)["balances"]
    totals = {balance["asset"]: float(balance["total"]) for balance in listed}
    rows = [line.split("\t") for line in seen["balances"].splitlines()[1:]]
    assert {row[0]: float(row[-1].replace(",", "")) for row in rows} == pytest.approx(totals)
    assert totals["ETH"] == pytest.approx(100.35)


def test_somebody_uses_all_that_the_trading_page_has(venue: Venue, rest: Rest) -> None:
    seen = play("trader", venue, address=join(rest, "desk").email, symbol="AAPL-USD")
    assert seen["problems"] == []
    chart, keys, orders, book = (seen[part] for part in ("chart", "keys", "orders", "book"))
    assert chart["bars"] > 0
    assert "5m" in chart["described"]
    assert (keys["sell"], keys["market"], keys["lives"]) == ("Sell", "Market", "GTC")
    assert (keys["ticks"], keys["themes"]) == ("3000.11", ["dark", "light", "dark"])
    # Limit and market have buttons of their own.
    assert orders["types"] == [
        "Stop", "Stop limit", "Take profit", "Take profit limit", "Trailing stop", "OCO (limit + stop)",
    ]  # fmt: skip
    assert {"ETH-USD", "0.0100"} <= set(re.split(r"[\t\n]+", orders["position"]))
    # A limit order, five that wait, two of a pair, one at the market.
    assert orders["history"] == 9
    # It was asked for again and again with the same id.
    assert seen["unheard"] == {"placed": 1, "empty": "How much?"}
    # Each wrong field says what the server says of it.
    assert set(seen["wrong"]) == {"Stop price", "Price", "Size", "Shown", "Take profit at", "Stop loss at"}
    assert all(seen["wrong"].values())
    assert (book["fine"], book["coarse"], book["picked"]) == (["2.00", "6.00"], ["3.50", "7.50"], ["10", "7.5"])


def test_every_page_can_be_read_by_everybody_and_loads_little(venue: Venue) -> None:
    seen = play("look", venue)
    assert (seen["problems"], seen["found"]) == ([], {})
    assert seen["checked"] > 5
    assert seen["form"]["fits"]
    tray = seen["form"]["tray"]
    assert (tray["side"], tray["seen"], tray["violations"]) == ("Sell", True, [])
    assert tray["price"] > 0
    taken = {path.name for path in PICTURES.glob("*.png")}
    assert {
        f"{part}-{width}-{colours}.png"
        for part in ("trade", "markets", "register")
        for width in ("wide", "middle", "narrow")
        for colours in ("dark", "light")
        if (width, colours) != ("middle", "light")
    } <= taken
    # Compressed on the way: the page's own requests, and the whole of what was built for it.
    assert all(size < FIRST_LOAD_BYTES for size in seen["loaded"].values()), seen["loaded"]
    assert seen["services"] == [name.rpartition(".")[2] for name in PUBLIC]
    assert seen["answered"].startswith("200")
    files = [path for path in built() if path.is_file() and not LATER.search(path.name)]
    assert sum(len(gzip.compress(path.read_bytes())) for path in files) < FIRST_LOAD_BYTES


def test_somebody_secures_an_account_and_comes_back_into_it(venue: Venue, rest: Rest) -> None:
    person = join(rest, "portal")
    seen = play("portal", venue, address=person.email)
    assert seen["problems"] == []
    assert (seen["picture"], seen["recovery"]) == (True, 10)
    # What is wrong is said where it was typed, in the server's words.
    assert "wrong" in seen["refused"].lower() or "password" in seen["refused"].lower()
    assert "not valid" in seen["unknown"]
    assert all(seen[field] for field in ("malformed", "network", "weak"))
    assert re.fullmatch(r"\S+\.\S{40,}", seen["key"])


def test_another_program_signs_on_through_the_terminal(venue: Venue, rest: Rest) -> None:
    back = "http://127.0.0.1:1/back"
    added = venue.command("clients", "add", "desk", "--redirect-uri", back, "--scope", "read")
    subprocess.run(added, cwd=ROOT, env=venue.environment(), check=True, capture_output=True)
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    query = {"client_id": "desk", "redirect_uri": back, "code_challenge": challenge, "code_challenge_method": "S256"}
    url = venue.url.replace("127.0.0.1", "localhost")
    seen = play("signOn", venue, address=f"{url}/authorize?{urlencode(query | {'state': 'mine'})}")
    assert "desk" in seen["asked"]
    assert "127.0.0.1:1" in seen["asked"]
    answered = parse_qs(urlsplit(seen["back"]).query)
    assert answered["state"] == ["mine"]
    exchange = {"code": answered["code"][0], "codeVerifier": verifier, "clientId": "desk", "redirectUri": back}
    assert rest.call("auth.v1.AuthService.Exchange", exchange)["user"]["email"] == "demo@venue.local"


def test_two_administrators_halt_and_resume_a_market(venue: Venue) -> None:
    seen = play("administration", venue, symbol=QUIET_MARKET)
    assert (seen["problems"], seen["unreadable"]) == ([], [])
    assert "at least 3" in seen["wrong"]
    assert seen["left"] == {"asks": "reason", "state": "other …"}
    assert seen["states"] == ["Halted", "Open"]
    assert "Partitions led" in seen["figures"]
    assert "demo@venue.local" in seen["user"]
    assert {"MARKET_STATE_SET", "PENDING_ACTION_APPROVE"} <= set(re.split(r"[\t\n]+", seen["log"]))
