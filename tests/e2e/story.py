"""One story, told in whichever way: two strangers come, trade with each other, and look at what they have.

Everything they were answered is kept, so that each test can look at one side of it.
"""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from tests.e2e.people import MARKET, Person, balances, inside, join, ledger
from tests.e2e.rest import Json
from tests.e2e.ways import Heard, Way

ORDERS = "order.v1.OrderService"
ACCOUNTS = "account.v1.AccountService"
MARKET_DATA = "marketdata.v1.MarketDataService"
# Not round, so that fees have digits to lose.
OFFERED, FIRST, SECOND = "1.2345", "0.5001", "0.2347"
MAKER_RATE, TAKER_RATE = Decimal("0.001"), Decimal("0.002")
UNIT = Decimal("0.00000001")


@dataclass(slots=True)
class Story:
    """What happened: alice offers, bob takes twice, alice takes back the rest."""

    way: Way
    alice: Person
    bob: Person
    price: str
    streams: dict[str, Heard]
    placed: Json
    request: Json
    resting: Json
    first: Json
    second: Json
    cancelled: Json
    alice_held: dict[str, Json]
    alice_has: dict[str, Json]
    bob_has: dict[str, Json]
    alice_ledger: list[Json]
    bob_ledger: list[Json]

    @property
    def position(self) -> str:
        """As of which everything has happened."""
        last: str = self.cancelled["position"]
        return last

    def fees(self, rate: Decimal) -> list[Decimal]:
        """Of the two fills of one order: the rate on all it traded so far, rounded up, less what was charged before."""
        notionals = [Decimal(self.price) * Decimal(quantity) for quantity in (FIRST, SECOND)]
        first = (notionals[0] * rate).quantize(UNIT, ROUND_CEILING)
        return [first, (sum(notionals) * rate).quantize(UNIT, ROUND_CEILING) - first]

    def taker_fee(self, quantity: str) -> Decimal:
        return (Decimal(self.price) * Decimal(quantity) * TAKER_RATE).quantize(UNIT, ROUND_CEILING)


@contextmanager
def told(way: Way) -> Iterator[Story]:
    """The story with its streams still open. The market maker has to stand still meanwhile."""
    alice, bob = join(way, "alice"), join(way, "bob")
    with ExitStack() as stack:
        streams = listening(way, alice, stack)
        price = inside(way)
        request = alice.order("SELL", price, OFFERED, clientOrderId="offer", requestId=str(uuid.uuid4()))
        placed = way.call(f"{ORDERS}.PlaceOrder", request, alice.token)
        resting = way.call(
            f"{MARKET_DATA}.GetOrderBook", {"symbol": MARKET, "depth": 1, "minPosition": placed["position"]}
        )
        alice_held = balances(way, alice, placed["position"])
        taking = {"timeInForce": "TIME_IN_FORCE_IOC"}
        first = way.call(f"{ORDERS}.PlaceOrder", bob.order("BUY", price, FIRST, **taking), bob.token)
        second = way.call(f"{ORDERS}.PlaceOrder", bob.order("BUY", price, SECOND, **taking), bob.token)
        cancelled = way.call(f"{ORDERS}.CancelOrder", {"orderId": placed["order"]["orderId"]}, alice.token)
        position = cancelled["position"]
        yield Story(
            way=way,
            alice=alice,
            bob=bob,
            price=price,
            streams=streams,
            placed=placed,
            request=request,
            resting=resting,
            first=first,
            second=second,
            cancelled=cancelled,
            alice_held=alice_held,
            alice_has=balances(way, alice, position),
            bob_has=balances(way, bob, position),
            alice_ledger=ledger(way, alice, position),
            bob_ledger=ledger(way, bob, position),
        )


def listening(way: Way, person: Person, stack: ExitStack) -> dict[str, Heard]:
    """Streams of orders, balances and market data, each past its ready."""
    account = {"accountId": person.account_id}
    wanted = {"symbols": [MARKET], "channels": ["CHANNEL_TRADES", "CHANNEL_BOOK"], "depth": 5}
    streams = {
        "orders": way.listen(f"{ORDERS}.StreamOrders", account, person.token),
        "account": way.listen(f"{ACCOUNTS}.StreamAccount", account, person.token),
        "market": way.listen(f"{MARKET_DATA}.Subscribe", wanted),
    }
    for name, heard in streams.items():
        stack.callback(heard.close)
        heard.until(lambda frames: any("snapshot" in frame for frame in frames), f"the snapshot of {name}")
    return streams
