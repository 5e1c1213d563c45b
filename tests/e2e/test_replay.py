"""Five hours of a real exchange's order flow through the public API: trades and book equal those of a naive book."""

import json
import subprocess
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from servers.domain.money import ATTO_SCALE, format_units, parse
from servers.domain.terms import Side
from servers.replay.flow import VOLUME_SCALE, Count, Create, read_flow
from servers.replay.run_record import RunRecord
from tests.e2e.gateway import ROOT
from tests.e2e.launching import Venue
from tests.oracle.book import NaiveBook, NaiveOrder

FILE = "bitstamp-btcusd-2015-05-01-orders.csv.xz"
SYMBOL = "BTC-USD-REPLAY"
PLAYED_S = 240.0
Level = tuple[str, str, int]


class Trade(NamedTuple):
    """By the recorded numbers of the two orders."""

    maker: int
    taker: int
    price: str
    quantity: str


class Played(NamedTuple):
    """What came of a flow."""

    trades: list[Trade]
    bids: list[Level]
    asks: list[Level]


@pytest.fixture(scope="session")
def expected(order_flow: Path) -> Played:
    """The flow played one by one on the naive book."""
    book = NaiveBook()
    trades: list[Trade] = []
    for action in read_flow(order_flow / FILE, Count()):
        if isinstance(action, Create):
            # Nobody of one side ever meets another of it, so two groups are enough.
            order = NaiveOrder(action.number, action.side.name, action.side, parse(action.price), action.volume)
            trades += [
                Trade(found.maker, found.taker, text(found.price, ATTO_SCALE), text(found.quantity, VOLUME_SCALE))
                for found in book.place(order)
            ]
        else:
            book.cancel(action.number)
    return Played(trades, levels(book, Side.BUY), levels(book, Side.SELL))


def text(units: Any, scale: int) -> str:
    return format_units(int(units), scale)


def levels(book: NaiveBook, side: Side) -> list[Level]:
    return [
        (text(price, ATTO_SCALE), text(quantity, VOLUME_SCALE), orders) for price, quantity, orders in book.levels(side)
    ]


def played(venue: Venue) -> Played:
    """What the public API says of the last run."""
    run = RunRecord.find(venue.state / "replay", SYMBOL)
    assert run is not None
    login = json.loads((venue.state / "replay" / "login.json").read_text())
    sides: dict[str, dict[str, Any]] = defaultdict(dict)
    with httpx.Client(base_url=venue.url, timeout=30) as client:
        token = client.post("/v1/auth/login", json=login).json()["accessToken"]
        client.headers["authorization"] = f"Bearer {token}"
        for index in range(run.accounts):
            for fill in pages(client, "/v1/fills", "fills", accountId=run.book.account_id(index)):
                sides[fill["tradeId"]][fill["liquidity"]] = fill
        book = client.get(f"/v1/markets/{SYMBOL}/book", params={"depth": 5000}).raise_for_status().json()
    trades = [
        Trade(
            int(by["LIQUIDITY_MAKER"]["clientOrderId"]),
            int(by["LIQUIDITY_TAKER"]["clientOrderId"]),
            by["LIQUIDITY_TAKER"]["price"],
            by["LIQUIDITY_TAKER"]["quantity"],
        )
        for _, by in sorted(sides.items(), key=lambda item: int(item[0].rpartition("t")[2]))
    ]
    bids, asks = (
        [(level["price"], level["quantity"], level["orderCount"]) for level in book[name]] for name in ("bids", "asks")
    )
    return Played(trades, bids, asks)


def pages(client: httpx.Client, path: str, name: str, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        page = client.get(path, params={"pageSize": 500, **query}).raise_for_status().json()
        found += page.get(name, [])
        if not page.get("nextPageToken"):
            return found
        query["pageToken"] = page["nextPageToken"]


def start(venue: Venue, file: Path, *options: str) -> subprocess.Popen[str]:
    command = venue.command("replay", str(file), *options)
    return subprocess.Popen(
        command, cwd=ROOT, env=venue.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(replay: subprocess.Popen[str]) -> str:
    """What it printed. Raises AssertionError where it failed."""
    output, _ = replay.communicate(timeout=PLAYED_S)
    assert replay.returncode == 0, output
    return output


def wait_for(venue: Venue, replay: subprocess.Popen[str], actions: int, run_id: str = "") -> str:
    """Until a run other than `run_id` has come so far. Returns its id."""
    end = time.monotonic() + PLAYED_S
    while time.monotonic() < end and replay.poll() is None:
        run = RunRecord.find(venue.state / "replay", SYMBOL)
        if run is not None and run.run_id != run_id and run.next >= actions:
            return run.run_id
        time.sleep(0.02)
    raise AssertionError(replay.communicate()[0])


@pytest.mark.timeout(420)
def test_the_recorded_flow_gives_the_trades_and_the_book_of_the_naive_one(
    venue: Venue, order_flow: Path, expected: Played
) -> None:
    output = finish(start(venue, order_flow / FILE))
    for name, value in (
        ("events read", "50,414"),
        ("orders created", "24,894"),
        ("skipped: never created", "186"),
        ("skipped: before creation", "5"),
        ("placed", "24,894"),
        ("rejected", "0"),
        ("refused", "0"),
        ("trades", f"{len(expected.trades):,}"),
        ("ledger check", "ok"),
    ):
        assert any(line.split("  ")[0] == name and value in line for line in lines(output)), (name, output)
    assert played(venue) == expected


def lines(output: str) -> list[str]:
    return [line.strip() for line in output.splitlines()]


@pytest.mark.timeout(420)
def test_killed_engines_and_clients_change_neither_trades_nor_book(
    venue: Venue, order_flow: Path, expected: Played
) -> None:
    before = RunRecord.find(venue.state / "replay", SYMBOL)
    replay = start(venue, order_flow / FILE)
    run_id = wait_for(venue, replay, 8_000, before.run_id if before else "")
    venue.kill("order")
    assert wait_for(venue, replay, 20_000) == run_id
    replay.kill()
    replay.communicate()
    venue.kill("order")
    output = finish(start(venue, order_flow / FILE, "--resume"))
    assert "going on after" in output
    assert played(venue) == expected


def test_what_cannot_be_played_is_refused_in_a_line(venue: Venue, order_flow: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.csv"
    header = "id,timestamp,exchange.timestamp,price,volume,action,direction\n"
    broken.write_text(header + "1,1,1,1.5,100,created,bid\n1,2,2,abc,100,created,ask\n")
    missing = tmp_path / "missing.csv"
    flow = order_flow / FILE
    for file, options, said in (
        (missing, (), f"{missing}: No such file or directory"),
        (broken, (), f"{broken}: line 3: price 'abc' is not a decimal"),
        (flow, ("--market", "NO-SUCH"), "there is no market NO-SUCH; there are AAPL-USD, "),
        (flow, ("--target", "127.0.0.1:1"), "the venue does not answer at 127.0.0.1:1: start it with `venue up`"),
        (flow, ("--market", "ETH-USD", "--resume"), "there is no run of ETH-USD to resume; leave out --resume"),
    ):
        done = venue.run("replay", str(file), *options)
        output = done.stdout + done.stderr
        assert done.returncode == 1, output
        assert said in output
        assert "Traceback" not in output
