"""Payouts at Stripe: paid once, with an outcome that comes later, whatever is told twice, wrongly, late or not at all."""

import json

import grpc
import pytest

from servers.transport.errors import from_call
from tests.integration.funding.conftest import Till
from tests.integration.funding.test_withdrawals import FAILED, PROCESSING, SUCCEEDED, known, state_of, withdraw
from venue.funding.v1 import withdrawal_pb2 as pb


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
