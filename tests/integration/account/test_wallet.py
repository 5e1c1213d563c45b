"""What a wallet tells: transactions of all accounts in stable pages, and statements whose lines add up."""

import asyncio
import csv
import io
import uuid
from decimal import Decimal
from itertools import pairwise
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from servers.domain.errors import VenueError
from tests.integration.account.conftest import FAR_MARKET, User, Venue, refused
from tests.integration.account.test_ledger import traded
from tests.integration.account.test_transfers import move, resolved
from venue.account.v1 import account_pb2 as pb
from venue.engine.v1 import engine_pb2

DEPOSIT, WITHDRAWAL, TRANSFER, PAPER, ADJUSTMENT, BONUS = (
    pb.ENTRY_KIND_DEPOSIT,
    pb.ENTRY_KIND_WITHDRAWAL,
    pb.ENTRY_KIND_TRANSFER,
    pb.ENTRY_KIND_PAPER,
    pb.ENTRY_KIND_ADJUSTMENT,
    pb.ENTRY_KIND_BONUS,
)


async def moved(venue: Venue, account_id: str, amount: str, kind: pb.EntryKind.ValueType) -> str:
    """An amount of USD from the venue, or (negative) to it; the position."""
    sides = ["venue:paper", account_id] if amount[0] != "-" else [account_id, "venue:paper"]
    body = engine_pb2.Transfer(
        transfer_id=f"2-{uuid.uuid4().hex}",
        debit_account_id=sides[0],
        credit_account_id=sides[1],
        asset="USD",
        amount=amount.lstrip("-"),
        kind=kind,
    )
    (outcome,) = await venue.engines[2].submit([engine_pb2.Command(transfer=body)], None)
    assert not isinstance(outcome, VenueError)
    return engine_pb2.Done.FromString(outcome).position


async def walked(user: User, page_size: int = 500, **fields: Any) -> list[pb.Transaction]:
    """All transactions, page by page."""
    found: list[pb.Transaction] = []
    request = pb.ListTransactionsRequest(page_size=page_size, **fields)
    while True:
        page = await user.accounts.ListTransactions(request, metadata=user.metadata)
        assert len(page.transactions) <= page_size
        found += page.transactions
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def statement(user: User, account_id: str, **fields: Any) -> list[dict[str, str]]:
    """The lines of a statement by the names of its columns."""
    request = pb.StreamStatementRequest(account_id=account_id, **fields)
    pieces = [piece async for piece in user.accounts.StreamStatement(request, metadata=user.metadata)]
    assert {piece.body.content_type for piece in pieces} == {"text/csv; charset=utf-8; header=present"}
    text = b"".join(piece.body.data for piece in pieces).decode()
    assert text.endswith("\r\n")
    lines = list(csv.DictReader(io.StringIO(text)))
    # What begins so a program of sheets would compute; of an amount the sign alone.
    for name, cell in (item for line in lines for item in line.items()):
        assert cell[:1] not in {"=", "+", "@", "\t", "\r"}, (name, cell)
        assert cell[:1] != "-" or name in {"amount", "balance"}, (name, cell)
    return lines


def later(moment: Timestamp, by_us: int = 1) -> Timestamp:
    made = Timestamp()
    made.FromMicroseconds(moment.ToMicroseconds() + by_us)
    return made


async def test_acc6_history_is_all_that_moved_but_trades_in_pages_that_stay(venue: Venue) -> None:
    ada, bob = venue.user("ada"), venue.user("bob")
    near, _, _ = await traded(ada, bob)
    second = (await ada.open(name="second")).account.account_id
    far = (await ada.open(symbol=FAR_MARKET)).account.account_id
    for amount, kind in (("500", DEPOSIT), ("-20", WITHDRAWAL), ("1.5", BONUS), ("-0.25", ADJUSTMENT)):
        await moved(venue, near, amount, kind)
    within = await move(ada, near, second, "7")
    across = await move(ada, near, far, "9")
    await resolved(ada, across.transfer.transfer_id)
    async with asyncio.timeout(30):
        # What arrived is in the tables of another partition.
        while not await walked(ada, account_id=far, kinds=[TRANSFER]):  # noqa: ASYNC110  # no event tells it
            await asyncio.sleep(0.02)
    position = await moved(venue, near, "1", DEPOSIT)
    usd = await walked(ada, min_position=position)
    told = [(t.account_id, t.kind, t.asset, t.amount, t.other_account_id) for t in usd if t.asset == "USD"]
    assert told[0] == (near, DEPOSIT, "USD", "1", "")
    transfers = {(near, TRANSFER, "USD", "-9", ""), (far, TRANSFER, "USD", "9", "")}
    assert set(told[1:3]) == transfers
    assert set(told[3:5]) == {(near, TRANSFER, "USD", "-7", second), (second, TRANSFER, "USD", "7", near)}
    assert [(kind, amount) for _, kind, _, amount, _ in told[5:9]] == [
        (ADJUSTMENT, "-0.25"), (BONUS, "1.5"), (WITHDRAWAL, "-20"), (DEPOSIT, "500"),
    ]  # fmt: skip
    assert {kind for _, kind, *_ in told[9:]} == {PAPER}
    assert {t.reference for t in usd if t.amount in {"7", "-7"}} == {within.transfer.transfer_id}
    # Newest first, each once, whatever the pages.
    assert len({(t.transaction_id, t.account_id) for t in usd}) == len(usd) == 9 + 9
    assert all(one.create_time.ToMicroseconds() >= two.create_time.ToMicroseconds() for one, two in pairwise(usd))
    for page_size in (1, 2, 3, 7):
        assert await walked(ada, page_size) == usd
    # A page goes on where the last one ended, whatever came meanwhile.
    first = await ada.accounts.ListTransactions(pb.ListTransactionsRequest(page_size=4), metadata=ada.metadata)
    position = await moved(venue, near, "3", DEPOSIT)
    request = pb.ListTransactionsRequest(page_size=500, page_token=first.next_page_token, min_position=position)
    rest = await ada.accounts.ListTransactions(request, metadata=ada.metadata)
    assert [*first.transactions, *rest.transactions] == usd
    # Filters.
    assert await walked(ada, 2, account_id=second) == [t for t in usd if t.account_id == second]
    assert await walked(ada, 2, kinds=[TRANSFER, BONUS]) == [t for t in usd if t.kind in {TRANSFER, BONUS}]
    chosen = usd[7]
    assert chosen.kind == WITHDRAWAL
    moment = chosen.create_time
    assert await walked(ada, start_time=moment, end_time=later(moment)) == [chosen]
    assert await walked(ada, account_id=near, end_time=later(moment)) == [
        t for t in usd if t.account_id == near and t.create_time.ToMicroseconds() <= moment.ToMicroseconds()
    ]
    # Nobody else's, no forged page, no nonsense.
    assert not [t for t in await walked(bob) if t.account_id in {near, second, far}]
    asked = pb.ListTransactionsRequest(page_token=first.next_page_token)
    assert (await refused(bob.accounts.ListTransactions(asked, metadata=bob.metadata)))[1] == "PAGE_TOKEN_INVALID"
    asked = pb.ListTransactionsRequest(page_token=first.next_page_token, kinds=[BONUS])
    assert (await refused(ada.accounts.ListTransactions(asked, metadata=ada.metadata)))[1] == "PAGE_TOKEN_INVALID"
    asked = pb.ListTransactionsRequest(account_id=near)
    assert (await refused(bob.accounts.ListTransactions(asked, metadata=bob.metadata)))[1] == "ACCOUNT_NOT_FOUND"
    for wrong in ({"kinds": [pb.ENTRY_KIND_TRADE]}, {"start_time": moment, "end_time": moment}, {"page_size": -1}):
        asked = pb.ListTransactionsRequest(**wrong)
        assert (await refused(ada.accounts.ListTransactions(asked, metadata=ada.metadata)))[1] == "INVALID_FIELD"


async def test_acc6_a_statement_has_every_entry_once_and_balances_that_add_up(venue: Venue) -> None:
    ada, bob = venue.user("ada"), venue.user("bob")
    near, _, position = await traded(ada, bob)
    # More than a piece has.
    await asyncio.gather(*(moved(venue, near, "0.01", DEPOSIT) for _ in range(520)))
    position = await moved(venue, near, "-1.23", WITHDRAWAL)
    entries = (await ada.entries(near, min_position=position))[::-1]
    told = await statement(ada, near, min_position=position)
    closing = told[-3:]
    balances = {asset: total for asset, (_, _, total) in (await ada.balances(near)).items()}
    assert {line["asset"]: line["balance"] for line in closing} == balances
    assert {line["kind"] for line in closing} == {"CLOSING"}
    lines = told[:-3]
    assert [(line["entry_id"], line["amount"], line["reference"]) for line in lines] == [
        (entry.entry_id, entry.amount, entry.reference) for entry in entries
    ]
    running: dict[str, Decimal] = {}
    for line in lines:
        running[line["asset"]] = running.get(line["asset"], Decimal(0)) + Decimal(line["amount"])
        assert Decimal(line["balance"]) == running[line["asset"]]
    # Between two times: what was there before is the opening balance.
    start, end = entries[5].create_time, entries[-1].create_time
    part = await statement(ada, near, asset="USD", start_time=start, end_time=end)
    inside = [e for e in entries if start.ToMicroseconds() <= e.create_time.ToMicroseconds() < end.ToMicroseconds()]
    before = [e for e in entries if e.create_time.ToMicroseconds() < start.ToMicroseconds() and e.asset == "USD"]
    assert part[0]["kind"] == "OPENING"
    assert Decimal(part[0]["balance"]) == sum(Decimal(e.amount) for e in before)
    assert [line["entry_id"] for line in part[1:-1]] == [e.entry_id for e in inside if e.asset == "USD"]
    assert Decimal(part[-1]["balance"]) == Decimal(balances["USD"]) + Decimal("1.23")
    assert part[-1]["kind"] == "CLOSING"
    for user, asked in (
        (bob, pb.StreamStatementRequest(account_id=near)),
        (ada, pb.StreamStatementRequest(account_id="demo-nobody")),
    ):
        assert await refused(user.accounts.StreamStatement(asked, metadata=user.metadata).read()) == (
            "NOT_FOUND", "ACCOUNT_NOT_FOUND",
        )  # fmt: skip
    asked = pb.StreamStatementRequest(account_id=near, start_time=end, end_time=start)
    assert (await refused(ada.accounts.StreamStatement(asked, metadata=ada.metadata).read()))[1] == "INVALID_FIELD"
