"""Money in through the gateway: the simulated checkout page, its signed events, and a bank transfer that two people confirm."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e import node_client
from tests.e2e.launching import Venue, eventually
from tests.e2e.people import log_in
from tests.e2e.rest import Json
from tests.e2e.test_administration import Administrator, said, seeded
from tests.e2e.ways import Native, Rest, opened

FUNDING = "funding.v1.FundingService"
EMAIL = "demo@venue.local"


@pytest.fixture(scope="module")
def token(venue: Venue, rest: Rest) -> str:
    """Of a user whose address is verified."""
    return log_in(rest, EMAIL, venue.logins[EMAIL])


@pytest.fixture(scope="module")
def account_id(rest: Rest, token: str) -> str:
    asked = {"type": "ACCOUNT_TYPE_TRADING", "name": "funding"}
    found: str = rest.call("account.v1.AccountService.CreateAccount", asked, token)["account"]["accountId"]
    return found


@pytest.fixture(scope="module")
def desk(venue: Venue) -> Iterator[Rest]:
    made = Rest(f"http://127.0.0.1:{venue.port('ADMIN')}")
    yield made
    made.close()


def usd(rest: Rest, token: str, account_id: str) -> str:
    listed = rest.call("account.v1.AccountService.ListBalances", {"accountId": account_id}, token)
    return next((each["total"] for each in listed["balances"] if each["asset"] == "USD"), "0")


def test_acc4_who_pays_at_the_checkout_page_is_credited_and_told(
    venue: Venue, rest: Rest, token: str, account_id: str, tmp_path: Path
) -> None:
    asked = {"accountId": account_id, "asset": "USD", "amount": "150.25", "provider": "DEPOSIT_PROVIDER_STRIPE"}
    deposit = rest.call(f"{FUNDING}.CreateDeposit", asked, token)["deposit"]
    assert deposit["state"] == "DEPOSIT_STATE_PENDING"
    page = httpx.get(deposit["checkoutUrl"])
    assert "150.25 USD" in page.text
    assert httpx.post(deposit["checkoutUrl"], data={"what": "pay"}).status_code == 303
    named = {"depositId": deposit["depositId"]}
    native = Native(f"127.0.0.1:{venue.port('GATEWAY')}")

    def credited() -> bool:
        found: Json = native.call(f"{FUNDING}.GetDeposit", named, token)["deposit"]
        return bool(found["state"] == "DEPOSIT_STATE_SUCCEEDED")

    eventually(credited, "the deposit is credited")
    native.close()
    with opened("web", rest.url, "", lambda: node_client.bundle("bridge", tmp_path)) as web:
        (first,) = web.call(f"{FUNDING}.ListDeposits", {"accountId": account_id}, token)["deposits"]
    assert (first["depositId"], first["state"]) == (deposit["depositId"], "DEPOSIT_STATE_SUCCEEDED")
    eventually(lambda: usd(rest, token, account_id) == "160.25", "the bonus of a first deposit is there")
    mailbox = venue.state / "mailbox"
    eventually(
        lambda: any("Your deposit has arrived" in mail.read_text() for mail in mailbox.glob("*.eml")), "a mail tells it"
    )


def test_an_event_that_stripe_did_not_sign_is_refused_at_the_gateway_s_door(rest: Rest) -> None:
    for headers in ({}, {"stripe-signature": "t=1,v1=00"}):
        body = b'{"id": "evt_1", "type": "checkout.session.completed", "data": {"object": {}}}'
        answer = httpx.post(f"{rest.url}/webhooks/stripe", content=body, headers=headers)
        assert (answer.status_code, answer.json()["details"][0]["reason"]) == (401, "SIGNATURE_INVALID")
    large = httpx.post(f"{rest.url}/webhooks/stripe", content=b"x" * 300_000)
    assert (large.status_code, large.json()["details"][0]["reason"]) == (413, "MESSAGE_TOO_LARGE")


def test_adm4_a_bank_transfer_is_confirmed_over_rest_and_approved_over_grpc(
    venue: Venue, rest: Rest, desk: Rest, token: str, account_id: str
) -> None:
    native = Native(f"127.0.0.1:{venue.port('ADMIN')}")
    ada: Administrator = seeded(venue, rest, desk, "admin@venue.local")
    ben: Administrator = seeded(venue, rest, native, "checker@venue.local")
    before = usd(rest, token, account_id)
    asked = {"accountId": account_id, "asset": "USD", "amount": "12000", "provider": "DEPOSIT_PROVIDER_MANUAL"}
    deposit = rest.call(f"{FUNDING}.CreateDeposit", asked, token)["deposit"]
    assert len(deposit["paymentReference"]) == 10
    listed = ada.ask("ListCustomerDeposits", provider="DEPOSIT_PROVIDER_MANUAL", state="DEPOSIT_STATE_PENDING")
    assert deposit["depositId"] in {each["depositId"] for each in listed["deposits"]}
    wish = {"depositId": deposit["depositId"], "reason": "seen on the statement"}
    action = ada.ask("ConfirmDeposit", **wish)["pendingAction"]
    assert action["confirmDeposit"]["amount"] == "12000"
    assert said(lambda: ada.ask("ConfirmDeposit", depositId="dep-0", reason="none")) == (
        "NOT_FOUND", "DEPOSIT_NOT_FOUND",
    )  # fmt: skip
    assert usd(rest, token, account_id) == before
    done = ben.ask("ApprovePendingAction", pendingActionId=action["pendingActionId"])["pendingAction"]
    assert done["state"] == "PENDING_ACTION_STATE_EXECUTED"
    eventually(lambda: float(usd(rest, token, account_id)) == float(before) + 12000, "the sweeper has credited it")
    looked_at(ada, ben, f"deposit/{deposit['depositId']}")
    native.close()
    entries = ada.ask("ListAuditEntries", action="DEPOSIT_CONFIRM")["entries"]
    assert [each["object"] for each in entries] == [f"deposit/{deposit['depositId']}"]


def looked_at(ada: Administrator, ben: Administrator, subject: str) -> None:
    """Much came at once: people are told, one of them looks, another one closes it (RSK-6); and the books hold (ACC-8)."""
    asked = {"kind": "ALERT_KIND_LARGE_MOVE", "subject": subject}
    # The engine has credited it before what is said of that is stored.
    eventually(lambda: ada.ask("ListAlerts", **asked)["alerts"] != [], "people are told")
    (alert,) = ada.ask("ListAlerts", **asked)["alerts"]
    assert ben.ask("ListAlerts", **asked)["alerts"] == [alert]
    assert (alert["severity"], alert["state"]) == ("ALERT_SEVERITY_INFO", "ALERT_STATE_OPEN")
    named = {"alertId": alert["alertId"]}
    assert ben.ask("AcknowledgeAlert", **named)["alert"]["state"] == "ALERT_STATE_ACKNOWLEDGED"
    assert ada.ask("CloseAlert", **named, note="a known payer")["alert"]["state"] == "ALERT_STATE_CLOSED"
    assert said(lambda: ben.ask("CloseAlert", **named, note="again")) == ("FAILED_PRECONDITION", "ALERT_CLOSED")
    for person in (ada, ben):
        proofs = person.ask("VerifyLedger")["proofs"]
        assert [each for each in proofs if not each["holds"]] == []
        assert {each["partition"] for each in proofs} >= {1, 2}
