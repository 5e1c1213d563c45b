"""The public book: built from levels, equal to the engine's after any orders, with the checksum of the contract."""

from zlib import crc32

import pytest

from servers.domain.errors import VenueError
from servers.domain.events import LevelChanged
from servers.domain.terms import Side
from servers.engine.messages import book_message, level_message
from servers.marketdata.levels import Levels
from tests.property.traffic import SYMBOLS, opened
from tests.unit.marketdata.markets import level
from venue.marketdata.v1 import marketdata_pb2 as pb


def texts(levels: Levels) -> tuple[list[str], list[str]]:
    return (
        [f"{one.price}:{one.quantity}" for one in levels.bids.best(100)],
        [f"{one.price}:{one.quantity}" for one in levels.asks.best(100)],
    )


def test_levels_are_best_first_and_the_checksum_interleaves_them() -> None:
    levels = Levels()
    levels.apply(1, [level("9.5", "1"), level("10", "2"), level("9.75", "3")], [level("11", "4"), level("10.01", "5")])
    assert texts(levels) == (["10:2", "9.75:3", "9.5:1"], ["10.01:5", "11:4"])
    assert levels.checksum() == crc32(b"10:2:10.01:5:9.75:3:11:4:9.5:1")


def test_a_level_of_quantity_0_is_gone_and_told_as_such() -> None:
    levels = Levels()
    levels.apply(1, [level("10", "2"), level("9", "1")], [])
    levels.draw()
    levels.apply(2, [level("10", "0")], [])
    assert texts(levels) == (["9:1"], [])
    assert levels.draw() == pb.BookDelta(bids=[level("10", "0")], checksum=crc32(b"9:1"))
    assert levels.draw() is None


def test_changes_of_a_price_between_two_draws_are_told_once_as_they_are_last() -> None:
    levels = Levels()
    for sequence, quantity in enumerate(("1", "0", "7"), 1):
        levels.apply(sequence, [], [level("10", quantity)])
    assert levels.draw() == pb.BookDelta(asks=[level("10", "7")], checksum=crc32(b"10:7"))
    assert levels.sequence == 3


def test_another_state_of_the_book_is_told_as_the_difference() -> None:
    levels = Levels()
    levels.apply(1, [level("10", "2"), level("9", "1")], [level("11", "4")])
    levels.draw()
    other = pb.GetOrderBookResponse(sequence=5, bids=[level("9", "3")], asks=[level("11", "4"), level("12", "1")])
    assert levels.replace(other)
    assert levels.draw() == pb.BookDelta(
        bids=[level("10", "0"), level("9", "3")], asks=[level("12", "1")], checksum=levels.checksum()
    )
    assert not levels.replace(other)
    assert levels.sequence == 5


@pytest.mark.parametrize("seed", range(5))
def test_snapshot_and_changes_make_the_engines_book(seed: int) -> None:
    exchange, traffic, _ = opened(seed)
    books = {symbol: Levels() for symbol in SYMBOLS}
    for step in range(1_500):
        try:
            events = exchange.execute(traffic.next())
        except VenueError:
            traffic.refused()
            continue
        for event in events:
            if isinstance(event, LevelChanged):
                change = level_message(event.market, event.ticks, event.lots, event.count)
                sides = ([change], []) if event.side == Side.BUY else ([], [change])
                books[event.market.symbol].apply(exchange.clock.sequence, *sides)
        if step % 10 == 0:
            for symbol, levels in books.items():
                expected = book_message(exchange, symbol, 0)
                assert [one.message() for one in levels.bids.best(1_000)] == list(expected.bids)
                assert [one.message() for one in levels.asks.best(1_000)] == list(expected.asks)
                assert (levels.checksum(), levels.sequence) == (expected.checksum, expected.sequence)
