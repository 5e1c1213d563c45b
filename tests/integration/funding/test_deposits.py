"""Deposits: paid, credited once, given back; whatever is told twice, out of order, wrongly or not at all."""

import asyncio
import uuid
from collections import Counter
from typing import Any

from db import reversals
from db.audit import Actor, ActorKind
from db.transactions import transaction
from servers.admin.executors import CONFIRM_DEPOSIT
from servers.admin.pending_actions import Wish
from servers.domain.letters import Template
from tests.integration.admin.conftest import user_id
from tests.integration.funding.conftest import Till, eventually
from venue.account.v1 import account_pb2
from venue.funding.v1 import funding_pb2 as pb

SUCCEEDED, PENDING = pb.DEPOSIT_STATE_SUCCEEDED, pb.DEPOSIT_STATE_PENDING
NOW = "UPDATE reversals SET try_time = now()"


async def paid(till: Till, amount: str = "50") -> tuple[str, pb.Deposit, str]:
    """A credited deposit of ulla's: account, deposit, Stripe's session."""
    account_id = await till.live("ulla")
    deposit = await till.deposit("ulla", account_id, amount)
    session_id = till.session_of(deposit)
    await till.tell(till.stripe.complete(session_id))
    return account_id, deposit, session_id


async def test_acc4_a_paid_deposit_is_credited_once_with_the_bonus_of_a_first_one(till: Till) -> None:
    account_id = await till.live("ulla")
    async with till.customer("ulla").stream(account_id) as frames:
        await frames.next_of("ready")
        await frames.next_of("snapshot")
        deposit = await till.deposit("ulla", account_id)
        assert (deposit.state, deposit.amount, deposit.account_id) == (PENDING, "250.5", account_id)
        told = till.stripe.complete(till.session_of(deposit))
        assert not (await till.tell(told)).duplicate
        assert await till.usd("ulla", account_id) == ("260.5", "0", "260.5")
        frame = await frames.next_of("event")
        assert [(each.asset, each.total) for each in frame.event.balances] == [("USD", "250.5")]
    # Told again, by the same event and by another: nothing more comes of it.
    assert (await till.tell(told)).duplicate
    again = told | {"id": "evt_other"}
    assert not (await till.tell(again)).duplicate
    await asyncio.gather(till.sweeper.sweep(), till.sweeper.sweep())
    found = await till.get("ulla", deposit.deposit_id)
    assert (found.state, found.checkout_url) == (SUCCEEDED, "")

    async def entered() -> bool:
        return len(await till.customer("ulla").entries(account_id, "USD")) == 2

    await eventually(entered)
    entries = await till.customer("ulla").entries(account_id, "USD")
    assert [(each.kind, each.amount, each.counterparty) for each in entries] == [
        (account_pb2.ENTRY_KIND_BONUS, "10", "venue:fees"),
        (account_pb2.ENTRY_KIND_DEPOSIT, "250.5", "venue:external"),
    ]
    assert entries[1].reference == found.transfer_id
    assert await till.mails() == [Template.DEPOSIT_CREDITED, Template.BONUS_CREDITED]
    # A second deposit brings no second bonus.
    second = await till.deposit("ulla", account_id, "100")
    # Of one payment five events are told at once, each under an id of its own, while the sweeper is at it too.
    told = till.stripe.complete(till.session_of(second))
    events = [till.tell(told | {"id": f"evt_{number}"}) for number in range(5)]
    await asyncio.gather(*events, till.sweeper.sweep(), till.sweeper.sweep())
    assert await till.usd("ulla", account_id) == ("360.5", "0", "360.5")
    assert await till.rows("SELECT count(*) FROM provider_events") == [(7,)]


async def test_acc4_the_same_request_begins_one_deposit_and_another_body_is_refused(till: Till) -> None:
    account_id = await till.live("ulla")
    request_id = str(uuid.uuid4())
    request = pb.CreateDepositRequest(
        account_id=account_id, asset="USD", amount="50", provider=pb.DEPOSIT_PROVIDER_STRIPE, request_id=request_id
    )
    answers = await asyncio.gather(*(till.ask("ulla", request) for _ in range(5)))
    assert len({each.deposit.deposit_id for each in answers}) == 1
    assert len({each.deposit.checkout_url for each in answers}) == 1
    assert sorted(each.replayed for each in answers) == [False, True, True, True, True]
    assert len(till.stripe.sessions) == 1
    request.amount = "51"
    assert await till.refused(till.ask("ulla", request)) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")


async def test_bad_wishes_have_a_reason_each_and_begin_nothing(till: Till) -> None:
    live = await till.live("ulla")
    demo = (await till.customer("ulla").open()).account.account_id
    theirs = await till.live("vera")

    async def reason(**changed: Any) -> str:
        fields: dict[str, Any] = {
            "account_id": live, "asset": "USD", "amount": "50", "provider": pb.DEPOSIT_PROVIDER_STRIPE,
        }  # fmt: skip
        return (await till.refused(till.ask("ulla", pb.CreateDepositRequest(**fields | changed))))[1]

    assert await reason(amount="0.001") == "AMOUNT_INVALID"
    assert await reason(asset="BTC") == "ASSET_UNKNOWN"
    assert await reason(provider=pb.DEPOSIT_PROVIDER_MANUAL, asset="EUR") == "ASSET_UNKNOWN"
    assert await reason(account_id=theirs) == "ACCOUNT_NOT_FOUND"
    assert await reason(account_id=demo) == "PROVIDER_UNAVAILABLE"
    assert await reason(provider=pb.DEPOSIT_PROVIDER_SANDBOX) == "PROVIDER_UNAVAILABLE"
    for amount in (
        "0", "-0", "0.00", "-1", "NaN", "Infinity", "1e3", "+1", " 1", "1 ", "1\n", "1.", ".5", "0x1", "1_000", "1,5", "١", "１",
        "1.0000000000000000001", str(2**127),
    ):  # fmt: skip
        assert await reason(amount=amount) == "INVALID_FIELD", amount
    assert await reason(provider=0) == "INVALID_FIELD"
    assert await till.rows("SELECT 1 FROM deposits") == []
    assert till.stripe.calls == 0
    assert await till.refused(till.get("vera", "dep-nothing")) == ("NOT_FOUND", "DEPOSIT_NOT_FOUND")
    mine = await till.deposit("ulla", live)
    assert await till.refused(till.get("vera", mine.deposit_id)) == ("NOT_FOUND", "DEPOSIT_NOT_FOUND")
    assert list((await till.ask("vera", pb.ListDepositsRequest())).deposits) == []


async def test_forged_stale_and_broken_events_move_nothing(till: Till) -> None:
    account_id = await till.live("ulla")
    deposit = await till.deposit("ulla", account_id)
    told = till.stripe.complete(till.session_of(deposit))
    body, signature = till.stripe.signed(told)
    invalid = ("UNAUTHENTICATED", "SIGNATURE_INVALID")
    assert await till.refused(till.send(body, "")) == invalid
    assert await till.refused(till.send(body, "t=1,v1=00")) == invalid
    assert await till.refused(till.send(body, signature[:-1] + ("0" if signature[-1] != "0" else "1"))) == invalid
    assert await till.refused(till.send(body.replace(b"25050", b"99999"), signature)) == invalid
    assert await till.refused(till.send(body + b" ", signature)) == invalid
    assert await till.refused(till.send(b"\xff", signature)) == invalid
    assert await till.refused(till.tell(told, at=told["created"] - 301)) == invalid
    assert await till.refused(till.tell(told, by="whsec_wrong")) == invalid
    broken: list[Any] = [[], {}, {"id": "evt_1", "type": "checkout.session.completed", "data": 3}]
    broken.append({"id": "evt_2", "object": "event", "type": "checkout.session.completed", "data": {"object": []}})
    session = {"id": "cs_1", "metadata": ["deposit_id"], "client_reference_id": deposit.deposit_id}
    broken.append({"id": "evt_3", "type": "checkout.session.completed", "data": {"object": session}})
    session = {"id": till.session_of(deposit), "client_reference_id": deposit.deposit_id, "payment_status": "paid"}
    odd: list[Any] = ["1e3", None, [], "25050.5"]
    for cents in odd:
        paid_so = session | {"currency": "usd", "amount_total": cents}
        broken.append({"id": "evt_4", "type": "checkout.session.completed", "data": {"object": paid_so}})
    for each in broken:
        assert await till.refused(till.tell(each)) == ("INVALID_ARGUMENT", "EVENT_MALFORMED"), each
    assert (await till.get("ulla", deposit.deposit_id)).state == PENDING
    assert await till.usd("ulla", account_id) == ("0", "0", "0")
    assert await till.rows("SELECT 1 FROM provider_events") == []
    # Signed with the secret that is being replaced it is as good.
    await till.tell(told, by="whsec_old")
    assert (await till.get("ulla", deposit.deposit_id)).state == SUCCEEDED


async def test_another_amount_is_not_credited_and_events_about_nothing_of_ours_are_taken(till: Till) -> None:
    account_id = await till.live("ulla")
    deposit = await till.deposit("ulla", account_id)
    await till.tell(till.stripe.complete(till.session_of(deposit), cents=1))
    found = await till.get("ulla", deposit.deposit_id)
    assert (found.state, found.failure_reason) == (pb.DEPOSIT_STATE_FAILED, "AMOUNT_MISMATCH")
    assert await till.mails() == [Template.DEPOSIT_FAILED]
    assert await till.usd("ulla", account_id) == ("0", "0", "0")
    # Given back by people: nothing was credited, so nothing of it is owed, for ever and by nobody.
    await till.tell(till.stripe.refund(till.session_of(deposit), 1))
    await till.sweeper.sweep()
    assert (await till.get("ulla", deposit.deposit_id)).owed_amount == "0"
    async with transaction(till.engine) as session:
        assert not await reversals.owes(session, user_id("ulla"))
    stranger = {"id": "cs_x", "client_reference_id": "order-7", "payment_status": "paid", "metadata": {}}
    told = {"id": "evt_x", "object": "event", "type": "checkout.session.completed", "data": {"object": stranger}}
    assert not (await till.tell(told)).duplicate
    plain = {"id": "evt_y", "object": "event", "type": "customer.created", "data": {"object": {"id": "cus_1"}}}
    assert not (await till.tell(plain)).duplicate


async def test_what_is_paid_in_days_is_credited_when_it_comes_in_whatever_order_that_is_told(till: Till) -> None:
    account_id = await till.live("ulla")
    slow, fails, backwards = [await till.deposit("ulla", account_id, amount) for amount in ("20", "30", "40")]
    await till.tell(till.stripe.complete(till.session_of(slow), paid=False))
    assert (await till.get("ulla", slow.deposit_id)).state == pb.DEPOSIT_STATE_PROCESSING
    await till.tell(till.stripe.settle(till.session_of(slow), succeeds=True))
    await till.tell(till.stripe.complete(till.session_of(fails), paid=False))
    await till.tell(till.stripe.settle(till.session_of(fails), succeeds=False))
    found = await till.get("ulla", fails.deposit_id)
    assert (found.state, found.failure_reason) == (pb.DEPOSIT_STATE_FAILED, "PAYMENT_FAILED")
    # Refunded, disputed and expired before anybody heard that it was paid.
    session_id = till.session_of(backwards)
    first = till.stripe.complete(session_id, paid=False)
    later = till.stripe.settle(session_id, succeeds=True)
    refund, dispute = till.stripe.refund(session_id, 1000), till.stripe.dispute(session_id, 500)
    for told in (till.stripe.expire(session_id), dispute, refund, later, first):
        await till.tell(told)
    await till.sweeper.sweep()
    found = await till.get("ulla", backwards.deposit_id)
    assert (found.state, found.refunded_amount, found.disputed_amount) == (SUCCEEDED, "10", "5")
    # 20 and 40 came, 10 went back, 5 are held.
    assert await till.usd("ulla", account_id) == ("45", "5", "50")


async def test_refunds_are_cumulative_and_disputes_held_until_they_are_decided(till: Till) -> None:
    account_id, deposit, session_id = await paid(till)
    first, second = till.stripe.refund(session_id, 500), till.stripe.refund(session_id, 300)
    for told in (second, first, second):
        await till.tell(told)
    lost, won = till.stripe.dispute(session_id, 1000), till.stripe.dispute(session_id, 700)
    await till.tell(lost)
    await till.tell(won)
    await till.sweeper.sweep()
    assert await till.usd("ulla", account_id) == ("25", "17", "42")
    ids = [each["data"]["object"]["id"] for each in (lost, won)]
    await till.tell(till.stripe.dispute(session_id, 1000, status="lost", dispute_id=ids[0]))
    await till.tell(till.stripe.dispute(session_id, 700, status="won", dispute_id=ids[1]))
    await till.sweeper.sweep()
    assert await till.usd("ulla", account_id) == ("32", "0", "32")
    # Told once more that it was created, and decided before it was held: as it was, and never held.
    await till.tell(lost | {"id": "evt_late"})
    await till.tell(till.stripe.dispute(session_id, 100, status="won"))
    await till.sweeper.sweep()
    found = await till.get("ulla", deposit.deposit_id)
    assert await till.usd("ulla", account_id) == ("32", "0", "32")
    assert (found.refunded_amount, found.disputed_amount, found.owed_amount) == ("8", "10", "0")
    # One of the refunds does not reach the payer: it stays taken until people give it back.
    await till.tell(till.stripe.fail_refund(session_id, 300))
    await till.sweeper.sweep()
    assert await till.usd("ulla", account_id) == ("32", "0", "32")
    ((subject, severity, details),) = await till.rows(
        "SELECT subject, severity, details FROM alerts WHERE kind = 'REFUND_FAILED'"
    )
    assert (subject, severity, details["amount"]) == (f"deposit/{deposit.deposit_id}", "CRITICAL", "3")
    told = Counter(await till.mails())
    assert told == {
        Template.DEPOSIT_CREDITED: 1, Template.DEPOSIT_HELD: 2, Template.DEPOSIT_RELEASED: 1, Template.DEPOSIT_REVERSED: 2,
    }  # fmt: skip


async def test_what_is_gone_already_is_owed_and_taken_when_it_is_there(till: Till) -> None:
    account_id, deposit, session_id = await paid(till)
    second = await till.live("ulla")
    move = account_pb2.CreateTransferRequest(from_account_id=account_id, to_account_id=second, asset="USD", amount="45")
    await till.customer("ulla").accounts.CreateTransfer(move, metadata=till.metadata("ulla"))
    await till.tell(till.stripe.refund(session_id, 5000))
    await till.sweeper.sweep()
    assert await till.usd("ulla", account_id) == ("5", "0", "5")
    assert (await till.get("ulla", deposit.deposit_id)).owed_amount == "50"
    move.from_account_id, move.to_account_id = second, account_id
    await till.customer("ulla").accounts.CreateTransfer(move, metadata=till.metadata("ulla"))
    await till.rows(NOW)
    await till.sweeper.sweep()
    assert await till.usd("ulla", account_id) == ("0", "0", "0")
    assert (await till.get("ulla", deposit.deposit_id)).owed_amount == "0"


async def test_a_company_that_does_not_answer_or_refuses_leaves_nothing_unknown(till: Till) -> None:
    account_id = await till.live("ulla")
    request = pb.CreateDepositRequest(
        account_id=account_id, asset="USD", amount="50", provider=pb.DEPOSIT_PROVIDER_STRIPE,
        request_id=str(uuid.uuid4()),
    )  # fmt: skip
    till.stripe.fault.statuses = [500, 503]
    assert (await till.refused(till.ask("ulla", request)))[0] == "UNAVAILABLE"
    assert till.stripe.calls == 2, "the library tried again"
    answer = await till.ask("ulla", request)
    assert answer.replayed
    assert answer.deposit.checkout_url
    till.stripe.fault.statuses = [400]
    request.request_id = str(uuid.uuid4())
    refused = ("FAILED_PRECONDITION", "DEPOSIT_REFUSED")
    assert await till.refused(till.ask("ulla", request)) == refused
    assert await till.refused(till.ask("ulla", request)) == refused, "the same request has the same answer"
    # Three failures in a row, and nobody asks for a while.
    till.stripe.fault.statuses = [500] * 6
    for _ in range(3):
        request.request_id = str(uuid.uuid4())
        assert (await till.refused(till.ask("ulla", request)))[0] == "UNAVAILABLE"
    calls = till.stripe.calls
    assert (await till.refused(till.ask("ulla", request)))[0] == "UNAVAILABLE"
    assert till.stripe.calls == calls


async def test_events_that_never_came_are_made_up_for_by_asking(till: Till) -> None:
    account_id = await till.live("ulla")
    lost, never = await till.deposit("ulla", account_id, "50"), await till.deposit("ulla", account_id, "60")
    slow, slower = await till.deposit("ulla", account_id, "20"), await till.deposit("ulla", account_id, "30")
    till.stripe.complete(till.session_of(lost))
    till.stripe.expire(till.session_of(never))
    # Two that are on their way for days: nobody tells that one of them has come.
    for each in (slow, slower):
        await till.tell(till.stripe.complete(till.session_of(each), paid=False))
    till.stripe.settle(till.session_of(slow), succeeds=True)
    await till.rows("UPDATE deposits SET expire_time = now()")
    await till.sweeper.sweep()
    assert (await till.get("ulla", lost.deposit_id)).state == SUCCEEDED
    assert (await till.get("ulla", never.deposit_id)).state == pb.DEPOSIT_STATE_EXPIRED
    assert (await till.get("ulla", slow.deposit_id)).state == SUCCEEDED
    assert (await till.get("ulla", slower.deposit_id)).state == pb.DEPOSIT_STATE_PROCESSING
    assert (await till.usd("ulla", account_id))[0] == "70"
    assert Counter(await till.mails()) == {Template.DEPOSIT_CREDITED: 2, Template.DEPOSIT_FAILED: 1}
    # The one that has not come is not asked for again at once.
    calls = till.stripe.calls
    await till.sweeper.sweep()
    assert till.stripe.calls == calls


async def test_a_bank_transfer_is_credited_once_two_people_have_seen_it(till: Till) -> None:
    account_id = await till.live("ulla")
    deposit = await till.deposit("ulla", account_id, "1000", provider=pb.DEPOSIT_PROVIDER_MANUAL)
    assert (len(deposit.payment_reference), deposit.payment_instructions) == (10, "IBAN 1")
    payload, subject = await till.desk.confirmable(deposit.deposit_id)
    assert subject == user_id("ulla")
    ada, ben = (Actor(ActorKind.USER, user_id(name)) for name in ("ada", "ben"))
    wishes = [
        Wish(kind=CONFIRM_DEPOSIT, payload=payload, subject=subject, reason=why, request_id="", fingerprint=b"")
        for why in ("seen", "seen again")
    ]
    actions = [(await till.pending.propose(wish, ada))[0].pending_action_id for wish in wishes]
    done = [await till.pending.approve(action, "", ben) for action in actions]
    assert [(each.state, each.failure) for each in done] == [("EXECUTED", ""), ("FAILED", "DEPOSIT_NOT_CONFIRMABLE")]
    await till.sweeper.sweep()
    assert (await till.get("ulla", deposit.deposit_id)).state == SUCCEEDED
    assert (await till.usd("ulla", account_id))[0] == "1010"


async def test_paper_funds_come_at_once(till: Till) -> None:
    demo = (await till.customer("ulla").open()).account.account_id
    deposit = await till.deposit("ulla", demo, "5", asset="BTC", provider=pb.DEPOSIT_PROVIDER_SANDBOX)
    assert deposit.state == SUCCEEDED
    assert (await till.customer("ulla").balances(demo))["BTC"][0] == "15"
    assert await till.rows("SELECT 1 FROM signup_bonuses") == []


async def test_deposits_are_listed_page_by_page(till: Till) -> None:
    account_id = await till.live("ulla")
    made = [
        await till.deposit("ulla", account_id, str(each), provider=pb.DEPOSIT_PROVIDER_MANUAL) for each in range(1, 6)
    ]
    found, token = [], ""
    while True:
        page = await till.ask("ulla", pb.ListDepositsRequest(account_id=account_id, page_size=2, page_token=token))
        found += [each.deposit_id for each in page.deposits]
        token = page.next_page_token
        if not token:
            break
    assert found == [each.deposit_id for each in reversed(made)]
    wrong = pb.ListDepositsRequest(page_size=2, page_token="x")
    assert (await till.refused(till.ask("ulla", wrong)))[1] == "PAGE_TOKEN_INVALID"
