"""The ledger and the balances tell the same story, to the last digit."""

from decimal import Decimal

from tests.integration.account.conftest import User, Venue, refused
from venue.account.v1 import account_pb2 as pb
from venue.type.v1 import type_pb2


async def traded(ada: User, bob: User) -> tuple[str, str, str]:
    """Ada sells 2 ETH to bob at 3000.01; bob's order for one more rests. Both accounts, and the last position."""
    hers, his = [(await user.open()).account.account_id for user in (ada, bob)]
    await ada.place(hers, type_pb2.SIDE_SELL, "2", "3000.01")
    placed = await bob.place(his, type_pb2.SIDE_BUY, "3", "3000.01")
    assert len(placed.fills) == 1
    return hers, his, placed.position


async def test_entries_say_what_for_and_tell_nothing_of_other_customers(venue: Venue) -> None:
    ada, bob = venue.user("ada"), venue.user("bob")
    hers, _, position = await traded(ada, bob)
    found = [
        (entry.asset, entry.amount, entry.kind, entry.reference, entry.counterparty)
        for entry in await ada.entries(hers, min_position=position)
    ]
    trade = ("TRADE", "2-t1", "")
    assert [(asset, amount, pb.EntryKind.Name(kind)[11:], *rest) for asset, amount, kind, *rest in found] == [
        # The maker's fee: 0.1 % of 6000.02.
        ("USD", "-6.00002", "FEE", "2-t1", "venue:fees"),
        ("USD", "6000.02", *trade),
        ("ETH", "-2", *trade),
        ("ETH", "100", "PAPER", hers, "venue:paper"),
        ("BTC", "10", "PAPER", hers, "venue:paper"),
        ("USD", "100000", "PAPER", hers, "venue:paper"),
    ]


async def test_entries_sum_to_the_balances(venue: Venue) -> None:
    ada, bob = venue.user("ada"), venue.user("bob")
    hers, his, position = await traded(ada, bob)
    for user, account_id in ((ada, hers), (bob, his)):
        sums: dict[str, Decimal] = {}
        for entry in await user.entries(account_id, min_position=position):
            assert entry.account_id == account_id
            sums[entry.asset] = sums.get(entry.asset, Decimal(0)) + Decimal(entry.amount)
        totals = {asset: Decimal(total) for asset, (_, _, total) in (await user.balances(account_id)).items()}
        assert sums == totals
    # He paid 6000.02 and 0.2 %; the rest of his order holds 3000.01 and, should it take too, 0.2 %.
    assert (await bob.balances(his))["USD"] == ("90981.96994", "3006.01002", "93987.97996")


async def test_pages_are_complete_newest_first_and_signed(venue: Venue) -> None:
    ada, bob = venue.user("ada"), venue.user("bob")
    hers, his, position = await traded(ada, bob)
    whole = await ada.entries(hers, min_position=position)
    assert len(whole) == len({entry.entry_id for entry in whole}) == 6
    assert [entry.sequence for entry in whole] == sorted((entry.sequence for entry in whole), reverse=True)
    for page_size in (1, 2, 4, 5, 6):
        assert await ada.entries(hers, page_size=page_size) == whole
    assert await ada.entries(hers, "ETH", 1) == [entry for entry in whole if entry.asset == "ETH"]
    assert await ada.entries(hers, "NONE") == []

    async def page(user: User, account_id: str, token: str, asset: str = "") -> pb.ListLedgerEntriesResponse:
        request = pb.ListLedgerEntriesRequest(account_id=account_id, page_size=2, page_token=token, asset=asset)
        return await user.accounts.ListLedgerEntries(request, metadata=user.metadata)

    token = (await page(ada, hers, "")).next_page_token
    forged = ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")
    assert await refused(page(ada, hers, token, "USD")) == forged
    assert await refused(page(bob, his, token)) == forged
    assert await refused(page(ada, hers, token + "AA")) == forged
