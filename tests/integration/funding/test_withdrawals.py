"""Withdrawals: who may, how much, who looks at it; held, paid and posted once, or free again, whatever comes between."""

import asyncio
import uuid
from typing import Any

import grpc
import pytest

from db.audit import Actor, ActorKind
from servers.admin.executors import DECIDE_WITHDRAWAL
from servers.admin.pending_actions import Wish
from servers.domain.errors import PartUnavailable, VenueError
from servers.domain.letters import Template
from servers.transport.errors import from_call
from tests.integration.admin.conftest import user_id
from tests.integration.funding.conftest import Killed, Till, killing, spared
from venue.admin.v1 import admin_pb2
from venue.funding.v1 import funding_pb2, kyc_pb2
from venue.funding.v1 import withdrawal_pb2 as pb

ADA, BEN, CLEO = (Actor(ActorKind.USER, user_id(name)) for name in ("ada", "ben", "cleo"))
SANDBOX, MANUAL = pb.PAYOUT_PROVIDER_SANDBOX, pb.PAYOUT_PROVIDER_MANUAL
ACCEPTED, PROCESSING, SUCCEEDED, REJECTED, FAILED, CANCELLED = (
    pb.WITHDRAWAL_STATE_ACCEPTED, pb.WITHDRAWAL_STATE_PROCESSING, pb.WITHDRAWAL_STATE_SUCCEEDED,
    pb.WITHDRAWAL_STATE_REJECTED, pb.WITHDRAWAL_STATE_FAILED, pb.WITHDRAWAL_STATE_CANCELLED,
)  # fmt: skip


def details(name: str = "Ulla Berg", **changed: Any) -> kyc_pb2.KycDetails:
    document = kyc_pb2.KycDocument(
        type=kyc_pb2.KYC_DOCUMENT_TYPE_PASSPORT,
        file_name="p.jpg",
        media_type="image/jpeg",
        size_bytes=9,
        sha256="ab" * 32,
    )
    fields: dict[str, Any] = {"birth_date": "1990-12-31", "country": "SE", "documents": [document]}
    return kyc_pb2.KycDetails(full_name=name, **fields | changed)


async def submit(till: Till, name: str, of: kyc_pb2.KycDetails, **more: Any) -> kyc_pb2.KycSubmission:
    request = funding_pb2.SubmitKycRequest(level=kyc_pb2.KYC_LEVEL_BASIC, details=of, **more)
    found: kyc_pb2.KycSubmission = (await till.ask(name, request)).submission
    return found


def review(submission: kyc_pb2.KycSubmission, *, good: bool = True) -> admin_pb2.ReviewKycRequest:
    decision = kyc_pb2.KYC_STATE_APPROVED if good else kyc_pb2.KYC_STATE_REJECTED
    return admin_pb2.ReviewKycRequest(
        kyc_submission_id=submission.kyc_submission_id, decision=decision, reason="as on the passport"
    )


async def known(till: Till, funds: str = "5000", holder: str = "Ulla Berg") -> tuple[str, str]:
    """Ulla, approved, with funds that came two days ago, and a beneficiary that has cooled off: account and beneficiary."""
    await till.compliance.review(review(await submit(till, "ulla", details())), CLEO)
    account_id = await till.live("ulla")
    deposit = await till.deposit("ulla", account_id, funds)
    await till.tell(till.stripe.complete(till.session_of(deposit)))
    await till.rows("UPDATE deposits SET update_time = update_time - interval '2 days'")
    return account_id, await beneficiary(till, holder)


async def beneficiary(till: Till, holder: str = "Ulla Berg") -> str:
    request = pb.CreateBeneficiaryRequest(
        label="bank", holder_name=holder, account_number="SE4550000000058398257466", bank_code="ESSESESS", country="SE"
    )
    found: str = (await till.ask("ulla", request)).beneficiary.beneficiary_id
    await till.rows("UPDATE beneficiaries SET active_time = create_time")
    return found


async def withdraw(till: Till, account_id: str, to: str, amount: str = "100", **more: Any) -> pb.Withdrawal:
    fields: dict[str, Any] = {"asset": "USD", "provider": SANDBOX} | more
    request = pb.CreateWithdrawalRequest(account_id=account_id, beneficiary_id=to, amount=amount, **fields)
    found: pb.Withdrawal = (await till.ask("ulla", request)).withdrawal
    return found


async def state_of(till: Till, withdrawal: pb.Withdrawal) -> "pb.WithdrawalState.ValueType":
    request = pb.GetWithdrawalRequest(withdrawal_id=withdrawal.withdrawal_id)
    found: pb.Withdrawal = (await till.ask("ulla", request)).withdrawal
    return found.state


async def decide(till: Till, withdrawal: pb.Withdrawal, decision: str) -> tuple[str, str]:
    """Ada proposes, Ben approves: how the action ended. Raises VenueError."""
    payload, subject = await till.compliance.decidable(withdrawal.withdrawal_id, decision)
    wish = Wish(kind=DECIDE_WITHDRAWAL, payload=payload, subject=subject, reason="seen", request_id="", fingerprint=b"")
    action, _ = await till.pending.propose(wish, ADA)
    done = await till.pending.approve(action.pending_action_id, "", BEN)
    return done.state, done.failure


async def test_acc7_what_somebody_says_of_himself_is_sealed_screened_and_looked_at(till: Till) -> None:
    request_id = str(uuid.uuid4())
    submission = await submit(till, "ulla", details("Ïvan  LISTED"), request_id=request_id)
    assert submission == await submit(till, "ulla", details("Ïvan  LISTED"), request_id=request_id)
    other = funding_pb2.SubmitKycRequest(level=kyc_pb2.KYC_LEVEL_BASIC, details=details(), request_id=request_id)
    assert (await till.refused(till.ask("ulla", other)))[1] == "REQUEST_ID_REUSED"
    other.request_id = ""
    assert await till.refused(till.ask("ulla", other)) == ("FAILED_PRECONDITION", "KYC_PENDING")
    (stored,) = await till.rows("SELECT details, risk_score FROM kyc_submissions")
    assert b"LISTED" not in bytes(stored[0])
    assert stored[1] == 100
    looked = await till.compliance.look(submission.kyc_submission_id)
    assert (looked.details.full_name, looked.details.documents[0].file_name) == ("Ïvan  LISTED", "p.jpg")
    assert looked.screening.risk_score == 100
    page = await till.compliance.queue(admin_pb2.ListKycSubmissionsRequest(state=kyc_pb2.KYC_STATE_PENDING), "ada")
    assert [each.kyc_submission_id for each in page.submissions] == [submission.kyc_submission_id]
    with pytest.raises(VenueError, match="somebody else"):
        await till.compliance.review(review(submission), Actor(ActorKind.USER, user_id("ulla")))
    await till.compliance.review(review(submission, good=False), CLEO)
    with pytest.raises(VenueError, match="decided already"):
        await till.compliance.review(review(submission), CLEO)
    assert (await till.ask("ulla", funding_pb2.GetKycRequest())).level == 0
    # Rejected, he may say it again; approved, he has the level and says it no more.
    await till.compliance.review(review(await submit(till, "ulla", details())), CLEO)
    assert await till.mails() == [Template.KYC_REFUSED, Template.KYC_APPROVED]
    found = await till.ask("ulla", funding_pb2.GetKycRequest())
    assert (found.level, found.allowance.day_limit, found.allowance.day_used) == (kyc_pb2.KYC_LEVEL_BASIC, "2000", "0")
    assert (await till.refused(till.ask("ulla", other)))[1] == "KYC_LEVEL_HELD"


async def test_a_submission_that_says_nonsense_is_refused_with_its_field(till: Till) -> None:
    async def fields(of: kyc_pb2.KycDetails, level: int = 1) -> set[str]:
        request = funding_pb2.SubmitKycRequest(level=level, details=of)  # type: ignore[arg-type]
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await till.ask("ulla", request)
        error = from_call(failed.value)
        assert error.reason == "INVALID_FIELD", error
        return {each.field for each in getattr(error, "violations", ())}

    large = kyc_pb2.KycDocument(
        type=kyc_pb2.KYC_DOCUMENT_TYPE_PASSPORT, file_name="p", media_type="image/jpeg", size_bytes=10485761,
        sha256="ab" * 32,
    )  # fmt: skip
    assert await fields(details(birth_date="1990-02-31")) == {"details.birth_date"}
    assert await fields(details(birth_date="2999-01-01")) == {"details.birth_date"}
    assert await fields(details(country="se")) == {"details.country"}
    assert await fields(details(documents=[large])) == {"details.documents[0].size_bytes"}
    assert await fields(details(documents=[])) == {"details.documents"}
    assert await fields(details(), level=2) == {"details.address", "details.documents"}
    assert await till.rows("SELECT 1 FROM kyc_submissions") == []


async def test_acc5_a_withdrawal_is_held_paid_and_posted_once(till: Till) -> None:
    account_id, to = await known(till)
    request_id = str(uuid.uuid4())
    made = await withdraw(till, account_id, to, request_id=request_id)
    assert (made.state, made.needs_approval) == (PROCESSING, False)
    assert await till.usd("ulla", account_id) == ("4910", "100", "5010")
    again = await asyncio.gather(*(withdraw(till, account_id, to, request_id=request_id) for _ in range(4)))
    assert {each.withdrawal_id for each in again} == {made.withdrawal_id}
    await asyncio.gather(*(till.sweeper.sweep() for _ in range(3)))
    assert await state_of(till, made) == SUCCEEDED
    assert await till.usd("ulla", account_id) == ("4910", "0", "4910")
    assert len(till.sandbox.paid) == 1
    assert (await till.mails())[-2:] == [Template.WITHDRAWAL_REQUESTED, Template.WITHDRAWAL_SENT]
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await withdraw(till, account_id, to, "101", request_id=request_id)
    assert from_call(failed.value).reason == "REQUEST_ID_REUSED"
    assert (await till.ask("ulla", pb.ListWithdrawalsRequest(account_id=account_id))).withdrawals[0].state == SUCCEEDED


async def test_acc5_who_may_not_is_told_why_and_nothing_is_held(till: Till) -> None:
    account_id = await till.live("ulla")
    nobody = pb.CreateWithdrawalRequest(
        account_id=account_id, asset="USD", amount="1", beneficiary_id="ben-x", provider=SANDBOX
    )
    assert await till.refused(till.ask("ulla", nobody)) == ("PERMISSION_DENIED", "KYC_REQUIRED")
    plain = (("authorization", f"Bearer {till.keys.token(sub=user_id('ulla'), sid='ses-ulla', scope='withdraw')}"),)
    stub = till.stub.CreateWithdrawal(nobody, metadata=plain)
    assert await till.refused(stub) == ("FAILED_PRECONDITION", "SECOND_FACTOR_MISSING")
    account_id, to = await known(till)
    demo = (await till.customer("ulla").open()).account.account_id
    new = await beneficiary(till)
    await till.rows("UPDATE beneficiaries SET active_time = now() + interval '1 hour' WHERE beneficiary_id = %s", new)

    async def reason(**changed: Any) -> str:
        fields: dict[str, Any] = {"account_id": account_id, "to": to} | changed
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await withdraw(till, fields.pop("account_id"), fields.pop("to"), fields.pop("amount", "10"), **fields)
        return from_call(failed.value).reason

    assert await reason(account_id=demo) == "PROVIDER_UNAVAILABLE"
    assert await reason(account_id=await till.live("vera")) == "ACCOUNT_NOT_FOUND"
    assert await reason(to=new) == "BENEFICIARY_COOLING"
    assert await reason(to="ben-nobody") == "BENEFICIARY_NOT_FOUND"
    veras = await beneficiary(till)
    await till.rows("UPDATE beneficiaries SET user_id = %s WHERE beneficiary_id = %s", user_id("vera"), veras)
    assert await reason(to=veras) == "BENEFICIARY_NOT_FOUND"
    removed = till.ask("ulla", pb.DeleteBeneficiaryRequest(beneficiary_id=veras))
    assert await till.refused(removed) == ("NOT_FOUND", "BENEFICIARY_NOT_FOUND")
    assert await reason(asset="BTC") == "ASSET_UNKNOWN"
    assert await reason(amount="0.001") == "AMOUNT_INVALID"
    for amount in ("-1", "0", "-0", "1e3", "+1", " 1", "1\n", "1.", "0x1", "١", str(2**127)):
        assert await reason(amount=amount) == "INVALID_FIELD", amount
    assert await reason(amount="2000.01") == "WITHDRAWAL_LIMIT"
    assert await till.rows("SELECT 1 FROM withdrawals") == []
    await till.ask("ulla", pb.DeleteBeneficiaryRequest(beneficiary_id=to))
    assert await reason() == "BENEFICIARY_NOT_FOUND"
    # More than there is: written down, and rejected.
    await till.rows("UPDATE beneficiaries SET active_time = create_time")
    poor = await withdraw(till, await till.live("ulla"), new, "50")
    assert (poor.state, poor.failure_reason) == (REJECTED, "INSUFFICIENT_FUNDS")
    assert await till.usd("ulla", account_id) == ("5010", "0", "5010")


async def test_acc5_limits_hold_over_a_day_and_over_a_month_also_for_many_at_once(till: Till) -> None:
    account_id, to = await known(till)
    outcomes = await asyncio.gather(*(withdraw(till, account_id, to, "700") for _ in range(5)), return_exceptions=True)
    made = [each for each in outcomes if isinstance(each, pb.Withdrawal)]
    assert len(made) == 2
    assert {from_call(each).reason for each in outcomes if isinstance(each, grpc.aio.AioRpcError)} == {
        "WITHDRAWAL_LIMIT"
    }
    await till.rows("UPDATE withdrawals SET create_time = create_time - interval '25 hours'")
    await withdraw(till, account_id, to, "1600", provider=MANUAL)
    await till.rows("UPDATE withdrawals SET create_time = create_time - interval '25 hours'")
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await withdraw(till, account_id, to, "0.01")
    assert from_call(failed.value).metadata == {"limit": "3000", "used": "3000", "window": "30d"}


async def test_acc5_adm4_above_the_threshold_two_people_approve_and_it_can_be_cancelled_before(till: Till) -> None:
    account_id, to = await known(till)
    large, cancelled, refused = [await withdraw(till, account_id, to, amount) for amount in ("1000", "500", "200")]
    assert (large.state, large.needs_approval) == (ACCEPTED, True)
    await till.sweeper.sweep()
    assert await state_of(till, large) == ACCEPTED
    assert await decide(till, large, "APPROVE") == ("EXECUTED", "")
    with pytest.raises(VenueError, match="does not wait"):
        await till.compliance.decidable(large.withdrawal_id, "APPROVE")
    await till.sweeper.sweep()
    await till.sweeper.sweep()
    assert await state_of(till, large) == SUCCEEDED
    assert {cancelled.state, refused.state} == {PROCESSING}, "small ones go at once"
    again = pb.CancelWithdrawalRequest(withdrawal_id=large.withdrawal_id)
    assert await till.refused(till.ask("ulla", again)) == ("FAILED_PRECONDITION", "WITHDRAWAL_NOT_CANCELLABLE")
    assert await till.refused(till.ask("vera", again)) == ("NOT_FOUND", "WITHDRAWAL_NOT_FOUND")
    await till.rows("UPDATE withdrawals SET create_time = create_time - interval '25 hours'")
    before = await till.usd("ulla", account_id)
    waiting = await withdraw(till, account_id, to, "1200")
    cancel = pb.CancelWithdrawalRequest(withdrawal_id=waiting.withdrawal_id)
    for _ in range(2):
        assert (await till.ask("ulla", cancel)).withdrawal.state == CANCELLED
    assert await till.usd("ulla", account_id) == before
    # Refused by one person, at once.
    unwanted = await withdraw(till, account_id, to, "1100")
    await till.compliance.reject(unwanted.withdrawal_id, "not this one", CLEO)
    await till.sweeper.sweep()
    found = (await till.ask("ulla", pb.GetWithdrawalRequest(withdrawal_id=unwanted.withdrawal_id))).withdrawal
    assert (found.state, found.failure_reason) == (REJECTED, "REVIEW")
    assert await till.usd("ulla", account_id) == before


async def test_acc7_monitoring_refuses_lists_and_flags_what_looks_odd(till: Till) -> None:
    account_id, listed = await known(till, holder="Ivan Listed")
    refused = await withdraw(till, account_id, listed, "10")
    await till.sweeper.sweep()
    found = (await till.ask("ulla", pb.GetWithdrawalRequest(withdrawal_id=refused.withdrawal_id))).withdrawal
    assert (found.state, found.failure_reason) == (REJECTED, "RISK")
    other, own = await beneficiary(till, "Vera Strand"), await beneficiary(till, "BERG, Ulla")
    assert (await withdraw(till, account_id, other, "10")).needs_approval
    assert not (await withdraw(till, account_id, own, "10")).needs_approval
    # Three just below what people look at.
    await till.rows("UPDATE withdrawals SET create_time = create_time - interval '25 hours'")
    flagged = [(await withdraw(till, account_id, own, "800")).needs_approval for _ in range(2)]
    assert flagged == [False, False]
    seen = await till.compliance.list_withdrawals(admin_pb2.ListCustomerWithdrawalsRequest(), "ada")
    lines = {line for each in seen.withdrawals for line in each.screening.findings}
    assert "the holder has another name than the user" in lines
    # In and straight out again.
    await till.rows("UPDATE withdrawals SET create_time = create_time - interval '31 days'")
    deposit = await till.deposit("ulla", account_id, "500")
    await till.tell(till.stripe.complete(till.session_of(deposit)))
    assert (await withdraw(till, account_id, own, "490")).needs_approval
    # What came is counted in dollars, of whatever asset it is: 400 EUR are 500 USD.
    await till.rows("UPDATE deposits SET update_time = update_time - interval '2 days'")
    deposit = await till.deposit("ulla", account_id, "400", asset="EUR")
    await till.tell(till.stripe.complete(till.session_of(deposit)))
    await till.rows("UPDATE withdrawals SET create_time = create_time - interval '31 days'")
    assert not (await withdraw(till, account_id, own, "399.99")).needs_approval
    # Nor does it help to take it out in parts.
    assert (await withdraw(till, account_id, own, "0.01")).needs_approval
    # All at once nobody has seen the other ones: each is looked at behind the one before it.
    await till.rows("UPDATE withdrawals SET create_time = create_time - interval '31 days'")
    await till.rows("UPDATE kyc_submissions SET level = 2")
    await till.rows("UPDATE deposits SET update_time = update_time - interval '2 days'")
    made = await asyncio.gather(*(withdraw(till, account_id, own, "810") for _ in range(5)))
    assert sorted(each.needs_approval for each in made) == [False, False, True, True, True]


async def test_acc5_what_the_company_does_not_pay_is_free_again_and_one_that_is_away_is_asked_again(till: Till) -> None:
    account_id, to = await known(till)
    till.sandbox.away = True
    made = await withdraw(till, account_id, to)
    assert made.state == PROCESSING
    with pytest.raises(PartUnavailable):
        await till.out.settling.go_on(made.withdrawal_id)
    till.sandbox.away, till.sandbox.closed = False, True
    await till.sweeper.sweep()
    found = (await till.ask("ulla", pb.GetWithdrawalRequest(withdrawal_id=made.withdrawal_id))).withdrawal
    assert (found.state, found.failure_reason) == (FAILED, "ACCOUNT_CLOSED")
    assert await till.usd("ulla", account_id) == ("5010", "0", "5010")
    # By bank transfer people say what has become of it.
    paid, unpaid = [await withdraw(till, account_id, to, "100", provider=MANUAL) for _ in range(2)]
    assert await decide(till, paid, "PAID") == ("EXECUTED", "")
    assert await decide(till, unpaid, "NOT_PAID") == ("EXECUTED", "")
    await till.sweeper.sweep()
    assert [await state_of(till, each) for each in (paid, unpaid)] == [SUCCEEDED, FAILED]
    assert await till.usd("ulla", account_id) == ("4910", "0", "4910")


async def test_nothing_goes_out_while_something_is_owed_or_its_user_is_frozen(till: Till) -> None:
    account_id, to = await known(till)
    waiting = await withdraw(till, account_id, to, "1000")
    await till.rows("UPDATE users SET status = 'FROZEN' WHERE user_id = %s", user_id("ulla"))
    await decide(till, waiting, "APPROVE")
    await till.sweeper.sweep()
    assert await state_of(till, waiting) == ACCEPTED
    await till.rows("UPDATE users SET status = 'ACTIVE' WHERE user_id = %s", user_id("ulla"))
    ((deposit_id, session_id),) = await till.rows("SELECT deposit_id, session_id FROM deposits")
    del deposit_id
    await till.tell(till.stripe.refund(session_id, 500000))
    await till.sweeper.sweep()
    await till.sweeper.sweep()
    assert await state_of(till, waiting) == ACCEPTED
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await withdraw(till, account_id, to, "1")
    assert from_call(failed.value).reason == "FUNDS_OWED"


POINTS = (
    "withdrawal-written", "withdrawal-held", "withdrawal-accepted", "withdrawal-processing", "payout-made",
    "withdrawal-resolved",
)  # fmt: skip


async def test_what_is_cancelled_after_a_crash_at_any_step_is_free_again_or_paid_once(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the process itself ends at each place, and all is paid once, tests/chaos/test_funding.py shows."""
    account_id, to = await known(till)
    row: Any = None
    left = 5010
    for point in POINTS:
        ended = await ended_by(till, account_id, to, point, monkeypatch)
        ((withdrawal_id, state),) = await till.rows(
            "SELECT withdrawal_id, state FROM withdrawals ORDER BY create_time DESC LIMIT 1"
        )
        row = pb.Withdrawal(withdrawal_id=withdrawal_id)
        goes = state not in {"PREPARED", "ACCEPTED"}
        if not goes:
            await till.ask("ulla", pb.CancelWithdrawalRequest(withdrawal_id=withdrawal_id))
        for _ in range(3):
            await till.sweeper.sweep()
        left -= 100 if goes else 0
        assert ended, point
        assert await state_of(till, row) == (SUCCEEDED if goes else CANCELLED), point
        assert await till.usd("ulla", account_id) == (str(left), "0", str(left)), point
    assert len(till.sandbox.paid) == (5010 - left) // 100


async def ended_by(till: Till, account_id: str, to: str, point: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Ask for 100 and be ended at a place. Returns whether it came to that."""
    request = pb.CreateWithdrawalRequest(
        account_id=account_id, asset="USD", amount="100", beneficiary_id=to, provider=SANDBOX
    )

    async def go() -> None:
        row, _ = await till.out.requesting.create(request, till.call("ulla"))
        for _ in range(3):
            await till.out.settling.go_on(row.withdrawal_id)

    killing(monkeypatch, point)
    with pytest.raises(Killed):
        await go()
    return spared(monkeypatch)
