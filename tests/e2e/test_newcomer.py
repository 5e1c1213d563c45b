"""What a newcomer is promised: two strangers open demo accounts and trade with each other and with the market maker."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests.e2e.launching import Venue, eventually
from tests.e2e.people import MARKET, Person, balances, inside, join, ledger, sums, totals
from tests.e2e.rest import Json
from tests.e2e.ways import Rest

ORDERS = "order.v1.OrderService"
TAKING = {"timeInForce": "TIME_IN_FORCE_IOC"}


@pytest.fixture(scope="module")
def way(venue: Venue) -> Iterator[Rest]:
    made = Rest(venue.url)
    yield made
    made.close()


@pytest.fixture(scope="module")
def newcomers(way: Rest) -> tuple[Person, Person]:
    return join(way, "carol"), join(way, "dave")


def test_the_market_maker_is_there_to_trade_with(way: Rest, newcomers: tuple[Person, Person]) -> None:
    carol, _ = newcomers
    book = {"symbol": MARKET, "depth": 1}
    eventually(lambda: way.call("marketdata.v1.MarketDataService.GetOrderBook", book)["asks"] != [], "an ask")
    bought = carol.order("BUY", "", "0.0123", **TAKING) | {"type": "ORDER_TYPE_MARKET"}
    del bought["price"]
    answers: list[Json] = []

    def is_filled() -> bool:
        # Between two of its turns the maker's book is empty for a moment.
        answers.append(way.call(f"{ORDERS}.PlaceOrder", bought, carol.token))
        return bool(answers[-1]["order"]["status"] == "ORDER_STATUS_FILLED")

    eventually(is_filled, "a market order filled")
    check(way, carol, answers)


def test_the_two_trade_with_each_other(way: Rest, newcomers: tuple[Person, Person], venue: Venue) -> None:
    carol, dave = newcomers
    with venue.paused("bot"):
        price = inside(way)
        sold = way.call(f"{ORDERS}.PlaceOrder", carol.order("SELL", price, "0.7777"), carol.token)
        bought = way.call(f"{ORDERS}.PlaceOrder", dave.order("BUY", price, "0.7777", **TAKING), dave.token)
    assert sold["order"]["status"] == "ORDER_STATUS_OPEN"
    assert bought["order"]["status"] == "ORDER_STATUS_FILLED"
    assert bought["order"]["averagePrice"] == price
    check(way, dave, [bought])
    position = bought["position"]
    assert sums(ledger(way, carol, position)) == totals(balances(way, carol, position))


def check(way: Rest, person: Person, answers: list[Json]) -> None:
    """Balances are what the answers say to the last digit, and the ledger adds up to them."""
    fills = [fill for answer in answers for fill in answer["fills"]]
    paid = sum((Decimal(fill["price"]) * Decimal(fill["quantity"]) for fill in fills), Decimal(0))
    fees = sum((Decimal(fill["fee"]) for fill in fills), Decimal(0))
    got = sum((Decimal(fill["quantity"]) for fill in fills), Decimal(0))
    position = answers[-1]["position"]
    has = totals(balances(way, person, position))
    assert has == {"USD": 100_000 - paid - fees, "BTC": 10, "ETH": 100 + got}
    assert sums(ledger(way, person, position)) == has
