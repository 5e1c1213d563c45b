"""The wallet through the gateway: the same history in every way to call, and a statement as a file of a browser's liking."""

import csv
import io
import uuid
from collections.abc import Iterator
from decimal import Decimal

import grpc
import httpx
import pytest

from tests.e2e import node_client
from tests.e2e.launching import Venue
from tests.e2e.people import FUNDS, Person, balances, join
from tests.e2e.rest import Json
from tests.e2e.ways import Native, Refused, Rest, Way, bearer, opened
from venue.account.v1 import account_pb2, account_pb2_grpc

ACCOUNTS = "account.v1.AccountService"


@pytest.fixture(scope="module")
def wilma(rest: Rest) -> Person:
    return join(rest, "wilma")


@pytest.fixture(scope="module")
def second(rest: Rest, wilma: Person) -> str:
    """Another account of hers, with 12.5 USD more than it was opened with."""
    asked = {"type": "ACCOUNT_TYPE_DEMO", "name": "second"}
    made: str = rest.call(f"{ACCOUNTS}.CreateAccount", asked, wilma.token)["account"]["accountId"]
    sent = {"fromAccountId": wilma.account_id, "toAccountId": made, "asset": "USD", "amount": "12.5"}
    rest.call(f"{ACCOUNTS}.CreateTransfer", sent, wilma.token)
    return made


@pytest.fixture(scope="module")
def ways(venue: Venue, rest: Rest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Way]]:
    native = Native(f"127.0.0.1:{venue.port('GATEWAY')}")
    folder = tmp_path_factory.mktemp("web")
    with opened("web", rest.url, "", lambda: node_client.bundle("bridge", folder)) as web:
        yield [rest, native, web]
    native.close()


def test_acc6_history_is_the_same_whichever_way_it_is_asked_for(ways: list[Way], wilma: Person, second: str) -> None:
    asked = {"kinds": ["ENTRY_KIND_TRANSFER"]}
    told: list[list[Json]] = [
        way.call(f"{ACCOUNTS}.ListTransactions", asked, wilma.token)["transactions"] for way in ways
    ]
    assert told[0] == told[1] == told[2]
    assert {(each["accountId"], each["amount"], each["otherAccountId"]) for each in told[0]} == {
        (wilma.account_id, "-12.5", second),
        (second, "12.5", wilma.account_id),
    }


def test_acc6_a_statement_is_downloaded_as_csv_and_streamed_alike(
    venue: Venue, rest: Rest, wilma: Person, second: str
) -> None:
    path = f"{rest.url}/v1/accounts/{second}/statements"
    answer = httpx.get(path, headers=bearer(wilma.token), params={"asset": "USD"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/csv; charset=utf-8; header=present")
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(line["kind"], line["amount"], line["balance"]) for line in lines] == [
        ("PAPER", "100000", "100000"),
        ("TRANSFER", "12.5", "100012.5"),
        ("CLOSING", "", "100012.5"),
    ]
    with grpc.insecure_channel(f"127.0.0.1:{venue.port('GATEWAY')}") as channel:
        stub = account_pb2_grpc.AccountServiceStub(channel)
        request = account_pb2.StreamStatementRequest(account_id=second, asset="USD")
        metadata = (("authorization", f"Bearer {wilma.token}"),)
        streamed = b"".join(piece.body.data for piece in stub.StreamStatement(request, metadata=metadata)).decode()
    assert streamed.splitlines()[:3] == answer.text.splitlines()[:3]
    for wrong, status in (({"endTime": "yesterday"}, 400), ({"nonsense": "1"}, 400)):
        assert httpx.get(path, headers=bearer(wilma.token), params=wrong).status_code == status
    assert httpx.get(f"{rest.url}/v1/accounts/demo-0/statements", headers=bearer(wilma.token)).status_code == 404
    assert httpx.get(path).status_code == 401


def test_acc6_a_quote_is_accepted_over_each_way(ways: list[Way], rest: Rest, wilma: Person) -> None:
    for way in ways:
        asked = {"accountId": wilma.account_id, "fromAsset": "USD", "fromAmount": "100", "toAsset": "BTC"}
        before = balances(rest, wilma)
        quote = way.call(f"{ACCOUNTS}.QuoteConversion", asked, wilma.token)["quote"]
        accepted = {"quoteId": quote["quoteId"], "requestId": str(uuid.uuid4())}
        done = way.call(f"{ACCOUNTS}.CreateConversion", accepted, wilma.token)
        assert done["conversion"]["toAmount"] == quote["toAmount"]
        assert way.call(f"{ACCOUNTS}.CreateConversion", accepted, wilma.token)["replayed"]
        with pytest.raises(Refused) as refusal:
            way.call(f"{ACCOUNTS}.CreateConversion", accepted | {"requestId": str(uuid.uuid4())}, wilma.token)
        assert refusal.value.said == ("FAILED_PRECONDITION", "QUOTE_USED")
        after = balances(rest, wilma)
        moved = {
            asset: Decimal(after[asset]["total"]) - Decimal(before[asset]["total"]) for asset in ("USD", "BTC", "ETH")
        }
        assert moved == {"USD": Decimal(-100), "BTC": Decimal(quote["toAmount"]), "ETH": 0}


def test_acc1_a_spare_account_is_renamed_and_closed_over_each_way(ways: list[Way], rest: Rest, wilma: Person) -> None:
    for number, way in enumerate(ways):
        opened = way.call(f"{ACCOUNTS}.CreateAccount", {"type": "ACCOUNT_TYPE_DEMO"}, wilma.token)
        named = {"accountId": opened["account"]["accountId"]}
        renamed = way.call(f"{ACCOUNTS}.UpdateAccount", named | {"name": f"spare {number}"}, wilma.token)
        assert renamed["account"]["name"] == f"spare {number}"
        with pytest.raises(Refused) as refusal:
            way.call(f"{ACCOUNTS}.CloseAccount", named, wilma.token)
        assert refusal.value.said == ("FAILED_PRECONDITION", "ACCOUNT_NOT_EMPTY")
        for asset, amount in FUNDS.items():
            sent = {
                "fromAccountId": named["accountId"],
                "toAccountId": wilma.account_id,
                "asset": asset,
                "amount": amount,
            }
            rest.call(f"{ACCOUNTS}.CreateTransfer", sent, wilma.token)
        closed = way.call(f"{ACCOUNTS}.CloseAccount", named, wilma.token)
        assert closed["account"]["status"] == "ACCOUNT_STATUS_CLOSED"


def test_acc3_a_portfolio_is_the_same_whichever_way_it_is_asked_for(
    ways: list[Way], rest: Rest, second: str, wilma: Person
) -> None:
    told = [way.call(f"{ACCOUNTS}.GetPortfolio", {"accountId": second}, wilma.token) for way in ways]
    balance = rest.call(f"{ACCOUNTS}.ListBalances", {"accountId": second}, wilma.token)["balances"]
    for each in told:
        assert {one["asset"]: one["quantity"] for one in each["holdings"]} == {
            one["asset"]: one["total"] for one in balance
        }
        assert each["reportingAsset"] == "USD"
        value = sum(Decimal(one["value"]) for one in each["holdings"])
        assert (Decimal(each["value"]), each["unpricedAssets"]) == (value, [])


def test_acc8_a_balance_is_explained_over_each_way(ways: list[Way], wilma: Person, second: str) -> None:
    asked = {"accountId": second, "asset": "USD"}
    for way in ways:
        first, last = way.call(f"{ACCOUNTS}.ExplainBalance", asked, wilma.token)["entries"]
        assert (first["total"], first["entry"]["amount"], last["total"]) == ("100012.5", "12.5", "100000")
        assert first["cause"]["transferId"]
        assert last["cause"]["opened"]
        then = {"atTime": last["entry"]["createTime"]} | asked
        assert way.call(f"{ACCOUNTS}.GetBalanceAt", then, wilma.token)["balances"] == [
            {"asset": "USD", "total": "100000"}
        ]
