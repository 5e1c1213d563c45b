"""Trading from the terminal, as a person types it."""

import re
import signal
import subprocess

import pytest

from tests.e2e.gateway import ROOT
from tests.e2e.launching import Venue

CALL_S = 30.0


def trade(venue: Venue, *arguments: str) -> tuple[int, str, str]:
    """(exit status, what was printed, what was complained about)"""
    done = venue.run("trade", *arguments)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def good(venue: Venue, *arguments: str) -> str:
    status, printed, complaint = trade(venue, *arguments)
    assert status == 0, complaint
    return printed


def test_an_order_is_placed_listed_and_cancelled(venue: Venue) -> None:
    order = ("--symbol", "ETH-USD", "--side", "buy", "--type", "limit", "--price", "1.50", "--quantity", "0.5")
    printed = good(venue, "place", *order, "--label", "far-away")
    assert "0.5 ETH-USD at 1.5" in printed
    found = re.search(r"order +(\d+-\d+)", printed)
    assert found is not None
    assert f"{found[1]} │ ETH-USD │ buy" in good(venue, "orders")
    assert "0.75" in good(venue, "balances")
    assert "cancelled" in good(venue, "cancel", found[1])
    assert found[1] not in good(venue, "orders")
    assert found[1] in good(venue, "orders", "--all", "--symbol", "ETH-USD")


def test_a_stop_waits_for_its_price(venue: Venue) -> None:
    order = ("--symbol", "ETH-USD", "--side", "sell", "--quantity", "0.01")
    good(venue, "place", *order, "--type", "market")
    printed = good(venue, "place", *order, "--type", "stop", "--stop", "1.50")
    assert re.search(r"status +pending trigger", printed)
    assert re.search(r"waits for +last price 1.5\s", printed)
    found = re.search(r"order +(\d+-\d+)", printed)
    assert found is not None
    assert "stop 1.5" in good(venue, "orders")
    assert "cancelled" in good(venue, "cancel", found[1])
    trailing = good(venue, "place", *order, "--type", "trailing-stop", "--trail", "50%")
    assert re.search(r"status +pending trigger", trailing)


def test_a_market_order_is_filled_by_the_market_maker(venue: Venue) -> None:
    printed = good(venue, "place", "--symbol", "ETH-USD", "--side", "sell", "--type", "market", "--quantity", "0.01")
    assert re.search(r"status +filled", printed)
    assert re.search(r"fill +0.01 at \d", printed)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ("place", "--symbol", "ETH-USD", "--side", "buy", "--price", "1e5", "--quantity", "-1"),
            "the request is not valid (INVALID_FIELD)\n  quantity: must be a decimal",
        ),
        (
            ("place", "--symbol", "ETH-USD", "--side", "buy", "--price", "1.001", "--quantity", "1"),
            "rejected: price off tick (PRICE_OFF_TICK)",
        ),
        (("place", "--symbol", "NO-SUCH", "--side", "buy", "--price", "1", "--quantity", "1"), "(MARKET_NOT_FOUND)"),
        (("cancel", "2-1"), "(ORDER_NOT_FOUND)"),
        (("book", "NO-SUCH", "--watch"), "(MARKET_NOT_FOUND)"),
        (("--user", "nobody@venue.local", "balances"), "no password is known for nobody@venue.local"),
        (("--user", "nobody@venue.local", "--password", "x", "balances"), "(CREDENTIALS_INVALID)"),
        (("--account", "demo-other", "balances"), "(ACCOUNT_NOT_FOUND)"),
    ],
)
def test_what_is_refused_says_why(venue: Venue, arguments: tuple[str, ...], complaint: str) -> None:
    status, _, complained = trade(venue, *arguments)
    assert status == 1
    assert complaint in complained


def test_a_book_is_shown_and_watched(venue: Venue) -> None:
    shown = good(venue, "book", "ETH-USD", "--depth", "3")
    assert "bid" in shown
    watching = subprocess.Popen(
        venue.command("trade", "book", "ETH-USD", "--watch", "--depth", "3"),
        cwd=ROOT,
        env=venue.environment() | {"COLUMNS": "120", "FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    # The bot moves its ladder every second or so: the same few lines are drawn with other prices.
    prices: set[str] = set()
    lines = iter(watching.stdout)
    while len(prices) <= 6:
        prices.update(re.findall(r"\d{4}\.\d+", next(lines)))
    watching.send_signal(signal.SIGINT)
    _, complaint = watching.communicate(timeout=CALL_S)
    assert watching.returncode == 0, complaint


def test_a_venue_that_is_not_there_is_named(venue: Venue) -> None:
    done = venue.run("trade", "balances", VENUE_GATEWAY_PORT="1")
    assert done.returncode == 1
    assert done.stderr.strip() == "the venue does not answer at 127.0.0.1:1: start it with `venue up`"
