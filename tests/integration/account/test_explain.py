"""Balances of the past and what they are made of: each entry with its cause, and totals that go down to nothing."""

import time
from decimal import Decimal
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from db.proof import HoldDifference, look
from db.session import connect
from servers.domain.errors import VenueError
from tests.integration.account.conftest import User, Venue, refused
from tests.integration.account.test_conversions import accept, index, quote
from tests.integration.account.test_ledger import traded
from tests.integration.account.test_transfers import move
from tests.integration.account.test_wallet import DEPOSIT, WITHDRAWAL, moved
from venue.account.v1 import account_pb2 as pb
from venue.engine.v1 import engine_pb2
from venue.type.v1 import type_pb2


async def at(user: User, account_id: str, **fields: Any) -> dict[str, str]:
    request = pb.GetBalanceAtRequest(account_id=account_id, **fields)
    answer = await user.accounts.GetBalanceAt(request, metadata=user.metadata)
    return {each.asset: each.total for each in answer.balances}


async def explained(
    user: User, account_id: str, asset: str, page_size: int, position: str = ""
) -> list[pb.ExplainedEntry]:
    """All entries of a balance, page by page."""
    found: list[pb.ExplainedEntry] = []
    request = pb.ExplainBalanceRequest(account_id=account_id, asset=asset, page_size=page_size, min_position=position)
    while True:
        page = await user.accounts.ExplainBalance(request, metadata=user.metadata)
        found += page.entries
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def test_acc8_a_balance_of_the_past_is_the_sum_up_to_then(venue: Venue) -> None:
    ada, bob = venue.user("ada"), venue.user("bob")
    hers, _, position = await traded(ada, bob)
    first = await at(ada, hers, at_position=position)
    assert first == {asset: total for asset, (_, _, total) in (await ada.balances(hers)).items()}
    moment = Timestamp()
    moment.FromMicroseconds(time.time_ns() // 1000)
    later = await moved(venue, hers, "77", DEPOSIT)
    assert await at(ada, hers, at_position=later, asset="USD") == {"USD": str(Decimal(first["USD"]) + 77)}
    assert await at(ada, hers, at_position=position) == await at(ada, hers, at_time=moment) == first
    # Its own moment counts; the one before does not.
    (entry, *_) = await ada.entries(hers, "USD", min_position=later)
    assert await at(ada, hers, at_time=entry.create_time, asset="USD") == {"USD": str(Decimal(first["USD"]) + 77)}
    before = Timestamp()
    before.FromMicroseconds(entry.create_time.ToMicroseconds() - 1)
    assert await at(ada, hers, at_time=before) == first
    assert await at(ada, hers, at_time=Timestamp(seconds=1)) == {}
    assert await refused(at(bob, hers)) == ("NOT_FOUND", "ACCOUNT_NOT_FOUND")
    both = at(ada, hers, at_time=before, at_position=position)
    assert (await refused(both))[1] == "INVALID_FIELD"
    assert (await refused(at(ada, hers, at_position="1.1.1")))[0] == "INVALID_ARGUMENT"
    assert (await refused(at(ada, hers, at_position="x")))[1] == "POSITION_INVALID"


async def test_acc8_each_entry_of_a_balance_has_its_cause(venue: Venue) -> None:
    ada, bob = venue.user("ada"), venue.user("bob")
    hers, _, position = await traded(ada, bob)
    sold = (await ada.entries(hers, "ETH", min_position=position))[0].reference
    other = (await ada.open(name="other")).account.account_id
    sent = await move(ada, hers, other, "8")
    await index(venue, "ETH-USD", "3100")
    swapped = (await accept(ada, (await quote(ada, hers, "31")).quote_id)).conversion
    await moved(venue, hers, "5", DEPOSIT)
    position = await moved(venue, hers, "-2", WITHDRAWAL)
    credited, paid = [e.reference for e in (await ada.entries(hers, "USD", min_position=position))[1::-1]]
    # What a deposit and a withdrawal are is known by those who made them.
    await venue.run("INSERT INTO users (user_id, email, email_key, password_hash) VALUES ('ada', 'a', 'a', 'x')")
    await venue.run(
        "INSERT INTO deposits (deposit_id, user_id, account_id, asset, amount, provider, request_id, fingerprint, state,"
        " transfer_id, expire_time) VALUES ('dep-1', 'ada', %s, 'USD', 5, 'SANDBOX', '', '', 'SUCCEEDED', %s, now())",
        hers,
        credited,
    )
    told = await explained(ada, hers, "USD", 500, position)
    assert [await explained(ada, hers, "USD", size) for size in (1, 2, 3)] == [told] * 3
    causes = [each.cause for each in told]
    assert causes[0] == pb.EntryCause(transfer_id=paid)
    assert causes[1] == pb.EntryCause(transfer_id=credited, deposit_id="dep-1")
    assert causes[2] == pb.EntryCause(conversion_id=swapped.conversion_id)
    assert causes[3] == pb.EntryCause(transfer_id=sent.transfer.transfer_id)
    trade = pb.EntryCause(
        trade_id=sold,
        order_id=causes[4].order_id,
        symbol="ETH-USD",
        side=type_pb2.SIDE_SELL,
        price="3000.01",
        quantity="2",
    )
    # The fee and the trade that it is of.
    assert causes[4:6] == [trade, trade]
    assert causes[4].order_id.startswith("2-")
    assert causes[6] == pb.EntryCause(opened=True)
    # From what there is now down to nothing, each step an entry.
    totals = [Decimal(each.total) for each in told]
    assert totals[0] == Decimal((await ada.balances(hers))["USD"][2])
    assert [after - Decimal(each.entry.amount) for after, each in zip(totals, told, strict=True)] == [*totals[1:], 0]
    assert await refused(explained(bob, hers, "USD", 5)) == ("NOT_FOUND", "ACCOUNT_NOT_FOUND")
    request = pb.ExplainBalanceRequest(account_id=hers, asset="USD", page_size=2)
    token = (await ada.accounts.ExplainBalance(request, metadata=ada.metadata)).next_page_token
    request = pb.ExplainBalanceRequest(account_id=hers, asset="ETH", page_token=token)
    forged = ada.accounts.ExplainBalance(request, metadata=ada.metadata)
    assert (await refused(forged))[1] == "PAGE_TOKEN_INVALID"


async def test_acc8_what_is_held_is_what_orders_and_pending_transfers_hold(venue: Venue) -> None:
    ada, bob = venue.user("ada"), venue.user("bob")
    # An order of bob's rests.
    _, his, _ = await traded(ada, bob)
    body = engine_pb2.Transfer(
        transfer_id="2-held", debit_account_id=his, credit_account_id="venue:external", asset="USD", amount="10",
        kind=pb.ENTRY_KIND_WITHDRAWAL, pending=True,
    )  # fmt: skip
    (outcome,) = await venue.engines[2].submit([engine_pb2.Command(transfer=body)], None)
    assert not isinstance(outcome, VenueError)
    position = engine_pb2.Done.FromString(outcome).position
    await bob.entries(his, min_position=position)
    async with await connect(venue.database_url, application_name="test") as connection:
        good = await look(connection, 2, 10)
        assert (good.differing, good.holding) == ([], [])
        # Somebody lets go of what is held for the withdrawal.
        freed = (
            "UPDATE balances SET held = held - %s, available = available + %s WHERE account_id = %s AND asset = 'USD'"
        )
        await venue.run(freed, 10**9, 10**9, his)
        bad = await look(connection, 2, 10)
    held = 300601002000 + 10 * 10**8
    assert (bad.differing, bad.holding) == (
        [], [HoldDifference(his, "USD", 8, held - 10 * 10**8, held - 10 * 10**8, 10 * 10**8)],
    )  # fmt: skip
