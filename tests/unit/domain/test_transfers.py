"""Transfers at once and in two phases: each way to get one wrong has its own answer, and changes nothing."""

from typing import Any

import pytest

from servers.domain import commands as c
from servers.domain import errors as e
from servers.domain.events import Posted, TransferChanged
from servers.domain.invariants import breaches
from servers.domain.money import ATTO
from servers.domain.state import dump, load
from servers.domain.terms import AccountStatus, EntryKind, TransferState
from servers.domain.transfer_errors import AccountsSame, AmountInvalid, AssetUnknown
from tests.unit.domain.desk import Desk

EXTERNAL = "venue:external"


def resolve(desk: Desk, transfer_id: str = "t1", *, void: bool = False, amount: int = 0) -> TransferChanged:
    events = desk.run(c.ResolveTransfer, transfer_id, void, amount * ATTO)
    return next(event for event in events if isinstance(event, TransferChanged))


def pending(amount: str = "100") -> Desk:
    desk = Desk()
    desk.transfer("demo-ann", EXTERNAL, amount, pending=True, kind=int(EntryKind.WITHDRAWAL))
    return desk


def test_a_deposit_arrives_and_the_outside_owes_it() -> None:
    desk = Desk()
    desk.transfer(EXTERNAL, "demo-ann", "0.00000001", kind=int(EntryKind.DEPOSIT))
    assert desk.balance("ann") == ("1000000.00000001", "0")
    assert desk.balance(EXTERNAL) == ("-0.00000001", "0")


def test_a_transfer_at_once_is_posted_once_and_not_kept_for_resolution() -> None:
    desk = Desk()
    events = desk.run(
        c.MakeTransfer, "demo-ann", "demo-ben", "USD", 5 * ATTO, int(EntryKind.TRANSFER), False, request_id="t1"
    )
    posted = next(event for event in events if isinstance(event, Posted))
    assert (posted.amount, posted.kind, posted.reference) == (5 * 10**8, int(EntryKind.TRANSFER), "t1")
    assert (desk.balance("ann")[0], desk.balance("ben")[0]) == ("999995", "1000005")
    with pytest.raises(e.TransferNotFound):
        resolve(desk)


def test_a_pending_transfer_only_holds() -> None:
    desk = pending()
    assert (desk.balance("ann"), desk.balance(EXTERNAL)) == (("999900", "100"), ("0", "0"))


@pytest.mark.parametrize(
    ("void", "amount", "state", "left", "gone"),
    [
        (False, 0, TransferState.POSTED, "999900", "100"),
        (False, 100, TransferState.POSTED, "999900", "100"),
        (False, 30, TransferState.POSTED, "999970", "30"),
        (True, 0, TransferState.VOIDED, "1000000", "0"),
        (True, 30, TransferState.VOIDED, "1000000", "0"),
    ],
)
def test_posting_moves_and_releases_the_rest_and_voiding_releases_all(
    void: bool, amount: int, state: TransferState, left: str, gone: str
) -> None:
    desk = pending()
    changed = resolve(desk, void=void, amount=amount).transfer
    assert (changed.state, changed.posted) == (state, int(gone) * 10**8)
    assert (desk.balance("ann"), desk.balance(EXTERNAL)) == ((left, "0"), (gone, "0"))


@pytest.mark.parametrize(
    ("first", "second", "refusal"),
    [
        ({"void": False}, {"void": False}, e.TransferAlreadyPosted),
        ({"void": False}, {"void": True}, e.TransferAlreadyPosted),
        ({"void": True}, {"void": False}, e.TransferAlreadyVoided),
        ({"void": True}, {"void": True}, e.TransferAlreadyVoided),
    ],
)
def test_a_pending_transfer_resolves_once(
    first: dict[str, Any], second: dict[str, Any], refusal: type[e.VenueError]
) -> None:
    desk = pending()
    resolve(desk, **first)
    with pytest.raises(refusal):
        resolve(desk, **second)


@pytest.mark.parametrize(
    ("amount", "refusal"),
    [(101, e.TransferExceedsPending), (2**127, e.TransferExceedsPending), (-1, AmountInvalid)],
)
def test_no_more_is_posted_than_is_pending(amount: int, refusal: type[e.VenueError]) -> None:
    desk = pending()
    with pytest.raises(refusal):
        resolve(desk, amount=amount)
    assert desk.balance("ann") == ("999900", "100")


def test_a_fraction_of_the_smallest_unit_is_not_posted() -> None:
    desk = pending()
    with pytest.raises(AmountInvalid):
        desk.run(c.ResolveTransfer, "t1", False, 10**9)


def test_an_unknown_transfer_is_not_resolved() -> None:
    with pytest.raises(e.TransferNotFound):
        resolve(Desk(), "nothing")


@pytest.mark.parametrize("is_pending", [False, True])
@pytest.mark.parametrize(
    ("debit", "credit", "asset", "atto", "refusal"),
    [
        ("demo-nobody", "demo-ann", "USD", ATTO, e.AccountNotFound),
        ("demo-ann", "demo-nobody", "USD", ATTO, e.AccountNotFound),
        ("demo-ann", "demo-ann", "USD", ATTO, AccountsSame),
        ("demo-ann", "demo-ben", "XYZ", ATTO, AssetUnknown),
        ("demo-ann", "demo-ben", "USD", 0, AmountInvalid),
        ("demo-ann", "demo-ben", "USD", -ATTO, AmountInvalid),
        ("demo-ann", "demo-ben", "USD", 10**9, AmountInvalid),  # finer than the asset
        ("demo-ann", "demo-ben", "USD", 1_000_000 * ATTO + 10**10, e.InsufficientFunds),  # a unit too much
        ("demo-ann", "demo-ben", "USD", 2**127 // 10**10 * 10**10, e.InsufficientFunds),
        ("demo-ann", "demo-ben", "ETH", ATTO, e.InsufficientFunds),  # an asset it never had
    ],
)
def test_each_wrong_transfer_has_its_answer(
    debit: str, credit: str, asset: str, atto: int, refusal: type[e.VenueError], is_pending: bool
) -> None:
    desk = Desk()
    desk.run(c.DefineAsset, "ETH", 8, 8)
    with pytest.raises(refusal):
        desk.run(c.MakeTransfer, debit, credit, asset, atto, int(EntryKind.TRANSFER), is_pending, request_id="t1")


def test_missing_funds_are_told_in_the_asset_s_decimals() -> None:
    desk = Desk()
    desk.buy("ann", "100", "9000")
    with pytest.raises(e.InsufficientFunds) as refused:
        desk.transfer("demo-ann", "demo-ben", "100000.5")
    assert refused.value.metadata == {"asset": "USD", "available": "100000", "needed": "100000.5"}


def test_a_frozen_account_pays_nothing_but_receives_and_resolves() -> None:
    desk = pending()
    desk.run(c.SetAccountStatus, "demo-ann", int(AccountStatus.FROZEN))
    with pytest.raises(e.AccountNotActive):
        desk.transfer("demo-ann", "demo-ben", "1", transfer_id="t2")
    desk.transfer("demo-ben", "demo-ann", "1", transfer_id="t3")
    resolve(desk, void=True)
    assert desk.balance("ann") == ("1000001", "0")


def test_an_amount_near_2_to_the_127_keeps_every_digit() -> None:
    desk = Desk()
    desk.run(c.DefineAsset, "WEI", 18, 18)
    desk.run(c.MakeTransfer, EXTERNAL, "demo-ann", "WEI", 2**127 - 1, int(EntryKind.DEPOSIT), False, request_id="t1")
    assert desk.balance("ann", "WEI")[0] == "170141183460469231731.687303715884105727"


def test_a_transfer_s_id_belongs_to_one_body() -> None:
    desk = pending()
    with pytest.raises(e.TransferIdReused) as refused:
        desk.exchange.find_request("transfer", "t1", b"another amount")
    assert (refused.value.code, refused.value.metadata) == ("ALREADY_EXISTS", {"transfer_id": "t1"})


FAR = "transit:9"


def onward(desk: Desk, *, debit: str = "demo-ann", user: str = "ann", transfer_id: str = "t1") -> None:
    desk.run(
        c.MakeTransfer,
        debit,
        FAR,
        "USD",
        5 * ATTO,
        int(EntryKind.TRANSFER),
        True,
        "demo-far",
        user=user,
        request_id=transfer_id,
    )


def receive(desk: Desk, credit: str, *, asset: str = "USD", user: str = "", transfer_id: str = "t1") -> TransferChanged:
    kind = int(EntryKind.TRANSFER)
    events = desk.run(
        c.MakeTransfer, FAR, credit, asset, 5 * ATTO, kind, False, "", True, user=user, request_id=transfer_id
    )
    return next(event for event in events if isinstance(event, TransferChanged))


def test_what_goes_to_another_partition_is_held_until_it_is_there() -> None:
    desk = Desk()
    onward(desk)
    assert set(desk.exchange.transfers.onward) == {"t1"}
    assert (desk.balance("ann"), desk.balance(FAR)) == (("999995", "5"), ("0", "0"))
    again = load(desk.exchange.partition, desk.exchange.environment, dump(desk.exchange))
    assert set(again.transfers.onward) == {"t1"}
    resolve(desk)
    assert (desk.balance("ann"), desk.balance(FAR)) == (("999995", "0"), ("5", "0"))
    assert desk.exchange.transfers.onward == {}
    assert load(desk.exchange.partition, desk.exchange.environment, dump(desk.exchange)).ledger.accounts[FAR].balances


def test_what_comes_from_another_partition_is_owed_by_it() -> None:
    desk = Desk()
    assert receive(desk, "demo-ben").transfer.state == TransferState.POSTED
    assert (desk.balance("ben")[0], desk.balance(FAR)) == ("1000005", ("-5", "0"))
    assert breaches(desk.exchange) == []


@pytest.mark.parametrize(
    ("credit", "asset", "user"), [("demo-nobody", "USD", ""), ("demo-ben", "XYZ", ""), ("demo-ben", "USD", "ann")]
)
def test_a_refusal_to_receive_is_recorded(credit: str, asset: str, user: str) -> None:
    desk = Desk()
    refused = receive(desk, credit, asset=asset, user=user).transfer
    assert (refused.state, refused.amount) == (TransferState.VOIDED, 0)
    assert desk.exchange.find_request("transfer", "t1", desk.exchange.requests["transfer", "t1"].fingerprint)
    assert breaches(desk.exchange) == []


@pytest.mark.parametrize("debit", ["demo-ben", "venue:paper"])
def test_a_user_pays_from_his_own_account_alone(debit: str) -> None:
    desk = Desk()
    with pytest.raises(e.AccountNotFound):
        onward(desk, debit=debit)
    assert desk.exchange.transfers.onward == {}


def test_only_what_is_pending_to_another_partition_has_a_receiver_there() -> None:
    desk = Desk()
    for credit, is_pending in ((FAR, False), ("demo-ben", True)):
        with pytest.raises(e.DefinitionInvalid, match="receiver_account_id"):
            desk.run(c.MakeTransfer, "demo-ann", credit, "USD", ATTO, 3, is_pending, "demo-far", request_id="t1")
