"""How long answers are kept: ten minutes where nothing changes any more, else a second and no longer than until a trade."""

import time

from servers.config import Settings
from servers.marketdata.lasting import Lasting, of_candles, of_trades
from tests.unit.marketdata.markets import SYMBOL, opened, record, trade
from venue.marketdata.v1 import marketdata_pb2 as pb

OVER = Lasting(600.0, None)


def test_what_is_over_is_kept_for_ten_minutes_and_what_goes_on_until_the_next_trade() -> None:
    view = opened()
    view.apply(record(12, 0, trades=[trade(7, "10", "1", 1_800_000_000)]))
    first, behind = pb.ListTradesRequest(symbol=SYMBOL), pb.ListTradesRequest(symbol=SYMBOL, page_token="t")
    assert of_trades(view, behind) == OVER
    assert of_trades(view, first) == Lasting(1.0, 7)
    view.apply(record(13, 12, trades=[trade(8, "10", "1", 1_800_000_001)]))
    assert (of_trades(view, first).version, of_trades(view, behind).version) == (8, None)


def test_candles_are_over_once_their_trades_are_surely_written() -> None:
    view = opened()
    ended, fresh = pb.ListCandlesRequest(symbol=SYMBOL), pb.ListCandlesRequest(symbol=SYMBOL)
    ended.end_time.FromSeconds(int(time.time()) - 3600)
    fresh.end_time.FromSeconds(int(time.time()) + 3600)
    assert [of_candles(view, one) for one in (ended, fresh)] == [OVER, Lasting(1.0, view.trades_sequence)]
    assert of_candles(view, pb.ListCandlesRequest(symbol=SYMBOL, page_token="t")) == OVER
    assert of_candles(view, pb.ListCandlesRequest(symbol=SYMBOL)).ttl_s == 1.0


def test_books_are_told_in_a_tenth_of_a_second_and_ticks_kept_for_a_day_where_nothing_else_is_said() -> None:
    fields = Settings.model_fields
    assert (fields["book_window_s"].default, fields["price_ticks_hours"].default) == (0.1, 24)
    assert fields["book_snapshot_s"].default == 60
