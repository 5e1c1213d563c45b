"""A book kept from a stream: what it shows, and when it no longer believes itself."""

import pytest

from servers.domain.checksum import book_checksum
from servers.trade.ladder import BookBroken, Ladder
from venue.marketdata.v1 import marketdata_pb2

Pairs = list[tuple[str, str]]


def level(price: str, quantity: str) -> marketdata_pb2.BookLevel:
    return marketdata_pb2.BookLevel(price=price, quantity=quantity, order_count=int(quantity != "0"))


def pairs(levels: list[marketdata_pb2.BookLevel]) -> Pairs:
    return [(each.price, each.quantity) for each in levels]


def begun(bids: Pairs, asks: Pairs) -> Ladder:
    ladder = Ladder()
    book = marketdata_pb2.GetOrderBookResponse(
        bids=[level(*each) for each in bids], asks=[level(*each) for each in asks], checksum=book_checksum(bids, asks)
    )
    ladder.begin(book, 7)
    return ladder


def delta(bids: Pairs, asks: Pairs, *, after: tuple[Pairs, Pairs]) -> marketdata_pb2.BookDelta:
    return marketdata_pb2.BookDelta(
        bids=[level(*each) for each in bids], asks=[level(*each) for each in asks], checksum=book_checksum(*after)
    )


def test_levels_are_best_first_by_number_not_by_text() -> None:
    ladder = begun([("10", "1"), ("9.5", "2")], [("100", "1"), ("1000", "2")])
    after = ([("10", "1"), ("9.5", "2")], [("11", "4"), ("100", "1"), ("1000", "2")])
    ladder.change(delta([], [("11", "4")], after=after), 7, 9)
    assert (pairs(ladder.bids(9)), pairs(ladder.asks(9)), ladder.sequence) == (*after, 9)
    assert pairs(ladder.asks(1)) == [("11", "4")]


def test_a_level_without_quantity_is_gone() -> None:
    ladder = begun([("10", "1"), ("9", "2")], [])
    ladder.change(delta([("10", "0")], [], after=([("9", "2")], [])), 7, 8)
    assert pairs(ladder.bids(9)) == [("9", "2")]


def test_a_missing_frame_breaks_the_book() -> None:
    ladder = begun([("10", "1")], [])
    with pytest.raises(BookBroken):
        ladder.change(delta([], [], after=([("10", "1")], [])), 8, 9)


def test_a_wrong_checksum_breaks_the_book() -> None:
    ladder = begun([("10", "1")], [])
    with pytest.raises(BookBroken):
        ladder.change(delta([("9", "1")], [], after=([("10", "1")], [])), 7, 8)


def test_a_new_snapshot_takes_the_place_of_everything() -> None:
    ladder = begun([("10", "1")], [("11", "1")])
    asks = [("12", "3")]
    book = marketdata_pb2.GetOrderBookResponse(asks=[level(*each) for each in asks], checksum=book_checksum([], asks))
    ladder.begin(book, 20)
    assert (pairs(ladder.bids(9)), pairs(ladder.asks(9))) == ([], asks)
