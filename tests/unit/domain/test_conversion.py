"""What exchanges come to: books walked by hand, the way between assets, the worse of two prices, and who gains by rounding."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.domain import commands as c
from servers.domain import errors as e
from servers.domain.conversion import Leg, Listing, Priced, after_spread, priced, walk, way
from servers.domain.events import Posted
from servers.domain.invariants import breaches
from servers.domain.money import ATTO
from servers.domain.state import dump, load, state_hash
from servers.domain.terms import AccountStatus, EntryKind, Environment
from servers.domain.transfer_errors import AccountNotEmpty, AmountInvalid, AssetUnknown, QuoteExpired
from tests.unit.domain.desk import Desk

F = Fraction
ETH, BTC, EUR = (Listing(f"{asset}-USD", asset, "USD") for asset in ("ETH", "BTC", "EUR"))
BIDS = [(F(100), F(2)), (F(99), F(1)), (F(50), F(10))]
ASKS = [(F(101), F(2)), (F(110), F(1))]


@pytest.mark.parametrize(
    ("paid", "received", "symbols"),
    [
        ("ETH", "USD", [("ETH-USD", True)]),
        ("USD", "ETH", [("ETH-USD", False)]),
        ("ETH", "BTC", [("ETH-USD", True), ("BTC-USD", False)]),
        ("EUR", "ETH", [("EUR-USD", True), ("ETH-USD", False)]),
        ("ETH", "YYY", []),
        ("YYY", "USD", []),
    ],
)
def test_the_way_is_one_market_or_two(paid: str, received: str, symbols: list[tuple[str, bool]]) -> None:
    assert [(leg.listing.symbol, leg.sells) for leg in way([BTC, EUR, ETH], paid, received)] == symbols


def test_of_two_markets_of_the_same_assets_the_one_whose_price_is_told_is_on_the_way() -> None:
    other = Listing("BTC-AAA", "BTC", "USD")
    for told, symbol in (((), "BTC-AAA"), (("BTC-USD",), "BTC-USD"), (("BTC-AAA", "BTC-USD"), "BTC-AAA")):
        for paid, received in (("BTC", "USD"), ("USD", "BTC")):
            assert [leg.listing.symbol for leg in way([BTC, other], paid, received, told)] == [symbol]
    # A price that is told makes no detour of a market that goes straight.
    assert len(way([BTC, Listing("BTC-ETH", "BTC", "ETH"), ETH], "BTC", "USD", ("BTC-ETH", "ETH-USD"))) == 1


@pytest.mark.parametrize(
    ("levels", "amount", "sells", "received"),
    [
        (BIDS, F(1), True, F(100)),
        (BIDS, F(3), True, F(299)),
        (BIDS, F(13), True, F(799)),
        (BIDS, F(14), True, None),
        (ASKS, F(101), False, F(1)),
        (ASKS, F(257), False, F(5, 2)),
        (ASKS, F(312), False, F(3)),
        (ASKS, F(313), False, None),
    ],
)
def test_a_book_is_walked_for_the_size(
    levels: list[tuple[Fraction, Fraction]], amount: Fraction, sells: bool, received: Fraction | None
) -> None:
    assert walk(levels, amount, sells=sells) == received


def test_of_book_and_index_the_worse_for_the_customer_counts() -> None:
    sell, buy = Leg(ETH, sells=True), Leg(ETH, sells=False)
    assert priced(sell, BIDS, F(90), F(1)) == Priced(F(90), by_book=True)
    assert priced(sell, BIDS, F(105), F(1)) == Priced(F(100), by_book=True)
    assert priced(buy, ASKS, F(202), F(101)) == Priced(F(1, 2), by_book=True)
    assert priced(sell, [], F(90), F(1)) == Priced(F(90), by_book=False)
    assert priced(sell, [], None, F(1)) is None
    assert priced(sell, BIDS, F(90), F(99)) is None


def numbers(scale: int) -> st.SearchStrategy[Fraction]:
    return st.integers(1, 10 ** (scale + 4)).map(lambda number: F(number, 10**scale))


@given(
    amount=numbers(8),
    price=numbers(6),
    spread=st.integers(0, 5000).map(lambda n: F(n, 10_000)),
    scale=st.integers(0, 18),
)
def test_the_house_keeps_less_than_one_unit_by_rounding(
    amount: Fraction, price: Fraction, spread: Fraction, scale: int
) -> None:
    exact = amount * price * (1 - spread) * 10**scale
    assert 0 <= exact - after_spread(amount * price, spread, scale) < 1


def convert(
    desk: Desk,
    paid: str = "USD",
    amount: int = 300,
    received: str = "BTC",
    gives: int = 2,
    left: int = 2,
    owner: str = "ann",
) -> list[tuple[str, str, str, int]]:
    """What was posted."""
    expires = desk.now + left
    fields = ("demo-ann", paid, amount * ATTO, received, gives * ATTO, expires, "once")
    events = desk.run(c.Convert, *fields, user=owner, request_id=f"2-{desk.now}")
    posted = [event for event in events if isinstance(event, Posted)]
    assert {event.kind for event in posted} == {int(EntryKind.CONVERSION)}
    return [(event.debit.account_id, event.credit.account_id, event.asset, event.amount) for event in posted]


def test_a_conversion_is_both_halves_at_once_with_the_house() -> None:
    desk = Desk()
    assert convert(desk) == [
        ("demo-ann", "venue:conversions", "USD", 300 * 10**8),
        ("venue:conversions", "demo-ann", "BTC", 2 * 10**8),
    ]
    assert (desk.balance("ann"), desk.balance("venue:conversions")) == (("999700", "0"), ("300", "0"))
    again = load(2, Environment.DEMO, dump(desk.exchange))
    assert (state_hash(again), breaches(again)) == (state_hash(desk.exchange), [])


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        ({"left": 1}, QuoteExpired),
        ({"left": 0}, QuoteExpired),
        ({"amount": 1_000_001}, e.InsufficientFunds),
        ({"amount": 0}, AmountInvalid),
        ({"gives": 0}, AmountInvalid),
        ({"received": "YYY"}, AssetUnknown),
        ({"received": "USD"}, e.DefinitionInvalid),
        ({"owner": "ben"}, e.AccountNotFound),
    ],
)
def test_a_conversion_that_cannot_be_changes_nothing(wrong: dict[str, Any], refusal: type[e.VenueError]) -> None:
    with pytest.raises(refusal):
        convert(Desk(), **wrong)


def test_a_conversion_of_a_frozen_account_is_refused() -> None:
    desk = Desk()
    desk.run(c.SetAccountStatus, "demo-ann", int(AccountStatus.FROZEN))
    with pytest.raises(e.AccountNotActive):
        convert(desk)


def test_an_account_is_closed_when_it_is_empty_and_opened_by_what_the_venue_pays_in() -> None:
    desk = Desk()
    desk.run(c.OpenAccount, "demo-dee", 2, "dee", "", "", (("USD", 5 * ATTO),), user="ann")
    account = desk.exchange.ledger.accounts["demo-dee"]

    def close() -> None:
        desk.run(c.CloseAccount, "demo-dee", user="ann")

    with pytest.raises(AccountNotEmpty, match="a balance of USD"):
        close()
    desk.transfer("demo-dee", "venue:external", "5", kind=int(EntryKind.WITHDRAWAL))
    desk.run(c.RenameAccount, "demo-dee", "old", user="ann")
    with pytest.raises(e.AccountNotFound):
        desk.run(c.CloseAccount, "demo-dee", user="ben")
    close()
    assert (account.name, account.status) == ("old", AccountStatus.CLOSED)
    with pytest.raises(e.AccountNotActive):
        close()
    # Neither its user nor a thawing opens it; the venue's payment does.
    sent = ("demo-ann", "demo-dee", "USD", ATTO, int(EntryKind.TRANSFER), False)
    with pytest.raises(e.AccountNotActive):
        desk.run(c.MakeTransfer, *sent, user="ann", request_id="2-x")
    desk.run(c.SetAccountStatus, "demo-dee", int(AccountStatus.ACTIVE))
    assert state_hash(load(2, Environment.DEMO, dump(desk.exchange))) == state_hash(desk.exchange)
    assert account.status == AccountStatus.CLOSED
    paid = ("venue:external", "demo-dee", "USD", ATTO, int(EntryKind.DEPOSIT), False)
    desk.run(c.MakeTransfer, *paid, request_id="2-y")
    assert account.status == AccountStatus.ACTIVE
