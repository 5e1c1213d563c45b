"""What may rest: never less than what does, and not much more."""

import random

import pytest

from servers.domain.money import format_units
from servers.domain.terms import Side
from servers.replay.flow import Cancel, Create
from servers.replay.resting import Resting
from servers.replay.steps import Book, Step, steps
from tests.oracle.book import NaiveBook, NaiveOrder
from venue.order.v1 import order_pb2

BOOK = Book("a run", "BTC-USD-REPLAY", 4, 0)


def placements(*orders: tuple[Side, str]) -> list[Step]:
    return list(steps([Create(number, 0, side, price, 1) for number, (side, price) in enumerate(orders)], BOOK))


@pytest.mark.parametrize(
    ("resting", "incoming", "may_trade"),
    [
        ((Side.SELL, "10"), (Side.BUY, "10"), True),
        ((Side.SELL, "10"), (Side.BUY, "9.99"), False),
        ((Side.SELL, "10"), (Side.SELL, "1"), False),
        ((Side.BUY, "10"), (Side.SELL, "10"), True),
        ((Side.BUY, "10"), (Side.SELL, "10.01"), False),
        ((Side.BUY, "10"), (Side.BUY, "100"), False),
    ],
)
def test_an_order_may_trade_if_it_reaches_one_of_the_other_side(
    resting: tuple[Side, str], incoming: tuple[Side, str], *, may_trade: bool
) -> None:
    first, second = placements(resting, incoming)
    book = Resting()
    assert not book.may_trade(first)
    book.sent(first)
    assert book.may_trade(second) is may_trade
    book.gone(first.number)
    assert not book.may_trade(second)


def test_a_taker_with_something_left_clears_all_that_it_reached() -> None:
    *asks, buy, later = placements(
        (Side.SELL, "10"), (Side.SELL, "11"), (Side.SELL, "12"), (Side.BUY, "11"), (Side.BUY, "11.5")
    )
    book = Resting()
    for step in (*asks, buy):
        book.sent(step)
    partly = order_pb2.Order(status=order_pb2.ORDER_STATUS_PARTIALLY_FILLED)
    book.placed(buy, partly, asks[1].price, alone=True)
    assert len(book) == 2
    assert not book.may_trade(later)


def test_a_filled_taker_clears_what_is_better_than_where_it_ended() -> None:
    *bids, sell = placements((Side.BUY, "12"), (Side.BUY, "11"), (Side.BUY, "10"), (Side.SELL, "9"))
    book = Resting()
    for step in (*bids, sell):
        book.sent(step)
    book.placed(sell, order_pb2.Order(status=order_pb2.ORDER_STATUS_FILLED), bids[1].price, alone=True)
    assert len(book) == 2


def test_an_answer_beside_others_clears_only_its_own_order() -> None:
    ask, buy = placements((Side.SELL, "10"), (Side.BUY, "9"))
    book = Resting()
    book.sent(ask)
    book.sent(buy)
    book.placed(buy, order_pb2.Order(status=order_pb2.ORDER_STATUS_OPEN), None, alone=False)
    assert len(book) == 2
    book.placed(buy, order_pb2.Order(status=order_pb2.ORDER_STATUS_REJECTED), None, alone=False)
    assert len(book) == 1


@pytest.mark.parametrize("seed", range(5))
def test_whatever_trades_was_said_to_be_able_to(seed: int) -> None:
    """Against the naive book: with every order answered, what may rest is what rests and levels that fills half cleared."""
    source = random.Random(seed)
    naive, book = NaiveBook(), Resting()
    actions: list[Create | Cancel] = []
    for number in range(3_000):
        actions.append(
            Create(
                number,
                0,
                source.choice((Side.BUY, Side.SELL)),
                format_units(1000 + source.randrange(-9, 10), 2),
                source.randint(1, 5),
            )
        )
        if source.random() < 0.7:
            actions.append(Cancel(source.randrange(number + 1), 0))
    for action, step in zip(actions, steps(actions, BOOK), strict=True):
        if isinstance(action, Cancel):
            naive.cancel(action.number)
            book.gone(action.number)
            continue
        may_trade = book.may_trade(step)
        book.sent(step)
        order = NaiveOrder(step.number, step.side.name, step.side, step.price, action.volume)
        trades = naive.place(order)
        assert may_trade or not trades
        rests = any(order is found for found in (*naive.bids, *naive.asks))
        status = order_pb2.ORDER_STATUS_OPEN if rests else order_pb2.ORDER_STATUS_FILLED
        last_price = int(trades[-1].price) if trades else None
        book.placed(step, order_pb2.Order(status=status), last_price, alone=may_trade)
        assert len(book) >= len(naive.bids) + len(naive.asks)
