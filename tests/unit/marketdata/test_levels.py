"""The public book: built from levels, equal to the engine's after any orders, with the checksum of the contract."""

from random import Random
from zlib import crc32

import pytest

from servers.domain.errors import VenueError
from servers.domain.events import LevelChanged
from servers.domain.terms import Side
from servers.engine.messages import book_message, level_message
from servers.marketdata.band import Band
from servers.marketdata.levels import Levels
from servers.marketdata.watch import Watch
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


class Told:
    """A book, and what somebody is told who has so many of its levels."""

    def __init__(self, depth: int) -> None:
        self.levels = Levels()
        self.watch = Watch()
        self.levels.watch(self.watch)
        self.band = Band(self.levels, depth)

    def draw(self) -> pb.BookDelta | None:
        delta = self.band.draw(self.watch)
        self.watch.bids.clear()
        self.watch.asks.clear()
        return delta


def test_a_level_of_quantity_0_is_gone_and_told_as_such() -> None:
    told = Told(100)
    told.levels.apply(1, [level("10", "2"), level("9", "1")], [])
    told.draw()
    told.levels.apply(2, [level("10", "0")], [])
    assert texts(told.levels) == (["9:1"], [])
    assert told.draw() == pb.BookDelta(bids=[level("10", "0")], checksum=crc32(b"9:1"))
    assert told.draw() is None


def test_changes_of_a_price_between_two_draws_are_told_once_as_they_are_last() -> None:
    told = Told(100)
    for sequence, quantity in enumerate(("1", "0", "7"), 1):
        told.levels.apply(sequence, [], [level("10", quantity)])
    assert told.draw() == pb.BookDelta(asks=[level("10", "7")], checksum=crc32(b"10:7"))
    assert told.levels.sequence == 3


def test_another_state_of_the_book_is_told_as_the_difference() -> None:
    told = Told(100)
    levels = told.levels
    levels.apply(1, [level("10", "2"), level("9", "1")], [level("11", "4")])
    told.draw()
    other = pb.GetOrderBookResponse(sequence=5, bids=[level("9", "3")], asks=[level("11", "4"), level("12", "1")])
    assert levels.replace(other)
    assert told.draw() == pb.BookDelta(
        bids=[level("10", "0"), level("9", "3")], asks=[level("12", "1")], checksum=levels.checksum()
    )
    assert not levels.replace(other)
    assert levels.sequence == 5


def test_levels_that_come_among_the_best_are_told_and_those_that_fall_out_are_gone() -> None:
    told = Told(2)
    told.levels.apply(1, [level("10", "1"), level("9", "1"), level("8", "1")], [])
    told.draw()
    told.levels.apply(2, [level("8", "5")], [])
    assert told.draw() is None
    told.levels.apply(3, [level("10", "0")], [])
    assert told.draw() == pb.BookDelta(bids=[level("10", "0"), level("8", "5")], checksum=told.levels.checksum())
    told.levels.apply(4, [level("11", "1")], [])
    assert told.draw() == pb.BookDelta(bids=[level("11", "1"), level("8", "0")], checksum=told.levels.checksum())


@pytest.mark.parametrize("seed", range(6))
def test_whoever_applies_what_he_is_told_has_the_best_levels_of_any_depth(seed: int) -> None:
    random = Random(seed)
    levels, watch = Levels(), Watch()
    levels.watch(watch)
    for sequence in range(40):
        levels.apply(sequence, [level(str(random.randint(1, 99)), "1")], [level(str(random.randint(101, 200)), "1")])
    watch.bids.clear()
    watch.asks.clear()
    bands = {depth: Band(levels, depth) for depth in (1, 2, 5, 20, 500)}
    books = {
        depth: tuple({one.price: one.quantity for one in side.best(depth)} for side in (levels.bids, levels.asks))
        for depth in bands
    }
    for sequence in range(41, 400):
        for _ in range(random.randint(1, 6)):
            quantity = str(random.choice((0, 0, 1, 2, 3)))
            low = random.randint(1, 99) if random.random() < 0.5 else random.randint(90, 99)
            levels.apply(sequence, [level(str(low), quantity)], [level(str(200 - low), str(random.choice((0, 1))))])
        for depth, band in bands.items():
            delta = band.draw(watch)
            for book, changes, side in zip(
                books[depth],
                (delta.bids, delta.asks) if delta else ((), ()),
                (levels.bids, levels.asks),
                strict=True,
            ):
                for change in changes:
                    if change.quantity == "0":
                        book.pop(change.price, None)
                    else:
                        book[change.price] = change.quantity
                assert book == {one.price: one.quantity for one in side.best(depth)}
        watch.bids.clear()
        watch.asks.clear()


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
