"""What is sent for each action of a flow, and from which account.

A flow has no accounts. Buys are placed from the even accounts and sells from the odd ones, so no account ever meets itself and
the prevention of self-trades never interferes. Within a side the price chooses: orders that queue at one price are placed by
one account, in whose session they keep their order. Ids follow from the run and the action's number: sending again is safe.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Final
from uuid import UUID
from zlib import crc32

from servers.domain.money import parse
from servers.domain.terms import Side
from servers.replay.flow import Action, Create
from venue.order.v1 import order_pb2, order_service_pb2

# Room for streams beside it on one connection of the gateway, which takes 100.
ACCOUNTS_MAX: Final = 80


@dataclass(frozen=True, slots=True)
class Book:
    """Where a run's orders go, and what its ids are made from."""

    run_id: str
    symbol: str
    accounts: int
    begun_ms: int

    def account_id(self, index: int) -> str:
        return f"demo-{_digest(self.run_id, 'account', index).hex()[:32]}"

    def request_id(self, kind: str, index: int) -> str:
        """A UUIDv7 with the time at which the run began."""
        drawn = int.from_bytes(_digest(self.run_id, kind, index)[:10])
        bits = (drawn >> 68 << 64 | drawn & (1 << 62) - 1) | 7 << 76 | 2 << 62
        return str(UUID(int=self.begun_ms << 80 | bits))


@dataclass(frozen=True, slots=True)
class Step:
    """One command. `index` counts the actions of the flow from 0, `account` those of the run; the price is in atto."""

    index: int
    number: int
    time_ms: int
    account: int
    side: Side
    price: int
    places: bool
    command: order_service_pb2.TradeCommand


def account_for(side: Side, price: int, accounts: int) -> int:
    """The account that places at a price: even buys, odd sells."""
    return crc32(str(price).encode()) % (accounts // 2) * 2 + (side == Side.SELL)


def steps(actions: Iterable[Action], book: Book) -> Iterator[Step]:
    """The command of each action. The number of a recorded order is its `client_order_id`."""
    placed: dict[int, tuple[Side, int, int]] = {}
    for index, action in enumerate(actions):
        if isinstance(action, Create):
            price = parse(action.price)
            side, account = action.side, account_for(action.side, price, book.accounts)
            placed[action.number] = (side, price, account)
            command = order_service_pb2.TradeCommand(place=_placement(action, book, account, index))
        else:
            side, price, account = placed[action.number]
            cancel = order_service_pb2.CancelOrderRequest(
                account_id=book.account_id(account),
                client_order_id=str(action.number),
                request_id=book.request_id("action", index),
            )
            command = order_service_pb2.TradeCommand(cancel=cancel)
        places = isinstance(action, Create)
        yield Step(index, action.number, action.time_ms, account, side, price, places, command)


def _placement(create: Create, book: Book, account: int, index: int) -> order_service_pb2.PlaceOrderRequest:
    return order_service_pb2.PlaceOrderRequest(
        account_id=book.account_id(account),
        symbol=book.symbol,
        side=int(create.side),  # type: ignore[arg-type]  # the wire's numbers
        type=order_pb2.ORDER_TYPE_LIMIT,
        time_in_force=order_pb2.TIME_IN_FORCE_GTC,
        quantity=create.quantity,
        price=create.price,
        client_order_id=str(create.number),
        request_id=book.request_id("action", index),
    )


def _digest(run_id: str, kind: str, index: int) -> bytes:
    return sha256(f"{run_id} {kind} {index}".encode()).digest()
