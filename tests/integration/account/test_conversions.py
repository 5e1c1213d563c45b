"""Conversions from the quote to the balances, and sub-accounts from the first to the last of their lives."""

import asyncio
import time
import uuid
from decimal import Decimal
from typing import Any

from servers.domain.errors import VenueError
from tests.integration.account.conftest import ACCOUNTS_MAX, User, Venue, refused
from tests.integration.account.test_transfers import move
from tests.integration.account.test_wallet import DEPOSIT, moved, walked
from venue.account.v1 import account_pb2 as pb
from venue.account.v1 import conversion_pb2
from venue.engine.v1 import engine_pb2
from venue.marketdata.v1 import marketdata_pb2
from venue.type.v1 import type_pb2

PRECONDITION, NOT_FOUND = "FAILED_PRECONDITION", "NOT_FOUND"


async def quote(user: User, account_id: str, amount: str, assets: str = "USD ETH") -> conversion_pb2.Quote:
    paid, received = assets.split()
    request = conversion_pb2.QuoteConversionRequest(
        account_id=account_id, from_asset=paid, from_amount=amount, to_asset=received
    )
    return (await user.accounts.QuoteConversion(request, metadata=user.metadata)).quote


async def refused_once_known(user: User, account_id: str) -> tuple[str, str]:
    """How a quote is refused once the assets are known, which is when their definitions are in the tables."""
    for _ in range(400):
        said = await refused(quote(user, account_id, "1"))
        if said[1] != "ASSET_UNKNOWN":
            return said
        await asyncio.sleep(0.05)
    raise AssertionError("the assets do not become known")


async def accept(user: User, quote_id: str, request_id: str = "") -> conversion_pb2.CreateConversionResponse:
    request = conversion_pb2.CreateConversionRequest(quote_id=quote_id, request_id=request_id)
    return await user.accounts.CreateConversion(request, metadata=user.metadata)


async def index(venue: Venue, symbol: str, price: str) -> None:
    body = engine_pb2.SetReferencePrices(symbol=symbol, index_price=price)
    (outcome,) = await venue.engines[2].submit([engine_pb2.Command(set_reference_prices=body)], None)
    assert not isinstance(outcome, VenueError)


async def nobody_buys_at_what_is_written_into_a_thin_book(venue: Venue, hers: str, his: str) -> None:
    """Of a book that is not believed by itself: not before there is an index price, and then not below it."""
    ada, bob = venue.user("ada"), venue.user("bob")
    await bob.place(his, type_pb2.SIDE_SELL, "1", "1", "BTC-USD")
    assert await refused(quote(ada, hers, "1", "USD BTC")) == (PRECONDITION, "QUOTE_UNAVAILABLE")
    await index(venue, "BTC-USD", "40000")
    assert (await quote(ada, hers, "1", "USD BTC")).to_amount == "0.00002475"
    # A further market of the two, of which nobody tells a price, is not on the way.
    market = marketdata_pb2.Market(
        symbol="BTC-AAA",
        kind=marketdata_pb2.MARKET_KIND_SPOT,
        state=marketdata_pb2.MARKET_STATE_OPEN,
        base_asset="BTC",
        quote_asset="USD",
        tick_size="0.01",
        lot_size="0.001",
        min_quantity="0.001",
        max_quantity="1",
        max_price="100000",
        maker_fee_rate="0",
        taker_fee_rate="0",
    )
    define = engine_pb2.Command(define_market=engine_pb2.DefineMarket(market=market))
    (outcome,) = await venue.engines[2].submit([define], None)
    assert not isinstance(outcome, VenueError)
    assert list((await quote(ada, hers, "1", "USD BTC")).symbols) == ["BTC-USD"]


async def totals(user: User, account_id: str) -> dict[str, str]:
    return {asset: total for asset, (_, _, total) in (await user.balances(account_id)).items()}


async def test_acc6_a_quote_is_kept_once_and_nothing_moves_otherwise(venue: Venue) -> None:
    ada, bob = venue.user("ada"), venue.user("bob")
    hers, his = [(await user.open()).account.account_id for user in (ada, bob)]
    before = await totals(ada, hers)
    assert await refused_once_known(ada, hers) == (PRECONDITION, "QUOTE_UNAVAILABLE")
    await bob.place(his, type_pb2.SIDE_SELL, "1", "3000")
    await bob.place(his, type_pb2.SIDE_SELL, "1", "3100")
    # Half of the second level too: 4550 / (3000 + 1550), less one percent.
    told = await quote(ada, hers, "4550")
    assert (told.to_amount, told.rate, list(told.symbols), list(told.sources)) == (
        "1.485", "0.000326373626373626", ["ETH-USD"], [conversion_pb2.QUOTE_SOURCE_BOOK],
    )  # fmt: skip
    assert await refused(quote(ada, hers, "6100.01")) == (PRECONDITION, "QUOTE_UNAVAILABLE")
    await nobody_buys_at_what_is_written_into_a_thin_book(venue, hers, his)
    request_id = str(uuid.uuid4())
    # Accepted ten times at once, by two ids: one of them has it.
    ids = [request_id] * 5 + [str(uuid.uuid4()) for _ in range(5)]
    done = await asyncio.gather(*(accept(ada, told.quote_id, each) for each in ids), return_exceptions=True)
    kept = [each for each in done if isinstance(each, conversion_pb2.CreateConversionResponse)]
    assert sum(not each.replayed for each in kept) == 1
    assert len({each.conversion.conversion_id for each in kept}) == 1
    after = {asset: Decimal(amount) - Decimal(before[asset]) for asset, amount in (await totals(ada, hers)).items()}
    assert after == {"USD": Decimal(-4550), "ETH": Decimal("1.485"), "BTC": 0}
    # The history has one line of it.
    (line,) = await walked(ada, kinds=[pb.ENTRY_KIND_CONVERSION], min_position=kept[0].position)
    assert (line.asset, line.amount, line.received_asset, line.received_amount, line.reference) == (
        "USD", "-4550", "ETH", "1.485", kept[0].conversion.conversion_id,
    )  # fmt: skip
    # An index that is worse for the customer counts more than the book.
    await index(venue, "ETH-USD", "4000")
    assert (await quote(ada, hers, "3000")).to_amount == "0.7425"
    # Without a book: the index alone, and never more than the house takes. Over two markets: each has its own source.
    by_index = await quote(ada, hers, "1", "BTC USD")
    assert (by_index.to_amount, list(by_index.sources)) == ("39600", [conversion_pb2.QUOTE_SOURCE_INDEX])
    assert await refused(quote(ada, hers, "2", "BTC USD")) == (PRECONDITION, "QUOTE_UNAVAILABLE")
    both = await quote(ada, hers, "0.1", "BTC ETH")
    assert (both.to_amount, list(both.symbols)) == ("0.99", ["BTC-USD", "ETH-USD"])
    # What cannot be accepted.
    still = await totals(ada, hers)
    assert await refused(accept(bob, both.quote_id)) == (NOT_FOUND, "QUOTE_NOT_FOUND")
    assert await refused(accept(ada, both.quote_id[:-2] + "AA")) == (NOT_FOUND, "QUOTE_NOT_FOUND")
    assert await refused(accept(ada, "none")) == (NOT_FOUND, "QUOTE_NOT_FOUND")
    await move(ada, hers, (await ada.open()).account.account_id, "10", asset="BTC")
    assert await refused(accept(ada, both.quote_id)) == (PRECONDITION, "INSUFFICIENT_FUNDS")
    old = await quote(ada, hers, "1")
    while time.time() <= old.expire_time.ToMicroseconds() / 1e6 + 0.1:  # noqa: ASYNC110  # no event tells it
        await asyncio.sleep(0.05)
    assert await refused(accept(ada, old.quote_id)) == (PRECONDITION, "QUOTE_EXPIRED")
    # What was accepted in time is answered as it was.
    again = await accept(ada, told.quote_id, next(i for i, d in zip(ids, done, strict=True) if d in kept))
    assert (again.replayed, again.conversion) == (True, kept[0].conversion)
    assert await totals(ada, hers) == still | {"BTC": "0"}
    for amount, assets in (("0.000000001", "USD ETH"), ("0.00000001", "USD BTC"), ("1", "USD USD"), ("-1", "USD ETH")):
        assert (await refused(quote(ada, hers, amount, assets)))[0] == "INVALID_ARGUMENT", (amount, assets)
    assert (await refused(quote(ada, hers, "1", "USD XYZ")))[1] == "ASSET_UNKNOWN"
    assert await refused(quote(bob, hers, "1")) == (NOT_FOUND, "ACCOUNT_NOT_FOUND")


async def test_acc1_accounts_are_named_emptied_closed_and_counted(venue: Venue) -> None:
    ada, bob = venue.user("ada"), venue.user("bob")
    first, second = [(await ada.open(name=name)).account.account_id for name in ("main", "spare")]

    async def rename(user: User, account_id: str, name: str, **more: Any) -> pb.UpdateAccountResponse:
        request = pb.UpdateAccountRequest(account_id=account_id, name=name, **more)
        return await user.accounts.UpdateAccount(request, metadata=user.metadata)

    async def close(user: User, account_id: str, **more: Any) -> pb.CloseAccountResponse:
        request = pb.CloseAccountRequest(account_id=account_id, **more)
        return await user.accounts.CloseAccount(request, metadata=user.metadata)

    named = await rename(ada, second, "savings", request_id=(request_id := str(uuid.uuid4())))
    assert (named.account.name, named.replayed) == ("savings", False)
    again = await rename(ada, second, "savings", request_id=request_id)
    assert (again.replayed, again.account) == (True, named.account)
    reused = rename(ada, second, "other", request_id=request_id)
    assert await refused(reused) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
    for call in (rename(bob, second, "his"), close(bob, second)):
        assert await refused(call) == (NOT_FOUND, "ACCOUNT_NOT_FOUND")
    assert await refused(close(ada, second)) == (PRECONDITION, "ACCOUNT_NOT_EMPTY")
    for asset, total in (await totals(ada, second)).items():
        await move(ada, second, first, total, asset=asset)
    closed = await close(ada, second)
    assert closed.account.status == pb.ACCOUNT_STATUS_CLOSED
    assert await refused(close(ada, second)) == (PRECONDITION, "ACCOUNT_NOT_ACTIVE")
    assert await refused(move(ada, first, second, "1")) == (PRECONDITION, "ACCOUNT_NOT_ACTIVE")
    # It counts no more, and is still told of.
    more = [(await ada.open()).account.account_id for _ in range(ACCOUNTS_MAX - 1)]
    assert await refused(ada.open()) == (PRECONDITION, "TOO_MANY_ACCOUNTS")
    asked = pb.ListAccountsRequest(min_position=closed.position)
    listed = (await ada.accounts.ListAccounts(asked, metadata=ada.metadata)).accounts
    assert [(each.account_id, each.status) for each in listed[:2]] == [
        (first, pb.ACCOUNT_STATUS_ACTIVE),
        (second, pb.ACCOUNT_STATUS_CLOSED),
    ]
    assert {each.account_id for each in listed[2:]} == set(more)
    # Money that was under way is not lost.
    await moved(venue, second, "5", DEPOSIT)
    request = pb.GetAccountRequest(account_id=second)
    found = (await ada.accounts.GetAccount(request, metadata=ada.metadata)).account
    assert (found.name, found.status) == ("savings", pb.ACCOUNT_STATUS_ACTIVE)
