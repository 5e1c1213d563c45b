"""Payouts at Stripe, whose outcome comes later, and alerts: what people have to look at."""

import asyncio
import json

import grpc
import pytest

from db.audit import Actor, ActorKind
from db.models.withdrawals import WithdrawalRow
from servers.admin.alerts import AlertDesk
from servers.domain.errors import VenueError
from servers.funding.payouts import Payout, SandboxPayouts
from servers.transport.errors import from_call
from servers.transport.paging import PageTokens
from tests.integration.admin.conftest import user_id
from tests.integration.funding.conftest import Till, eventually
from tests.integration.funding.test_withdrawals import (
    ACCEPTED,
    ADA,
    CLEO,
    FAILED,
    PROCESSING,
    SUCCEEDED,
    known,
    state_of,
    withdraw,
)
from venue.account.v1 import account_pb2
from venue.admin.v1 import alert_pb2
from venue.funding.v1 import withdrawal_pb2 as pb
from venue.funding.v1.funding_pb2 import DEPOSIT_PROVIDER_MANUAL, DEPOSIT_STATE_SUCCEEDED


async def test_acc5_stripe_pays_once_and_says_later_how_it_ended(till: Till) -> None:
    account_id, to = await known(till)
    stripe = pb.PAYOUT_PROVIDER_STRIPE
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await withdraw(till, account_id, to, provider=stripe)
    assert from_call(failed.value).reason == "PROVIDER_UNAVAILABLE", "its bank is not in the United States"
    bank = {"holder_name": "Ulla Berg", "account_number": "000123456789", "bank_code": "110000000", "country": "US"}
    own = (await till.ask("ulla", pb.CreateBeneficiaryRequest(label="us", **bank))).beneficiary.beneficiary_id
    await till.rows("UPDATE beneficiaries SET active_time = create_time")
    # A company that is away is asked again under the same key, later.
    till.stripe.fault.statuses = [503, 503]
    paid = await withdraw(till, account_id, own, "100", provider=stripe)
    assert (paid.state, till.stripe.payouts.made) == (PROCESSING, {})
    await till.sweeper.sweep()
    ((payment_id, payment),) = till.stripe.payouts.made.items()
    assert (payment["amount"], payment["currency"], payment["status"]) == (10000, "usd", "processing")
    assert await state_of(till, paid) == PROCESSING
    posted = till.stripe.payout(payment_id, "posted")
    body, signature = till.stripe.signed(posted)
    assert await till.refused(till.send(body, signature[:-1] + ("0" if signature[-1] != "0" else "1"))) == (
        "UNAUTHENTICATED", "SIGNATURE_INVALID",
    )  # fmt: skip
    forged = json.loads(body) | {"id": "evt_other"}
    forged["data"]["object"]["amount"] = 1
    assert not (await till.tell(forged)).duplicate
    assert await state_of(till, paid) == PROCESSING, "of another amount"
    assert not (await till.tell(posted)).duplicate
    assert (await till.tell(posted)).duplicate
    assert await state_of(till, paid) == SUCCEEDED
    # What comes back before it was posted is free again; told first, and asked for where nobody tells.
    returned = await withdraw(till, account_id, own, "50", provider=stripe)
    lost = await withdraw(till, account_id, own, "25", provider=stripe)
    first, second = [each for each in till.stripe.payouts.made if each != payment_id]
    await till.tell(till.stripe.payout(first, "returned", "account_closed"))
    till.stripe.payouts.settle(second, "failed")
    await till.rows("UPDATE withdrawals SET next_time = now()")
    await till.sweeper.sweep()
    found = [
        (await till.ask("ulla", pb.GetWithdrawalRequest(withdrawal_id=each.withdrawal_id))).withdrawal
        for each in (returned, lost)
    ]
    assert [(each.state, each.failure_reason) for each in found] == [(FAILED, "ACCOUNT_CLOSED"), (FAILED, "FAILED")]
    assert await till.usd("ulla", account_id) == ("4910", "0", "4910")
    # Posted, and then sent back by the bank: for people. A late word of how it stood before changes nothing.
    await till.tell(till.stripe.payout(payment_id, "returned", "declined"))
    assert await state_of(till, paid) == SUCCEEDED
    assert ("PAYOUT_RETURNED", "OPEN") in await alerts_of(till)


async def test_of_a_payout_whose_key_is_forgotten_stripe_is_asked_before_it_pays_again(till: Till) -> None:
    account_id, _ = await known(till)
    bank = {"holder_name": "Ulla Berg", "account_number": "000123456789", "bank_code": "110000000", "country": "US"}
    own = (await till.ask("ulla", pb.CreateBeneficiaryRequest(label="us", **bank))).beneficiary.beneficiary_id
    await till.rows("UPDATE beneficiaries SET active_time = create_time")
    made = await withdraw(till, account_id, own, "100", provider=pb.PAYOUT_PROVIDER_STRIPE)
    # As after a crash between the answer and its record, and two days without a venue.
    await till.rows("UPDATE withdrawals SET payout_id = '', next_time = now(), update_time = now() - interval '2 days'")
    till.stripe.payouts.forgets_keys = True
    await till.sweeper.sweep()
    ((payment_id, _),) = till.stripe.payouts.made.items()
    await till.tell(till.stripe.payout(payment_id, "posted"))
    assert await state_of(till, made) == SUCCEEDED
    assert len(till.stripe.payouts.made) == 1


async def test_acc5_what_is_being_paid_is_neither_cancelled_nor_rejected(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    account_id, to = await known(till)
    is_asked, may_pay, pay = asyncio.Event(), asyncio.Event(), SandboxPayouts.pay

    async def slowly(company: SandboxPayouts, row: WithdrawalRow, target: bytes) -> Payout:
        is_asked.set()
        await may_pay.wait()
        return await pay(company, row, target)

    monkeypatch.setattr(SandboxPayouts, "pay", slowly)
    asking = asyncio.create_task(withdraw(till, account_id, to))
    await is_asked.wait()
    ((withdrawal_id,),) = await till.rows("SELECT withdrawal_id FROM withdrawals")
    cancel = pb.CancelWithdrawalRequest(withdrawal_id=withdrawal_id)
    late = await asyncio.gather(*(till.refused(till.ask("ulla", cancel)) for _ in range(3)))
    assert set(late) == {("FAILED_PRECONDITION", "WITHDRAWAL_NOT_CANCELLABLE")}
    with pytest.raises(VenueError, match="does not wait"):
        await till.compliance.reject(withdrawal_id, "too late", CLEO)
    may_pay.set()
    made = await asking
    for _ in range(2):
        await till.sweeper.sweep()
    assert await state_of(till, made) == SUCCEEDED
    assert (await till.usd("ulla", account_id), len(till.sandbox.paid)) == (("4910", "0", "4910"), 1)
    # Who hangs up meanwhile cuts nothing off that would wait until its claim is over.
    is_asked.clear()
    may_pay.clear()
    asking = asyncio.create_task(withdraw(till, account_id, to))
    await is_asked.wait()
    asking.cancel()
    # Asked over the same connection: by its answer the server knows that he has hung up.
    assert await state_of(till, made) == SUCCEEDED
    may_pay.set()

    async def is_known() -> bool:
        return len(await till.rows("SELECT 1 FROM withdrawals WHERE payout_id <> ''")) == 2

    await eventually(is_known)


async def alerts_of(till: Till) -> set[tuple[str, str]]:
    """Kinds and states."""
    return {(kind, state) for kind, state in await till.rows("SELECT kind, state FROM alerts")}


async def test_rsk6_odd_deposits_raise_an_alert_and_hold_withdrawals_up_until_it_is_closed(till: Till) -> None:
    account_id, to = await known(till)
    assert await alerts_of(till) == {("LARGE_MOVE", "OPEN")}
    assert not (await withdraw(till, account_id, to, "10")).needs_approval
    # Three a day, each just below what is large.
    for _ in range(3):
        deposit = await till.deposit("ulla", account_id, "1300")
        await till.tell(till.stripe.complete(till.session_of(deposit)))
    assert await alerts_of(till) == {("LARGE_MOVE", "OPEN"), ("DEPOSIT_FLAGGED", "OPEN")}
    assert (await till.usd("ulla", account_id))[2] == "8910", "what came is credited all the same"
    flagged = await withdraw(till, account_id, to, "10")
    assert (flagged.state, flagged.needs_approval) == (ACCEPTED, True)
    ((alert_id, details),) = await till.rows("SELECT alert_id, details FROM alerts WHERE kind = 'DEPOSIT_FLAGGED'")
    assert details["findings"] == ["several just below what is large within a day"]
    desk = AlertDesk(till.engine, PageTokens(b"k" * 32))
    closing = alert_pb2.CloseAlertRequest(alert_id=alert_id, note="a known customer")
    with pytest.raises(VenueError) as own:
        await desk.close(closing, Actor(ActorKind.USER, user_id("ulla")))
    assert own.value.reason == "OWN_ALERT"
    seen = await desk.acknowledge(alert_pb2.AcknowledgeAlertRequest(alert_id=alert_id), CLEO)
    again = await desk.acknowledge(alert_pb2.AcknowledgeAlertRequest(alert_id=alert_id), ADA)
    assert (seen.alert.acknowledger, again.alert.acknowledger) == (CLEO.name, CLEO.name)
    assert (await withdraw(till, account_id, to, "10")).needs_approval, "nobody has dealt with it yet"
    assert (await desk.close(closing, ADA)).alert.state == alert_pb2.ALERT_STATE_CLOSED
    for late, reason in ((closing, "ALERT_CLOSED"), (alert_pb2.CloseAlertRequest(alert_id="alr-x"), "ALERT_NOT_FOUND")):
        with pytest.raises(VenueError) as refused:
            await desk.close(late, ADA)
        assert refused.value.reason == reason
    assert not (await withdraw(till, account_id, to, "10")).needs_approval
    entries = await till.rows(
        "SELECT action FROM audit_entries WHERE object = %s ORDER BY sequence", f"alert/{alert_id}"
    )
    assert [action for (action,) in entries] == ["ALERT_ACKNOWLEDGE", "ALERT_CLOSE"]
    # Listed page by page, narrowed, the last raised first.
    page = await desk.search(alert_pb2.ListAlertsRequest(user_id=user_id("ulla"), page_size=1), "ada")
    rest = await desk.search(
        alert_pb2.ListAlertsRequest(user_id=user_id("ulla"), page_size=1, page_token=page.next_page_token), "ada"
    )
    first, then = [each for listed in (page, rest) for each in listed.alerts]
    assert first.alert_id != then.alert_id
    assert first.create_time.ToDatetime() >= then.create_time.ToDatetime()
    flags = alert_pb2.ListAlertsRequest(
        kind=alert_pb2.ALERT_KIND_WITHDRAWAL_FLAGGED, severity=alert_pb2.ALERT_SEVERITY_WARNING
    )
    assert {each.subject for each in (await desk.search(flags, "ada")).alerts} >= {
        f"withdrawal/{flagged.withdrawal_id}"
    }


async def test_rsk6_what_is_wrong_with_money_raises_an_alert_once(till: Till) -> None:
    account_id = await till.live("ulla")
    other = await till.deposit("ulla", account_id, "20")
    await till.tell(till.stripe.complete(till.session_of(other), cents=1))
    gone = await till.deposit("ulla", account_id, "50")
    await till.tell(till.stripe.complete(till.session_of(gone)))
    second = await till.live("ulla")
    move = account_pb2.CreateTransferRequest(from_account_id=account_id, to_account_id=second, asset="USD", amount="45")
    await till.customer("ulla").accounts.CreateTransfer(move, metadata=till.metadata("ulla"))
    await till.tell(till.stripe.refund(till.session_of(gone), 5000))
    for _ in range(2):
        await till.rows("UPDATE reversals SET try_time = now()")
        await till.sweeper.sweep()
    found = await till.rows("SELECT kind, severity, subject, user_id, raised FROM alerts ORDER BY create_time")
    assert found == [
        ("AMOUNT_MISMATCH", "WARNING", f"deposit/{other.deposit_id}", user_id("ulla"), 1),
        ("FUNDS_OWED", "WARNING", f"deposit/{gone.deposit_id}", user_id("ulla"), 2),
    ]
    # What the ledger does not take is tried again each minute, told of as often, and credited once it does.
    bank = await till.deposit("ulla", account_id, "30", provider=DEPOSIT_PROVIDER_MANUAL)
    strange = "UPDATE deposits SET asset = %s, state = 'PAID' WHERE deposit_id = %s"
    await till.rows(strange, "XYZ", bank.deposit_id)
    raised = "SELECT raised FROM alerts WHERE kind = 'DEPOSIT_NOT_CREDITED' AND severity = 'CRITICAL'"
    later = "UPDATE alerts SET update_time = update_time - interval '2 minutes'"
    for times in (1, 2):
        for _ in range(3):
            await till.sweeper.sweep()
        assert await till.rows(raised) == [(times,)]
        await till.rows(later)
    await till.rows(strange, "USD", bank.deposit_id)
    await till.sweeper.sweep()
    assert (await till.get("ulla", bank.deposit_id)).state == DEPOSIT_STATE_SUCCEEDED
    assert (await till.usd("ulla", account_id))[2] == "35"
