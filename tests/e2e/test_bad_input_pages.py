"""Page tokens and sizes that nobody was given, and text that has to come back as it was sent."""

import base64
from collections.abc import Callable

import grpc
import httpx
import pytest

from tests.e2e.launching import Venue
from tests.e2e.people import PASSWORD, Person, join, ledger, log_in
from tests.e2e.probe import GrpcProbe, RestProbe
from tests.e2e.rest import Json
from tests.e2e.ways import Refused, Rest
from venue.account.v1 import account_pb2, account_pb2_grpc

LEDGER = "account.v1.AccountService.ListLedgerEntries"
ACCOUNTS = "account.v1.AccountService.ListAccounts"
ORDERS = "order.v1.OrderService.ListOrders"
INVALID = ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")
STRANGE = (
    "\u202egnp.exe", "a\u200db", "раураl", "'; DROP TABLE users; --", "${jndi:ldap://x/a}", "{{7*7}}", "%s%n", "😀", "<b>x</b>",
    "*)(uid=*))(|(uid=*", "<%= 7*7 %>", "${7*7}", "\u2066a\u2069",
)  # fmt: skip


@pytest.fixture(scope="module")
def grace(rest: Rest) -> Person:
    return join(rest, "grace")


@pytest.fixture(scope="module")
def heidi(rest: Rest) -> Person:
    return join(rest, "heidi")


def refused(rest: Rest, method: str, request: Json, token: str) -> tuple[str, str]:
    with pytest.raises(Refused) as refusal:
        rest.call(method, request, token)
    return refusal.value.said


@pytest.fixture(scope="module")
def page_token(rest: Rest, grace: Person) -> str:
    """Of grace's ledger, which has three entries."""
    first = rest.call(LEDGER, {"accountId": grace.account_id, "pageSize": 1}, grace.token)
    assert len(first["entries"]) == 1
    token: str = first["nextPageToken"]
    return token


def flipped(token: str) -> str:
    return token[:-1] + ("A" if token[-1] != "A" else "B")


def rewritten(token: str) -> str:
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    return base64.urlsafe_b64encode(raw[:16] + b"[1,1]").decode().rstrip("=")


@pytest.mark.parametrize(
    "forge",
    [
        flipped,
        rewritten,
        lambda token: token[:8],
        lambda token: token + token,
        lambda _token: "W10",
        lambda _token: "eyJvZmZzZXQiOjB9",
        lambda _token: "%",
        lambda _token: "é",
        lambda _token: "0",
        lambda _token: "' OR 1=1 --",
    ],
)
def test_a_forged_page_token_is_refused(
    rest: Rest, grace: Person, page_token: str, forge: Callable[[str], str]
) -> None:
    forged = {"accountId": grace.account_id, "pageToken": forge(page_token)}
    assert refused(rest, LEDGER, forged, grace.token) == INVALID


def test_a_page_token_is_good_for_its_own_list_and_reader_only(
    rest: Rest, grace: Person, heidi: Person, page_token: str
) -> None:
    for request, token in (
        ({"accountId": heidi.account_id}, heidi.token),
        ({"accountId": grace.account_id, "asset": "USD"}, grace.token),
    ):
        assert refused(rest, LEDGER, request | {"pageToken": page_token}, token) == INVALID
    assert refused(rest, ACCOUNTS, {"pageToken": page_token}, grace.token) == INVALID
    assert refused(rest, ORDERS, {"accountId": grace.account_id, "pageToken": page_token}, grace.token) == INVALID
    markets = "marketdata.v1.MarketDataService.ListMarkets"
    assert refused(rest, markets, {"pageToken": page_token}, "") == INVALID
    # And it is good there.
    assert len(ledger(rest, grace, page_size=1)) == 3


def test_a_page_has_its_bounds(rest: Rest, grace: Person) -> None:
    for method in (LEDGER, ORDERS, "order.v1.OrderService.ListFills"):
        request = {"accountId": grace.account_id}
        assert rest.call(method, request | {"pageSize": 1_000_000_000}, grace.token)
        wrong = refused(rest, method, request | {"pageSize": -1}, grace.token)
        assert wrong == ("INVALID_ARGUMENT", "INVALID_FIELD")
    trades = {"symbol": "ETH-USD", "pageSize": 1_000_000_000}
    assert len(rest.call("marketdata.v1.MarketDataService.ListTrades", trades)["trades"]) <= 500


def test_b06_a_name_of_a_megabyte_is_too_long_in_every_way(
    over_rest: RestProbe, over_grpc: GrpcProbe, heidi: Person
) -> None:
    method, request = "account.v1.AccountService.CreateAccount", {"type": "ACCOUNT_TYPE_DEMO", "name": "ж" * 500_000}
    for probe in (over_rest, over_grpc):
        said = probe.ask(method, request, heidi.token)
        assert (said.code, said.reason) == ("RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE")


def test_b06_a_line_break_in_a_name_is_refused(over_rest: RestProbe, over_grpc: GrpcProbe, heidi: Person) -> None:
    method, request = (
        "account.v1.AccountService.CreateAccount",
        {"type": "ACCOUNT_TYPE_DEMO", "name": "a\r\nset-cookie: x=1"},
    )
    for probe in (over_rest, over_grpc):
        said = probe.ask(method, request, heidi.token)
        assert (said.code, said.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")


def test_b06_text_is_the_same_over_grpc(venue: Venue, rest: Rest, heidi: Person) -> None:
    with grpc.insecure_channel(venue.target) as channel:
        accounts = account_pb2_grpc.AccountServiceStub(channel)
        token = (("authorization", f"Bearer {heidi.token}"),)
        for text in STRANGE[:3]:
            asked = account_pb2.CreateAccountRequest(type=account_pb2.ACCOUNT_TYPE_DEMO, name=text)
            opened = accounts.CreateAccount(asked, metadata=token, timeout=10)
            read = {"accountId": opened.account.account_id}
            found = rest.call("account.v1.AccountService.GetAccount", read, heidi.token)
            assert (opened.account.name, found["account"]["name"]) == (text, text)


@pytest.mark.parametrize("text", STRANGE)
def test_b06_text_comes_back_as_it_was_sent(rest: Rest, heidi: Person, text: str) -> None:
    opened = rest.call(
        "account.v1.AccountService.CreateAccount", {"type": "ACCOUNT_TYPE_DEMO", "name": text}, heidi.token
    )
    assert opened["account"]["name"] == text
    read = {"accountId": opened["account"]["accountId"]}
    assert rest.call("account.v1.AccountService.GetAccount", read, heidi.token)["account"]["name"] == text


def test_b06_a_password_may_be_any_text(rest: Rest) -> None:
    password = "'; DROP TABLE users; -- раураl 😀 \u202e" + "x" * 200
    email = f"{log_in.__name__}.{id(password)}@example.com"
    rest.call("auth.v1.AuthService.Register", {"email": email, "password": password, "displayName": "ivan"})
    assert log_in(rest, email, password)
    wrong = {"email": email, "password": password[:-1]}
    assert refused(rest, "auth.v1.AuthService.Login", wrong, "") == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")


def test_b06_an_address_that_only_looks_alike_is_another(rest: Rest, grace: Person) -> None:
    alike = grace.email.replace("a", "\u0430", 1)  # Cyrillic
    assert refused(rest, "auth.v1.AuthService.Login", {"email": alike, "password": PASSWORD}, "") == (
        "UNAUTHENTICATED",
        "CREDENTIALS_INVALID",
    )


def test_b06_a_request_id_in_a_header_cannot_write_into_answers(rest: Rest) -> None:
    with httpx.Client(base_url=rest.url) as client:
        for strange in ("a" * 5_000, "%0d%0aset-cookie: x=1", "{{7*7}}", "'; DROP TABLE users; --"):
            answer = client.get("/v1/auth/me", headers={"x-request-id": strange})
            assert answer.status_code == 401
            assert "set-cookie" not in answer.headers
            assert answer.json()["details"][0]["reason"] == "UNAUTHENTICATED"
