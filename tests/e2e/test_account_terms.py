"""An operator puts accounts into tiers and self-trade groups from the terminal; their people see it over REST and gRPC."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.launching import Venue
from tests.e2e.operator import Operator, operating
from tests.e2e.people import Person, join
from tests.e2e.rest import Json
from tests.e2e.ways import Native, Rest, Way
from venue.engine.v1 import engine_pb2 as pb

# Of its own: nobody trades there but the test.
ASSET = "TERMS"
SYMBOL = f"{ASSET}-USD"


@pytest.fixture(scope="module")
def operator(venue: Venue) -> Iterator[Operator]:
    with operating(venue) as made:
        made.define(SYMBOL)
        made.do(set_fees=pb.SetFees(symbol=SYMBOL, tier="vip", maker_fee_rate="0", taker_fee_rate="0.001"))
        yield made


@pytest.fixture
def pair(operator: Operator, way: Way) -> tuple[Person, Person]:
    """Ann has dollars, ben has what they are for."""
    ann, ben = join(way, "ann"), join(way, "ben")
    operator.grant(ben.account_id, ASSET, "10")
    return ann, ben


@pytest.fixture(params=["rest", "grpc"])
def way(request: pytest.FixtureRequest, venue: Venue, rest: Rest) -> Iterator[Way]:
    if request.param == "rest":
        yield rest
        return
    made = Native(f"127.0.0.1:{venue.port('GATEWAY')}")
    yield made
    made.close()


def good(venue: Venue, *arguments: str) -> str:
    done = venue.run("account", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def place(way: Way, person: Person, side: str, price: str) -> Json:
    order = person.order(side, price, "0.5", symbol=SYMBOL)
    placed: Json = way.call("order.v1.OrderService.PlaceOrder", order, person.token)["order"]
    return placed


def account(way: Way, person: Person) -> Json:
    request = {"accountId": person.account_id}
    found: Json = way.call("account.v1.AccountService.GetAccount", request, person.token)["account"]
    return found


def order_rate(way: Way, person: Person) -> int:
    quotas = way.call("auth.v1.AuthService.GetQuota", {}, person.token)["quotas"]
    mine = (q for q in quotas if q.get("accountId") == person.account_id and q["bucket"] == "BUCKET_ORDER")
    return int(next(mine)["limit"])


def test_ord3_accounts_of_one_group_do_not_trade(venue: Venue, way: Way, pair: tuple[Person, Person]) -> None:
    ann, ben = pair
    assert account(way, ann)["selfTradeGroup"] == ann.account_id
    resting = place(way, ann, "BUY", "1000")
    group = f"desk:{ann.account_id[-6:]}"
    for person in (ann, ben):
        assert group in good(venue, "terms", person.account_id, "--group", group)
        assert account(way, person)["selfTradeGroup"] == group
    placed = place(way, ben, "SELL", "1000")
    assert (placed["status"], placed["cancelReason"]) == ("ORDER_STATUS_CANCELLED", "CANCEL_REASON_SELF_TRADE")
    assert ben.account_id in good(venue, "terms", ben.account_id, "--group", ben.account_id)
    assert place(way, ben, "SELL", "1000")["status"] == "ORDER_STATUS_FILLED"
    request = {"orderId": resting["orderId"]}
    found = way.call("order.v1.OrderService.GetOrder", request, ann.token)["order"]
    assert found["status"] == "ORDER_STATUS_FILLED"


def test_a_tier_brings_its_rates_of_fees_and_orders(venue: Venue, way: Way, pair: tuple[Person, Person]) -> None:
    ann, ben = pair
    assert (account(way, ben)["tier"], order_rate(way, ben)) == ("default", order_rate(way, ann))
    good(venue, "terms", ben.account_id, "--tier", "vip")
    assert account(way, ben)["tier"] == "vip"
    assert "vip" in good(venue, "show", ben.account_id)
    place(way, ann, "BUY", "1000")
    assert place(way, ben, "SELL", "1000")["fee"] == "0.5"
    # The tier that may send the most.
    good(venue, "terms", ben.account_id, "--tier", "replay")
    assert order_rate(way, ben) > order_rate(way, ann)


def test_what_makes_no_sense_is_said_in_a_line_and_written_down(venue: Venue, rest: Rest, tmp_path: Path) -> None:
    ann = join(rest, "ann")
    for arguments, complaint in (
        (("terms", ann.account_id), "(DEFINITION_INVALID)"),
        (("terms", ann.account_id, "--tier", "a b"), "a b: may hold letters"),
        (("terms", ann.account_id, "--tier", "vpi"), "(DEFINITION_INVALID)"),
        (("terms", "demo-none", "--tier", "vip"), "(ACCOUNT_NOT_FOUND)"),
        (("show", "venue:fees"), "venue:fees: no id of an account"),
    ):
        done = venue.run("account", *arguments)
        assert (done.returncode, "Traceback" in done.stderr) == (1, False), arguments
        assert complaint in done.stderr, arguments
    good(venue, "terms", ann.account_id, "--tier", "vip")
    assert venue.run("audit", "export", str(tmp_path / "log.jsonl")).returncode == 0
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    mine = [entry for entry in entries if entry["object"] == f"account/{ann.account_id}"]
    assert [(entry["action"], entry["outcome"]) for entry in mine] == [
        ("ACCOUNT_TERMS_SET", "DEFINITION_INVALID"),
        ("ACCOUNT_TERMS_SET", "DEFINITION_INVALID"),
        ("ACCOUNT_TERMS_SET", "OK"),
    ]
    assert [json.loads(mine[2][which])["tier"] for which in ("before", "after")] == ["default", "vip"]
