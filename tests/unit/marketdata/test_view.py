"""What a market's view does with records of the bus: takes them in order, notices what is missing, goes on after it."""

from decimal import Decimal

import pytest

from servers.marketdata.open_candles import INTERVALS_S, OpenCandles
from servers.marketdata.rhythm import Rhythm
from servers.marketdata.series import Bounds, Cursor
from servers.marketdata.source import Source, Sources
from servers.marketdata.view import BOOK, CANDLES, STATUS, TICKER, TRADES, View
from servers.marketdata.watch import Watch
from servers.marketdata.window import Bucket, Window
from tests.unit.marketdata.markets import SYMBOL, level, market, opened, record, trade
from venue.marketdata.v1 import marketdata_pb2 as pb
from venue.type.v1 import type_pb2


class Quiet:
    """A reader who does not care."""

    def wake(self) -> None:
        pass

    def lose(self, cursor: Cursor) -> None:
        pass


NOON = 1_800_000_000 // 60 * 60


def test_a_record_changes_the_channels_it_is_about() -> None:
    view = opened()
    watch = view.watch()
    view.apply(record(11, 0, bids=[level("10", "1")]))
    assert watch.changed == {BOOK, TICKER}
    watch.changed.clear()
    view.apply(record(12, 11, bids=[level("9", "1")]))
    assert watch.changed == {BOOK}
    watch.changed.clear()
    view.apply(record(13, 12, trades=[trade(1, "10", "1", NOON)]))
    assert watch.changed == {TRADES, TICKER, CANDLES}
    watch.changed.clear()
    view.apply(record(14, 13, market=market(pb.MARKET_STATE_HALTED)))
    assert watch.changed == {STATUS}
    assert view.position == 14


def test_records_of_before_the_snapshot_change_nothing() -> None:
    view = opened(position=10)
    watch = view.watch()
    view.apply(record(9, 3, bids=[level("10", "1")]))
    view.apply(record(10, 9, reset=True))
    assert (watch.changed, view.torn, view.position) == (set(), False, 10)


def test_a_record_that_spans_the_snapshot_is_taken() -> None:
    view = opened(position=10)
    view.apply(record(12, 8, bids=[level("10", "1")]))
    assert (view.torn, view.position) == (False, 12)


def test_a_missing_record_tears_the_book_until_it_is_restored() -> None:
    view = opened(position=10)
    view.apply(record(15, 12, bids=[level("10", "1")]))
    assert (view.torn, view.position, len(view.book(10).bids)) == (True, 10, 0)
    view.restore(pb.GetOrderBookResponse(sequence=15, bids=[level("10", "1")]), 16, trades_lost=True)
    assert (view.torn, view.position, view.needed) == (False, 16, 16)
    view.apply(record(18, 15, bids=[level("10", "0")]))
    assert view.book(10) == pb.GetOrderBookResponse(symbol=SYMBOL, sequence=18, environment=type_pb2.ENVIRONMENT_DEMO)


def test_a_book_of_before_records_that_came_meanwhile_is_not_taken() -> None:
    view = opened(position=10)
    view.apply(record(12, 8, bids=[level("10", "1")]))
    before = view.book(10)
    view.restore(pb.GetOrderBookResponse(sequence=11), 11, trades_lost=False)
    assert (view.book(10), view.position) == (before, 12)


def test_a_reset_tears_the_book() -> None:
    view = opened(position=10)
    view.apply(record(11, 10, reset=True))
    assert view.torn


def test_trades_wait_for_those_that_are_missing() -> None:
    view = opened()
    watch = view.watch()
    view.apply(record(11, 0, trades=[trade(1, "10", "1", NOON)]))
    view.restore(pb.GetOrderBookResponse(), 20, trades_lost=True)
    view.apply(record(21, 20, trades=[trade(4, "13", "1", NOON + 1)]))
    assert [one.trade_id for one in view.trades] == ["2-t1"]
    assert view.bridge([trade(1, "10", "1", NOON), trade(2, "11", "1", NOON), trade(4, "13", "1", NOON + 1)])
    assert [one.trade_id for one in watch.trades] == ["2-t1", "2-t2", "2-t4"]
    assert view.ticker((NOON + 1) * 1_000_000).trade_count == 3


def test_trades_of_the_record_after_a_gap_do_not_overtake_the_missing_ones() -> None:
    view = opened()
    watch = view.watch()
    view.apply(record(21, 15, trades=[trade(4, "13", "1", NOON + 1)]))
    assert (view.torn, view.needed, list(view.trades)) == (True, 21, [])
    view.restore(pb.GetOrderBookResponse(), 25, trades_lost=True)
    assert view.bridge([trade(number, "10", "1", NOON) for number in (1, 2, 3)])
    assert [one.trade_id for one in watch.trades] == ["2-t1", "2-t2", "2-t3", "2-t4"]


def test_trades_that_do_not_reach_back_start_over() -> None:
    view = opened()
    view.apply(record(11, 0, trades=[trade(1, "10", "1", NOON)]))
    view.restore(pb.GetOrderBookResponse(), 2_000, trades_lost=True)
    many = [trade(number, "10", "1", NOON + 1) for number in range(800, 1_300)]
    assert not view.bridge(many)
    window = Window()
    window.append(Bucket(NOON + 1, 1_000, 1_000, 1_000, 1_000, 1_299_000, 1_299_000_000, 1_299))
    view.begin(many, window, OpenCandles())
    assert (len(view.trades), view.needed, view.ticker((NOON + 1) * 1_000_000).trade_count) == (500, None, 1_299)


def test_the_ticker_says_what_the_trades_and_the_book_say() -> None:
    view = opened()
    view.apply(record(11, 0, bids=[level("10", "1.5")], asks=[level("10.05", "2")]))
    view.apply(
        record(12, 11, trades=[trade(1, "10.02", "0.5", NOON), trade(2, "9.98", "2", NOON), trade(3, "10", "1", NOON)])
    )
    expected = pb.Ticker(
        symbol=SYMBOL,
        last_price="10",
        bid_price="10",
        bid_quantity="1.5",
        ask_price="10.05",
        ask_quantity="2",
        open_price="10.02",
        high_price="10.02",
        low_price="9.98",
        volume="3.5",
        quote_volume="34.97",
        price_change="-0.02",
        trade_count=3,
    )
    expected.update_time.FromMicroseconds(NOON * 1_000_000 + 5)
    assert view.ticker(NOON * 1_000_000 + 5) == expected


def test_a_day_later_only_the_last_price_is_left() -> None:
    view = opened()
    view.apply(record(12, 0, trades=[trade(1, "10.02", "0.5", NOON)]))
    expected = pb.Ticker(symbol=SYMBOL, last_price="10.02", volume="0", quote_volume="0")
    expected.update_time.seconds = NOON + 86_400
    assert view.ticker((NOON + 86_400) * 1_000_000) == expected


def candle(
    start: int, prices: tuple[str, str, str, str], volume: str, quote: str, count: int, *, closed: bool
) -> pb.Candle:
    made = pb.Candle(
        symbol=SYMBOL,
        interval=pb.CANDLE_INTERVAL_1M,
        open=prices[0],
        high=prices[1],
        low=prices[2],
        close=prices[3],
        volume=volume,
        quote_volume=quote,
        trade_count=count,
        is_closed=closed,
    )
    made.open_time.seconds = start
    return made


def told(view: View, watch: Watch, interval: int = pb.CANDLE_INTERVAL_1M) -> list[pb.Candle]:
    """The candles that readers would get."""
    rhythm = Rhythm(Sources(2, [Source(2, 2)]), 0.0, Bounds())
    series = rhythm.join(view, CANDLES, interval, Quiet()).series
    series.flush(watch, 0.0, "")
    frames = [series.log[place].frame for place in range(series.log.start, series.log.end)]
    return [pb.SubscribeResponse.FromString(frame).event.candle for frame in frames]


def test_a_minute_is_told_while_it_is_open_and_once_more_when_it_ends() -> None:
    view = opened()
    watch = view.watch()
    view.apply(record(12, 0, trades=[trade(1, "10", "1", NOON), trade(2, "11", "1", NOON + 59)]))
    assert told(view, watch) == [candle(NOON, ("10", "11", "10", "11"), "2", "21", 2, closed=False)]
    view.apply(record(13, 12, trades=[trade(3, "9", "2", NOON + 60)]))
    assert told(view, watch) == [
        candle(NOON, ("10", "11", "10", "11"), "2", "21", 2, closed=True),
        candle(NOON + 60, ("9", "9", "9", "9"), "2", "18", 1, closed=False),
    ]
    view.pass_time(NOON + 120)
    assert pb.CANDLE_INTERVAL_1M not in watch.candles
    view.pass_time(NOON + 121)
    assert pb.CANDLE_INTERVAL_1M in watch.candles
    assert told(view, watch) == [candle(NOON + 60, ("9", "9", "9", "9"), "2", "18", 1, closed=True)]


LENGTHS = {interval: length for interval, length in INTERVALS_S.items() if length < 3600}


@pytest.mark.parametrize("interval", LENGTHS)
def test_candles_of_each_length_are_told_as_a_recount_of_the_trades_has_them(interval: int) -> None:
    view, length = opened(), LENGTHS[interval]
    watch, seen = view.watch(), dict[int, pb.Candle]()
    made = [trade(n, str(100 + n * 7 % 13), str(n % 3 + 1), NOON + n * n % 97 + n * 40) for n in range(1, 60)]
    made.sort(key=lambda one: one.trade_time.seconds)
    for place, one in enumerate(made, 11):
        one.trade_id = f"2-t{place}"
        view.apply(record(place, place - 1, trades=[one]))
        if place % 5 == 0:
            seen.update((told_one.open_time.seconds, told_one) for told_one in told(view, watch, interval))
    view.pass_time(made[-1].trade_time.seconds + length + 1)
    seen.update((told_one.open_time.seconds, told_one) for told_one in told(view, watch, interval))
    starts = sorted({one.trade_time.seconds // length * length for one in made})
    assert sorted(seen) == starts
    for start in starts:
        inside = [one for one in made if start <= one.trade_time.seconds < start + length]
        prices = [Decimal(one.price) for one in inside]
        candle = seen[start]
        assert candle.is_closed
        assert candle.interval == interval
        assert [Decimal(text) for text in (candle.open, candle.high, candle.low, candle.close)] == [
            prices[0], max(prices), min(prices), prices[-1],
        ]  # fmt: skip
        assert candle.trade_count == len(inside)
        assert Decimal(candle.volume) == sum(Decimal(one.quantity) for one in inside)
        assert Decimal(candle.quote_volume) == sum(Decimal(one.price) * Decimal(one.quantity) for one in inside)


def test_a_candle_that_ended_is_told_though_another_began_before_anybody_was() -> None:
    view = opened()
    watch = view.watch()
    view.apply(record(12, 0, trades=[trade(1, "10", "1", NOON)]))
    told(view, watch)
    view.apply(record(13, 12, trades=[trade(2, "11", "1", NOON + 1)]))
    view.pass_time(NOON + 61)
    view.apply(record(14, 13, trades=[trade(3, "9", "2", NOON + 61)]))
    assert told(view, watch) == [
        candle(NOON, ("10", "11", "10", "11"), "2", "21", 2, closed=True),
        candle(NOON + 60, ("9", "9", "9", "9"), "2", "18", 1, closed=False),
    ]
    assert told(view, watch) == [candle(NOON + 60, ("9", "9", "9", "9"), "2", "18", 1, closed=False)]


def test_a_late_trade_opens_its_candle_again_which_is_told_anew() -> None:
    view = opened()
    watch = view.watch()
    view.apply(record(12, 0, trades=[trade(1, "10", "1", NOON)]))
    view.pass_time(NOON + 61)
    assert told(view, watch) == [candle(NOON, ("10", "10", "10", "10"), "1", "10", 1, closed=True)]
    view.apply(record(13, 12, trades=[trade(2, "12", "2", NOON + 59)]))
    assert told(view, watch) == [candle(NOON, ("10", "12", "10", "12"), "3", "34", 2, closed=False)]
    view.pass_time(NOON + 62)
    assert told(view, watch) == [candle(NOON, ("10", "12", "10", "12"), "3", "34", 2, closed=True)]
    assert pb.CANDLE_INTERVAL_1M not in watch.candles
