"""An operator takes a market through its states from the terminal, while people trade on it over REST."""

import getpass
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.launching import Venue, eventually
from tests.e2e.people import Person, join
from tests.e2e.rest import Json
from tests.e2e.ways import Rest

# Of the demo environment; what the bot quotes is post-only, so it stays away until the market is open.
SYMBOL = "BTC-USD"


def good(venue: Venue, *arguments: str) -> str:
    done = venue.run("market", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def operated(venue: Venue) -> Iterator[Venue]:
    """The venue, whose market is open again afterwards."""
    yield venue
    good(venue, "hours", SYMBOL)
    good(venue, "open", SYMBOL)


class Desk:
    """What a person does over REST."""

    def __init__(self, way: Rest, name: str) -> None:
        self.way = way
        self.person: Person = join(way, name)

    def place(self, side: str, price: str, **more: object) -> Json:
        order = self.person.order(side, price, "0.01", symbol=SYMBOL, **more)
        placed: Json = self.way.call("order.v1.OrderService.PlaceOrder", order, self.person.token)["order"]
        return placed

    def status(self, order: Json) -> str:
        request = {"orderId": order["orderId"]}
        found: Json = self.way.call("order.v1.OrderService.GetOrder", request, self.person.token)["order"]
        return str(found["status"]).removeprefix("ORDER_STATUS_")


def listed(venue: Venue) -> Json:
    found: Json = httpx.get(f"{venue.url}/v1/markets/{SYMBOL}").json()["market"]
    return found


def test_a_market_is_opened_by_an_auction(operated: Venue, rest: Rest) -> None:
    ann, ben = Desk(rest, "ann"), Desk(rest, "ben")
    assert "pre-open" in good(operated, "pre-open", SYMBOL)
    refused = ann.place("BUY", "1", timeInForce="TIME_IN_FORCE_IOC")
    assert refused["rejectReason"] == "REJECT_REASON_MARKET_PRE_OPEN"
    last = float(httpx.get(f"{operated.url}/v1/markets/{SYMBOL}/ticker").json()["ticker"].get("lastPrice", "65000"))
    # A hundredth of a bitcoin each, far enough across that they trade with each other or with what the bot has left.
    bid, offer = ann.place("BUY", f"{last * 1.04:.2f}"), ben.place("SELL", f"{last * 0.96:.2f}")
    assert [ann.status(bid), ben.status(offer)] == ["OPEN", "OPEN"]
    eventually(lambda: bool(listed(operated)["auctionPrice"]), "the auction is indicated")
    assert "pre-open" in good(operated, "list")
    good(operated, "open", SYMBOL)
    assert [ann.status(bid), ben.status(offer)] == ["FILLED", "FILLED"]
    eventually(lambda: listed(operated)["state"] == "MARKET_STATE_OPEN", "the market is listed as open")
    assert listed(operated)["auctionPrice"] == ""


def test_each_state_refuses_with_its_reason(operated: Venue, rest: Rest) -> None:
    ann = Desk(rest, "ann")
    for command, reason in (
        (("post-only", SYMBOL), "MARKET_POST_ONLY"),
        (("cancel-only", SYMBOL), "MARKET_CANCEL_ONLY"),
        (("halt", SYMBOL, "--environment", "demo"), "MARKET_HALTED"),
    ):
        good(operated, *command)
        assert ann.place("BUY", "1")["rejectReason"] == f"REJECT_REASON_{reason}"


def test_hours_close_a_market_until_they_open_it(operated: Venue, rest: Rest) -> None:
    ann = Desk(rest, "ann")
    resting = ann.place("BUY", "1")
    # A minute that is over, or comes in more than a day.
    day, other = ("mon", "wed") if "Mon" not in good(operated, "list") else ("thu", "fri")
    shown = good(operated, "hours", SYMBOL, f"{day}=00:00-00:01+60", f"{other}=00:00-00:01")
    if "outside-hours" in shown:
        assert ann.place("BUY", "1")["rejectReason"] == "REJECT_REASON_MARKET_CLOSED"
        assert f"{day}=00:00-00:01+60" in shown
    assert ann.status(resting) == "OPEN"
    assert "always" in good(operated, "hours", SYMBOL)
    assert ann.place("BUY", "1")["status"] == "ORDER_STATUS_OPEN"


def test_adm3_a_new_market_is_made_opened_and_traded_on(venue: Venue, rest: Rest, tmp_path: Path) -> None:
    symbol, sizes = "ETH-USD-NEW", ("tick_size=0.5", "lot_size=0.01", "max_quantity=100")
    good(venue, "asset", "NEW", "--scale", "8", "--display-scale", "4")
    assert "pre-open" in good(venue, "create", symbol, *sizes, "taker_fee_rate=0.003")
    good(venue, "create", "NEW-USD", *sizes, "min_quantity=0.05", "--state", "halted")
    good(venue, "fees", symbol, "default", "--maker=-0.0001", "--taker=0.01")
    good(venue, "open", symbol)
    url = f"{venue.url}/v1/markets/{symbol}"
    eventually(lambda: httpx.get(url).is_success, "the market is listed")
    found: Json = httpx.get(url).json()["market"]
    assert (found["baseAsset"], found["quoteAsset"], found["tickSize"], found["minQuantity"]) == (
        "ETH",
        "USD",
        "0.5",
        "0.01",
    )
    placed = []
    for name, side in (("ann", "BUY"), ("ben", "SELL")):
        person = join(rest, name)
        order = person.order(side, "2000.5", "2", symbol=symbol)
        placed.append(rest.call("order.v1.OrderService.PlaceOrder", order, person.token)["order"])
    assert [each["status"] for each in placed] == ["ORDER_STATUS_OPEN", "ORDER_STATUS_FILLED"]
    assert placed[1]["fee"] == "40.01"
    for arguments, complaint in (
        (("create", symbol, *sizes), "(DEFINITION_EXISTS)"),
        (("create", "NO-SUCH", *sizes), "(ASSET_UNKNOWN)"),
        (("create", "ETH-USD-ODD", "tick_size=0.00000001", "lot_size=0.01", "max_quantity=1"), "(DEFINITION_INVALID)"),
        (("create", "ETH-USD-ODD", *sizes, "--state", "closed"), "no state closed"),
        (("create", "ETH-USD-ODD", *sizes, "colour=red"), "colour=red: give base_asset"),
        (("create", "ETH-USD-ODD", *sizes[1:]), "tick_size is missing"),
        (("create", "eth/usd", *sizes), "capital letters"),
        (("asset", "NEW", "--scale", "8", "--display-scale", "4"), "(DEFINITION_EXISTS)"),
        (("fees", "NO-SUCH", "default", "--maker", "0", "--taker", "0"), "(MARKET_NOT_FOUND)"),
        (("fees", symbol, "default", "--maker=-0.2", "--taker=0.1"), "(DEFINITION_INVALID)"),
    ):
        done = venue.run("market", *arguments)
        assert (done.returncode, "Traceback" in done.stderr) == (1, False), arguments
        assert complaint in done.stderr, arguments
    assert venue.run("audit", "export", str(tmp_path / "log.jsonl")).returncode == 0
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    entries = [each for each in lines if each["actor_kind"] == "OPERATOR"]
    kinds = ("ASSET_CREATE", "MARKET_CREATE", "FEES_SET")
    told = [(each["action"], each["object"], each["outcome"]) for each in entries if each["action"] in kinds]
    assert told == [
        ("ASSET_CREATE", "asset/DEMO/2/NEW", "OK"),
        ("MARKET_CREATE", f"market/DEMO/{symbol}", "OK"),
        ("MARKET_CREATE", "market/DEMO/NEW-USD", "OK"),
        ("FEES_SET", f"fees/DEMO/{symbol}/default", "OK"),
        ("MARKET_CREATE", "market/DEMO/NO-SUCH", "ASSET_UNKNOWN"),
        ("MARKET_CREATE", "market/DEMO/ETH-USD-ODD", "DEFINITION_INVALID"),
        ("ASSET_CREATE", "asset/DEMO/2/NEW", "DEFINITION_EXISTS"),
        ("FEES_SET", f"fees/DEMO/{symbol}/default", "DEFINITION_INVALID"),
    ]


def test_what_is_wrong_is_said(venue: Venue) -> None:
    for arguments, complaint in (
        (("halt", "NO-SUCH"), "(MARKET_NOT_FOUND)"),
        (("hours", SYMBOL, "daily"), "write hours as mon-fri=13:30-20:00"),
        (("hours", SYMBOL, "mon=10:00-09:00"), "(DEFINITION_INVALID)"),
    ):
        done = venue.run("market", *arguments)
        assert (done.returncode, "Traceback" in done.stderr) == (1, False)
        assert complaint in done.stderr


def test_s22_what_an_operator_does_at_the_terminal_is_in_the_audit_log(operated: Venue, tmp_path: Path) -> None:
    def run(*arguments: str) -> None:
        assert operated.run(*arguments).returncode == 0

    good(operated, "halt", SYMBOL)
    good(operated, "hours", SYMBOL, "mon=10:00-11:00")
    assert operated.run("market", "hours", SYMBOL, "mon=10:00-09:00").returncode == 1
    run("limits", "set", "quantity_max=77", "--environment", "DEMO", "--tier", "terminal")
    run("limits", "set", "--environment", "DEMO", "--tier", "terminal")
    run("audit", "export", str(tmp_path / "log.jsonl"))
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    mine = [entry for entry in entries if entry["actor_kind"] == "OPERATOR" and entry["actor"] == getpass.getuser()]
    hours = [entry for entry in mine if entry["action"] == "MARKET_HOURS_SET"][-2:]
    assert [(entry["object"], entry["outcome"]) for entry in hours] == [
        (f"market/DEMO/{SYMBOL}", "OK"),
        (f"market/DEMO/{SYMBOL}", "DEFINITION_INVALID"),
    ]
    assert [json.loads(hours[0][which])["hours"] for which in ("before", "after")] == [[], ["mon=10:00-11:00"]]
    halted = [entry for entry in mine if entry["action"] == "MARKET_STATE_SET"][-1]
    assert [json.loads(halted[which]) for which in ("before", "after")] == [{"state": "OPEN"}, {"state": "HALTED"}]
    limits = [entry for entry in mine if entry["action"] == "LIMITS_SET"]
    assert [(entry["object"], json.loads(entry["before"]), json.loads(entry["after"])) for entry in limits] == [
        ("limits/DEMO/terminal", {"limits": {}}, {"limits": {"quantityMax": "77"}}),
        ("limits/DEMO/terminal", {"limits": {"quantityMax": "77"}}, {"limits": {}}),
    ]


def test_limits_of_an_account_are_set_where_it_is(venue: Venue, rest: Rest) -> None:
    person = join(rest, "lim")
    done = venue.run("limits", "set", "quantity_max=0.05", "--account", person.account_id)
    assert (done.returncode, "DEMO" in done.stdout) == (0, True), done.stderr
    order = person.order("BUY", "1", "0.06", symbol=SYMBOL)
    placed = rest.call("order.v1.OrderService.PlaceOrder", order, person.token)["order"]
    assert placed["rejectReason"] == "REJECT_REASON_QUANTITY_TOO_LARGE"
    assert person.account_id in venue.run("limits", "show").stdout
    wrong = venue.run("limits", "set", "quantity_max=1", "--account", person.account_id, "--environment", "live")
    assert (wrong.returncode, "is no account of live" in wrong.stderr) == (2, True)
    assert venue.run("limits", "set", "--account", "nobody").returncode == 2
