"""Opening accounts, and who sees them."""

import asyncio
import uuid
from collections.abc import Awaitable
from typing import Any

import pytest

from tests.integration.account.conftest import ACCOUNTS_MAX, User, Venue, refused
from venue.account.v1 import account_pb2 as pb
from venue.type.v1 import type_pb2

NOT_FOUND = ("NOT_FOUND", "ACCOUNT_NOT_FOUND")
REUSED = ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
TOO_MANY = ("FAILED_PRECONDITION", "TOO_MANY_ACCOUNTS")
FORGED = ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")


async def listed(user: User, page_size: int = 0) -> list[list[str]]:
    """The names of the accounts, page by page."""
    pages = []
    request = pb.ListAccountsRequest(page_size=page_size)
    while True:
        page = await user.accounts.ListAccounts(request, metadata=user.metadata)
        pages.append([account.name for account in page.accounts])
        if not page.next_page_token:
            return pages
        request.page_token = page.next_page_token


async def test_a_demo_account_opens_with_paper_funds(venue: Venue) -> None:
    ada = venue.user("ada")
    opened = await ada.open(name="first")
    account = opened.account
    assert account.account_id.startswith("demo-")
    assert len(account.account_id) == len("demo-") + 32
    assert account == pb.Account(
        account_id=account.account_id,
        type=pb.ACCOUNT_TYPE_DEMO,
        environment=type_pb2.ENVIRONMENT_DEMO,
        name="first",
        status=pb.ACCOUNT_STATUS_ACTIVE,
        create_time=account.create_time,
        tier="default",
        self_trade_group=account.account_id,
    )
    assert not opened.replayed
    assert await ada.balances(account.account_id, opened.position) == {
        "BTC": ("10", "0", "10"),
        "ETH": ("100", "0", "100"),
        "USD": ("100000", "0", "100000"),
    }
    request = pb.GetAccountRequest(account_id=account.account_id, min_position=opened.position)
    got = await ada.accounts.GetAccount(request, metadata=ada.metadata)
    assert got.account == account


async def test_a_trading_account_is_live_and_empty_and_needs_a_verified_address(venue: Venue) -> None:
    ada = venue.user("ada")
    opened = await ada.open(pb.ACCOUNT_TYPE_TRADING)
    assert opened.account.account_id.startswith("live-")
    assert opened.account.environment == type_pb2.ENVIRONMENT_LIVE
    assert await ada.balances(opened.account.account_id) == {}
    unverified = venue.user("bob", email_verified=False)
    assert await refused(unverified.open(pb.ACCOUNT_TYPE_TRADING)) == ("FAILED_PRECONDITION", "EMAIL_NOT_VERIFIED")
    assert (await unverified.open()).account.account_id.startswith("demo-")


async def test_repeating_a_request_gives_the_first_account_again(venue: Venue) -> None:
    ada, request_id = venue.user("ada"), str(uuid.uuid4())
    first = await ada.open(name="x", request_id=request_id)
    again = await ada.open(name="x", request_id=request_id)
    assert again.replayed
    again.replayed = False
    assert again == first
    assert await listed(ada) == [["x"]]
    # The id counts under its user: another's is another request.
    assert not (await venue.user("bob").open(name="x", request_id=request_id)).replayed


async def test_a_request_id_holds_for_one_body_in_all_environments(venue: Venue) -> None:
    ada, request_id = venue.user("ada"), str(uuid.uuid4())
    await ada.open(name="x", request_id=request_id)
    assert await refused(ada.open(name="y", request_id=request_id)) == REUSED
    assert await refused(ada.open(pb.ACCOUNT_TYPE_TRADING, name="x", request_id=request_id)) == REUSED
    assert await listed(ada) == [["x"]]


async def test_no_more_accounts_of_a_type_than_allowed(venue: Venue) -> None:
    ada, last = venue.user("ada"), str(uuid.uuid4())
    outcomes = await asyncio.gather(*(ada.open() for _ in range(ACCOUNTS_MAX + 3)), return_exceptions=True)
    assert sum(isinstance(outcome, BaseException) for outcome in outcomes) == 3
    assert await refused(ada.open()) == TOO_MANY
    assert await refused(ada.open(request_id=str(uuid.uuid4()))) == TOO_MANY
    # The other type has a count of its own, and the last account's request may be repeated.
    for _ in range(ACCOUNTS_MAX - 1):
        await ada.open(pb.ACCOUNT_TYPE_TRADING)
    opened = await ada.open(pb.ACCOUNT_TYPE_TRADING, request_id=last)
    assert (await ada.open(pb.ACCOUNT_TYPE_TRADING, request_id=last)).account == opened.account
    assert await refused(ada.open(pb.ACCOUNT_TYPE_TRADING)) == TOO_MANY
    assert not (await venue.user("bob").open()).replayed


async def test_accounts_of_all_environments_are_listed_oldest_first_in_pages(venue: Venue) -> None:
    ada, bob = venue.user("ada"), venue.user("bob")
    kinds = [pb.ACCOUNT_TYPE_DEMO, pb.ACCOUNT_TYPE_TRADING, pb.ACCOUNT_TYPE_DEMO, pb.ACCOUNT_TYPE_TRADING]
    for index, kind in enumerate(kinds):
        await ada.open(kind, name=str(index))
    await bob.open(name="his")
    assert await listed(ada) == [["0", "1", "2", "3"]]
    assert await listed(ada, 3) == [["0", "1", "2"], ["3"]]
    assert await listed(ada, 2) == [["0", "1"], ["2", "3"]]
    assert await listed(bob) == [["his"]]
    page = await ada.accounts.ListAccounts(pb.ListAccountsRequest(page_size=1), metadata=ada.metadata)
    for token in (page.next_page_token[:-1] + "_", "x", "!"):
        call = ada.accounts.ListAccounts(pb.ListAccountsRequest(page_token=token), metadata=ada.metadata)
        assert await refused(call) == FORGED
    stolen = pb.ListAccountsRequest(page_token=page.next_page_token)
    assert await refused(bob.accounts.ListAccounts(stolen, metadata=bob.metadata)) == FORGED


async def test_nobody_sees_the_account_of_another(venue: Venue) -> None:
    ada, bob = venue.user("ada"), venue.user("bob")
    hers = (await ada.open()).account.account_id
    for account_id in (hers, "demo-nonsense", "live-nonsense", "nonsense", "venue:paper"):
        accounts, metadata = bob.accounts, bob.metadata
        calls: list[Awaitable[Any]] = [
            accounts.GetAccount(pb.GetAccountRequest(account_id=account_id), metadata=metadata),
            accounts.ListBalances(pb.ListBalancesRequest(account_id=account_id), metadata=metadata),
            accounts.ListLedgerEntries(pb.ListLedgerEntriesRequest(account_id=account_id), metadata=metadata),
        ]
        for call in calls:
            assert await refused(call) == NOT_FOUND
        async with bob.stream(account_id) as frames:
            assert await refused(frames.next()) == NOT_FOUND


@pytest.mark.parametrize("position", ["x", "2.1", "2.1.1~", "-1.1.1"])
async def test_a_position_that_is_none_is_refused(venue: Venue, position: str) -> None:
    ada = venue.user("ada")
    account_id = (await ada.open()).account.account_id
    assert await refused(ada.balances(account_id, position)) == ("INVALID_ARGUMENT", "POSITION_INVALID")


async def test_a_position_that_does_not_come_in_time_is_unavailable(venue: Venue) -> None:
    ada = venue.user("ada")
    account_id = (await ada.open()).account.account_id
    request = pb.ListBalancesRequest(account_id=account_id, min_position="2.1.999999")
    call = ada.accounts.ListBalances(request, metadata=ada.metadata)
    assert await refused(call) == ("UNAVAILABLE", "UNAVAILABLE")
    # Another partition's position says nothing about this one.
    assert await ada.balances(account_id, "1.1.999999")
