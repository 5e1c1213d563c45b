"""Money out through the gateway: who somebody is, a second factor, a payout, one that two people approve (ADM-4, S06)."""

import uuid
from dataclasses import dataclass

import httpx
import psycopg
import pyotp
import pytest

from servers.embedded.addresses import postgres_url
from servers.embedded.state import State
from tests.e2e.fault_proxy import FaultProxy
from tests.e2e.launching import Venue, eventually
from tests.e2e.lost_answers import lose
from tests.e2e.people import PASSWORD, join, log_in
from tests.e2e.rest import Json
from tests.e2e.test_administration import Administrator, said, seeded
from tests.e2e.ways import Native, Rest

AUTH, FUNDING = "auth.v1.AuthService", "funding.v1.FundingService"
NAME = "Ulla Berg"
DOCUMENT = {"fileName": "a.pdf", "mediaType": "application/pdf", "sizeBytes": "9", "sha256": "ab" * 32}


@dataclass(frozen=True, slots=True)
class Customer:
    """Somebody with a verified address, a second factor and a trading account."""

    rest: Rest
    token: str
    account_id: str

    def ask(self, method: str, **request: object) -> Json:
        answer: Json = self.rest.call(f"{FUNDING}.{method}", request, self.token)
        return answer

    def usd(self) -> tuple[str, str]:
        """Available and held."""
        asked = {"accountId": self.account_id}
        listed = self.rest.call("account.v1.AccountService.ListBalances", asked, self.token)
        return next(
            ((each["available"], each["held"]) for each in listed["balances"] if each["asset"] == "USD"), ("", "")
        )


def sql(venue: Venue, statement: str, *values: object) -> None:
    address = postgres_url(State(venue.state).secret("postgres"), venue.port("POSTGRES"))
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(statement, values)


@pytest.fixture(scope="module")
def customer(venue: Venue, rest: Rest) -> Customer:
    person = join(rest, "ulla")
    sql(venue, "UPDATE users SET email_verified = true WHERE email = %s", person.email)
    plain = log_in(rest, person.email)
    begun = rest.call(f"{AUTH}.EnrollTotp", {}, plain)
    rest.call(f"{AUTH}.ConfirmTotp", {"code": pyotp.TOTP(begun["secret"]).now()}, plain)
    given = {"email": person.email, "password": PASSWORD, "totpCode": begun["recoveryCodes"][0]}
    token = rest.call(f"{AUTH}.Login", given)["accessToken"]
    opened = rest.call("account.v1.AccountService.CreateAccount", {"type": "ACCOUNT_TYPE_TRADING"}, token)
    return Customer(rest, token, opened["account"]["accountId"])


def test_acc5_from_a_stranger_to_a_paid_withdrawal(venue: Venue, rest: Rest, customer: Customer) -> None:
    desk, native = Rest(f"http://127.0.0.1:{venue.port('ADMIN')}"), Native(f"127.0.0.1:{venue.port('ADMIN')}")
    ada: Administrator = seeded(venue, rest, desk, "admin@venue.local")
    ben: Administrator = seeded(venue, rest, native, "checker@venue.local")
    bank = {
        "label": "bank",
        "holderName": NAME,
        "accountNumber": "SE4550000000058398257466",
        "bankCode": "ESSESESS",
        "country": "SE",
    }
    assert said(lambda: customer.ask("CreateBeneficiary", **bank)) == ("PERMISSION_DENIED", "KYC_REQUIRED")
    documents = [DOCUMENT | {"type": f"KYC_DOCUMENT_TYPE_{kind}"} for kind in ("PASSPORT", "PROOF_OF_ADDRESS")]
    about = {"fullName": NAME, "birthDate": "1990-12-31", "country": "SE", "address": "Storgatan 1"}
    submitted = customer.ask("SubmitKyc", level="KYC_LEVEL_FULL", details=about | {"documents": documents})
    named = {"kycSubmissionId": submitted["submission"]["kycSubmissionId"]}
    assert named["kycSubmissionId"] in {
        each["kycSubmissionId"] for each in ada.ask("ListKycSubmissions", state="KYC_STATE_PENDING")["submissions"]
    }
    assert ben.ask("GetKycSubmission", **named)["details"]["fullName"] == NAME
    ada.ask("ReviewKyc", **named, decision="KYC_STATE_APPROVED", reason="as on the passport")
    assert customer.ask("GetKyc")["level"] == "KYC_LEVEL_FULL"
    to = customer.ask("CreateBeneficiary", **bank)["beneficiary"]["beneficiaryId"]
    wish = {
        "accountId": customer.account_id,
        "asset": "USD",
        "beneficiaryId": to,
        "provider": "PAYOUT_PROVIDER_SANDBOX",
    }
    assert said(lambda: customer.ask("CreateWithdrawal", **wish, amount="1"))[1] == "BENEFICIARY_COOLING"
    sql(venue, "UPDATE beneficiaries SET active_time = create_time WHERE beneficiary_id = %s", to)
    fund(customer, "9000")
    sql(venue, "UPDATE deposits SET update_time = update_time - interval '2 days'")
    small = unheard(venue, customer, wish | {"amount": "100"})

    def state(withdrawal: Json) -> str:
        asked = {"withdrawalId": withdrawal["withdrawalId"]}
        found: str = customer.ask("GetWithdrawal", **asked)["withdrawal"]["state"]
        return found.removeprefix("WITHDRAWAL_STATE_")

    eventually(lambda: state(small) == "SUCCEEDED", "the small one is paid")
    large = customer.ask("CreateWithdrawal", **wish, amount="6000")["withdrawal"]
    assert (large["state"], large["needsApproval"]) == ("WITHDRAWAL_STATE_ACCEPTED", True)
    assert customer.usd() == ("2910", "6000")
    decision = {"decision": "WITHDRAWAL_DECISION_APPROVE", "reason": "a known customer"}
    action = ada.ask("DecideWithdrawal", withdrawalId=large["withdrawalId"], **decision)["pendingAction"]
    assert action["decideWithdrawal"]["amount"] == "6000"
    approval = {"pendingActionId": action["pendingActionId"]}
    assert said(lambda: ada.ask("ApprovePendingAction", **approval))[1] == "SECOND_PERSON_NEEDED"
    assert state(large) == "ACCEPTED"
    assert ben.ask("ApprovePendingAction", **approval)["pendingAction"]["state"] == "PENDING_ACTION_STATE_EXECUTED"
    eventually(lambda: state(large) == "SUCCEEDED", "the large one is paid")
    assert customer.usd() == ("2910", "0")
    late = {"withdrawalId": large["withdrawalId"]}
    assert said(lambda: customer.ask("CancelWithdrawal", **late)) == (
        "FAILED_PRECONDITION", "WITHDRAWAL_NOT_CANCELLABLE",
    )  # fmt: skip
    stripe_pays_or_not(venue, customer, bank, wish)
    desk.close()
    native.close()


def unheard(venue: Venue, customer: Customer, wish: Json) -> Json:
    """Ask for a withdrawal whose answer is lost, and ask again (f22): there is one, and its amount is held once."""
    proxy = FaultProxy(venue.port("GATEWAY"))
    native = Native(f"127.0.0.1:{proxy.port}")
    method, asked, before = f"{FUNDING}.CreateWithdrawal", wish | {"requestId": str(uuid.uuid4())}, customer.usd()
    assert native.call(f"{FUNDING}.ListWithdrawals", {}, customer.token)["withdrawals"] == []
    lose(proxy, lambda: native.call(method, asked, customer.token), lambda: customer.usd() != before)
    again = [native.call(method, asked, customer.token) for _ in range(2)]
    assert [each["replayed"] for each in again] == [True, True]
    found: Json
    (found,) = native.call(f"{FUNDING}.ListWithdrawals", {}, customer.token)["withdrawals"]
    assert {each["withdrawal"]["withdrawalId"] for each in again} == {found["withdrawalId"]}
    assert customer.usd() in {("8910", "100"), ("8910", "0")}
    native.close()
    proxy.close()
    return found


def stripe_pays_or_not(venue: Venue, customer: Customer, bank: Json, wish: Json) -> None:
    """Stripe pays to banks of the United States, and tells us how it ended; an account that is closed is not paid."""
    for number, ends in (("000123456789", "SUCCEEDED"), ("000123450000", "FAILED")):
        us = bank | {"label": number, "accountNumber": number, "bankCode": "110000000", "country": "US"}
        there = customer.ask("CreateBeneficiary", **us)["beneficiary"]["beneficiaryId"]
        sql(venue, "UPDATE beneficiaries SET active_time = create_time WHERE beneficiary_id = %s", there)
        changed = wish | {"beneficiaryId": there, "provider": "PAYOUT_PROVIDER_STRIPE", "amount": "10"}
        named = {"withdrawalId": customer.ask("CreateWithdrawal", **changed)["withdrawal"]["withdrawalId"]}

        def ended(named: Json = named, ends: str = ends) -> bool:
            found = customer.ask("GetWithdrawal", **named)["withdrawal"]["state"]
            return bool(found == f"WITHDRAWAL_STATE_{ends}")

        eventually(ended, f"Stripe's payout {ends}")
        assert customer.usd() == ("2900", "0")


def fund(customer: Customer, amount: str) -> None:
    """Pay at the simulated checkout page, and wait for it."""
    asked = {"asset": "USD", "amount": amount, "provider": "DEPOSIT_PROVIDER_STRIPE"}
    deposit = customer.ask("CreateDeposit", accountId=customer.account_id, **asked)["deposit"]
    assert httpx.post(deposit["checkoutUrl"], data={"what": "pay"}).status_code == 303
    # With the bonus of a first one.
    eventually(lambda: customer.usd()[0] == "9010", "the account is funded")
