"""What is sent for a flow: accounts that never meet themselves, and ids that a resumed run sends again."""

from uuid import UUID

from servers.domain.terms import Side
from servers.replay.flow import Action, Cancel, Create
from servers.replay.steps import Book, account_for, steps
from venue.order.v1 import order_pb2, order_service_pb2
from venue.type.v1 import type_pb2

BEGUN_MS = 1_785_000_000_123
BOOK = Book("a run", "BTC-USD-REPLAY", 40, BEGUN_MS)
ACTIONS: list[Action] = [
    Create(7, 1000, Side.BUY, "236.47", 200_000_000),
    Create(8, 1001, Side.SELL, "236.50", 1),
    Cancel(7, 1002),
]


def test_a_creation_is_a_limit_order_and_a_deletion_its_cancel() -> None:
    placed, _, cancelled = steps(ACTIONS, BOOK)
    account_id = BOOK.account_id(placed.account)
    assert placed.command == order_service_pb2.TradeCommand(
        place=order_service_pb2.PlaceOrderRequest(
            account_id=account_id,
            symbol="BTC-USD-REPLAY",
            side=type_pb2.SIDE_BUY,
            type=order_pb2.ORDER_TYPE_LIMIT,
            time_in_force=order_pb2.TIME_IN_FORCE_GTC,
            quantity="2",
            price="236.47",
            client_order_id="7",
            request_id=BOOK.request_id("action", 0),
        )
    )
    assert cancelled.command == order_service_pb2.TradeCommand(
        cancel=order_service_pb2.CancelOrderRequest(
            account_id=account_id, client_order_id="7", request_id=BOOK.request_id("action", 2)
        )
    )
    assert (cancelled.account, cancelled.side, cancelled.price) == (placed.account, placed.side, placed.price)


def test_buyers_and_sellers_are_different_accounts_and_a_price_has_one_of_each() -> None:
    for cents in range(20_000, 20_500):
        price = cents * 10**16
        buyer, seller = (account_for(side, price, 40) for side in (Side.BUY, Side.SELL))
        assert (buyer % 2, seller % 2) == (0, 1)
        assert {buyer, seller} <= set(range(40))


def test_every_account_is_used() -> None:
    used = {account_for(side, cents * 10**16, 40) for side in (Side.BUY, Side.SELL) for cents in range(20_000, 20_500)}
    assert used == set(range(40))


def test_prices_of_equal_value_belong_to_one_account() -> None:
    written = [Create(number, 0, Side.SELL, price, 1) for number, price in enumerate(("236.5", "236.50", "236.500"))]
    assert len({step.account for step in steps(written, BOOK)}) == 1


def test_ids_follow_from_the_run_and_the_place_in_the_flow() -> None:
    again = Book("a run", "BTC-USD-REPLAY", 40, BEGUN_MS)
    assert [step.command for step in steps(ACTIONS, again)] == [step.command for step in steps(ACTIONS, BOOK)]
    other = Book("another", "BTC-USD-REPLAY", 40, BEGUN_MS)
    ids = {book.request_id(kind, index) for book in (BOOK, other) for kind in ("action", "account") for index in (0, 1)}
    assert len(ids) == 8


def test_request_ids_are_uuids_of_version_7_with_the_time_of_the_run() -> None:
    found = UUID(BOOK.request_id("action", 3))
    assert (found.version, found.variant, found.int >> 80) == (7, "specified in RFC 4122", BEGUN_MS)
