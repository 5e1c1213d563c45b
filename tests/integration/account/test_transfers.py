"""Transfers between a user's own accounts, within a partition and to another one."""

import asyncio
import uuid
from typing import Any

import grpc
import pytest

from servers.domain.errors import VenueError
from servers.engine import transit
from tests.integration.account.conftest import FAR_MARKET, User, Venue, refused
from venue.account.v1 import account_pb2 as pb
from venue.engine.v1 import engine_pb2

PENDING, POSTED, VOIDED = pb.TRANSFER_STATE_PENDING, pb.TRANSFER_STATE_POSTED, pb.TRANSFER_STATE_VOIDED


async def move(
    user: User, source: str, target: str, amount: str = "250.50", **fields: Any
) -> pb.CreateTransferResponse:
    request = pb.CreateTransferRequest(
        from_account_id=source, to_account_id=target, **{"asset": "USD", "amount": amount, **fields}
    )
    return await user.accounts.CreateTransfer(request, metadata=user.metadata)


async def resolved(user: User, transfer_id: str) -> pb.Transfer:
    """The transfer once it is not pending any more; before it is in the tables nobody knows it, for no position is asked for."""
    request = pb.GetTransferRequest(transfer_id=transfer_id)
    async with asyncio.timeout(10):
        while True:
            try:
                found = (await user.accounts.GetTransfer(request, metadata=user.metadata)).transfer
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.NOT_FOUND:
                    raise
            else:
                if found.state != PENDING:
                    return found
            await asyncio.sleep(0.02)


async def usd(user: User, account_id: str) -> tuple[str, str]:
    """Available and held."""
    available, held, _ = (await user.balances(account_id))["USD"]
    return available, held


async def test_within_a_partition_it_is_done_at_once_and_once(venue: Venue) -> None:
    ada = venue.user("ada")
    first, second = [(await ada.open(name=name)).account.account_id for name in ("a", "b")]
    request_id = str(uuid.uuid4())
    made = await move(ada, first, second, request_id=request_id)
    assert (made.transfer.state, made.transfer.amount, made.replayed) == (POSTED, "250.5", False)
    again = await move(ada, first, second, request_id=request_id.upper())
    assert (again.transfer, again.position, again.replayed) == (made.transfer, made.position, True)
    assert [await usd(ada, account_id) for account_id in (first, second)] == [("99749.5", "0"), ("100250.5", "0")]
    assert await resolved(ada, made.transfer.transfer_id) == made.transfer
    (paid,) = (await ada.entries(first, "USD", min_position=made.position))[:1]
    assert (paid.amount, paid.reference, paid.counterparty) == ("-250.5", made.transfer.transfer_id, "")
    reused = move(ada, first, second, "1", request_id=request_id)
    assert await refused(reused) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")


async def test_to_another_partition_it_is_carried_as_it_is_made(venue: Venue, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not when the carrier next looks whether anything is on its way."""
    until_looked_s = transit.PATROL_S
    monkeypatch.setattr(transit, "PATROL_S", 60)
    ada = venue.user("ada")
    near = (await ada.open()).account.account_id
    far = (await ada.open(symbol=FAR_MARKET)).account.account_id
    await asyncio.sleep(until_looked_s + 0.2)
    for source, target in ((near, far), (far, near), (near, far)):
        made = await move(ada, source, target, "100")
        assert (await resolved(ada, made.transfer.transfer_id)).state == POSTED


async def test_to_another_partition_it_is_held_then_there(venue: Venue) -> None:
    ada = venue.user("ada")
    near = (await ada.open()).account.account_id
    far = (await ada.open(symbol=FAR_MARKET)).account.account_id
    assert far.startswith("demo-3-")
    assert len((await ada.accounts.ListAccounts(pb.ListAccountsRequest(), metadata=ada.metadata)).accounts) == 2
    made = [await move(ada, near, far, "100") for _ in range(3)] + [await move(ada, far, near, "30")]
    assert {m.transfer.state for m in made} == {PENDING}
    done = [await resolved(ada, m.transfer.transfer_id) for m in made]
    assert {(t.state, t.to_account_id) for t in done} == {(POSTED, far), (POSTED, near)}
    assert [await usd(ada, account_id) for account_id in (near, far)] == [("99730", "0"), ("100270", "0")]
    entries = await ada.entries(far, "USD", min_position=made[-1].position)
    assert ("transit:2", "100") in {(entry.counterparty, entry.amount) for entry in entries}


async def test_what_the_receiver_refuses_is_free_again(venue: Venue) -> None:
    ada = venue.user("ada")
    near = (await ada.open()).account.account_id
    transfer_id = f"2-{uuid.uuid4().hex}"
    body = engine_pb2.Transfer(
        transfer_id=transfer_id,
        debit_account_id=near,
        credit_account_id="transit:3",
        asset="USD",
        amount="7",
        kind=pb.ENTRY_KIND_TRANSFER,
        pending=True,
        receiver_account_id="demo-3-nobody",
    )
    (taken,) = await venue.engines[2].submit([engine_pb2.Command(user_id="ada", transfer=body)], None)
    assert not isinstance(taken, VenueError)
    assert (await resolved(ada, transfer_id)).state == VOIDED
    assert await usd(ada, near) == ("100000", "0")


async def test_only_own_accounts_of_one_environment(venue: Venue) -> None:
    ada, bob = venue.user("ada"), venue.user("bob")
    hers = (await ada.open()).account.account_id
    his = (await bob.open()).account.account_id
    his_far = (await bob.open(symbol=FAR_MARKET)).account.account_id
    live = (await ada.open(pb.ACCOUNT_TYPE_TRADING)).account.account_id
    not_found = ("NOT_FOUND", "ACCOUNT_NOT_FOUND")
    for source, target in ((his, hers), (hers, his), (hers, his_far), (hers, "transit:3"), ("venue:paper", hers)):
        assert await refused(move(ada, source, target)) == not_found, (source, target)
    assert (await refused(move(ada, hers, live)))[0] == "INVALID_ARGUMENT"
    assert (await refused(move(ada, hers, hers)))[0] == "INVALID_ARGUMENT"
    far = (await ada.open(symbol=FAR_MARKET)).account.account_id
    poor = refused(move(ada, hers, far, "100000.01"))
    assert await poor == ("FAILED_PRECONDITION", "INSUFFICIENT_FUNDS")
    assert (await refused(move(ada, hers, far, asset="XYZ")))[0] == "INVALID_ARGUMENT"
    made = await move(ada, hers, far)
    for wrong in (made.transfer.transfer_id[:-1] + "z", "9-" + "0" * 32, "x"):
        request = pb.GetTransferRequest(transfer_id=wrong)
        answer = refused(ada.accounts.GetTransfer(request, metadata=ada.metadata))
        assert await answer == ("NOT_FOUND", "TRANSFER_NOT_FOUND")
    request = pb.GetTransferRequest(transfer_id=made.transfer.transfer_id, min_position=made.position)
    assert await refused(bob.accounts.GetTransfer(request, metadata=bob.metadata)) == (
        "NOT_FOUND",
        "TRANSFER_NOT_FOUND",
    )
    assert await usd(ada, hers) in {("99749.5", "250.5"), ("99749.5", "0")}


async def test_b12_a_wrong_transfer_has_its_own_answer_and_moves_nothing(venue: Venue) -> None:
    """What of the lines of B12 a caller can come to; posting and voiding are the engine's own (tests/integration/engine)."""
    ada = venue.user("ada")
    near, far = (await ada.open()).account.account_id, (await ada.open(symbol=FAR_MARKET)).account.account_id
    second = (await ada.open(name="b")).account.account_id
    for amount in (
        "0", "-0", "0.0", "-1", "", "1e3", "+1", " 1", "1 ", "1\n", "1.", ".5", "0x1", "1_0", "NaN", "١", "１", str(2**127),
    ):  # fmt: skip
        for target in (second, far):
            assert await refused(move(ada, near, target, amount)) == ("INVALID_ARGUMENT", "INVALID_FIELD"), amount
    invalid = "INVALID_ARGUMENT"
    assert await refused(move(ada, near, second, "0.000000001")) == (invalid, "AMOUNT_INVALID")
    assert await refused(move(ada, near, near)) == (invalid, "INVALID_FIELD")
    assert await refused(move(ada, near, second, asset="XYZ")) == (invalid, "ASSET_UNKNOWN")
    most = move(ada, near, second, "999999999999999999")
    assert await refused(most) == ("FAILED_PRECONDITION", "INSUFFICIENT_FUNDS")
    assert await usd(ada, near) == ("100000", "0")
    made = await move(ada, near, second, "1", request_id=(request_id := str(uuid.uuid4())))
    # The same id with another amount, across assets, the other way round.
    for source, target, other in (
        (near, second, {"amount": "2"}),
        (near, second, {"amount": "1", "asset": "BTC"}),
        (second, near, {"amount": "1"}),
    ):
        again = move(ada, source, target, request_id=request_id, **other)
        assert await refused(again) == (invalid, "REQUEST_ID_REUSED")
    assert (await move(ada, near, second, "1", request_id=request_id)).transfer == made.transfer
    assert [await usd(ada, account_id) for account_id in (near, second)] == [("99999", "0"), ("100001", "0")]
