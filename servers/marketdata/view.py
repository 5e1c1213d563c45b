"""One market as the public sees it: definition, book, last trades, the open candles and the last 24 hours.

The book stands at `position`: every record of the bus up to it is in, none after. Trades go by their number, because after a
loss the missing ones come from the tables: while `needed` is set they are missing, and later ones are held back.
"""

from collections import deque
from collections.abc import Collection, Iterable
from typing import Final

from servers.domain.money import ATTO_SCALE, format_units, parse
from servers.marketdata.levels import Levels
from servers.marketdata.open_candles import INTERVALS_S, OpenCandles
from servers.marketdata.watch import Watch
from servers.marketdata.window import Bucket, Window
from venue.engine.v1 import engine_pb2
from venue.marketdata.v1 import marketdata_pb2 as pb

TRADES_MAX: Final = 500
HELD_MAX: Final = 10_000

BOOK: Final = int(pb.CHANNEL_BOOK)
TRADES: Final = int(pb.CHANNEL_TRADES)
TICKER: Final = int(pb.CHANNEL_TICKER)
CANDLES: Final = int(pb.CHANNEL_CANDLES)
STATUS: Final = int(pb.CHANNEL_STATUS)
CHANNELS: Final = (TRADES, BOOK, TICKER, CANDLES, STATUS)


def trade_number(trade: pb.Trade) -> int:
    """The partition's count of trades, from the trade's id."""
    return int(trade.trade_id.partition("-t")[2])


class View:
    """What this process knows of a market. Its watches collect what there is to tell."""

    def __init__(self, market: pb.Market) -> None:
        self.market = market
        self.tick_size = parse(market.tick_size)
        self.lot_size = parse(market.lot_size)
        self.levels = Levels()
        self.position = 0
        self.status_sequence = 0
        # Of the last change of mark or index price.
        self.prices_sequence = 0
        # Unknown whether the book is right: a record is missing, and the engine has not been asked yet.
        self.torn = True
        self.trades: deque[pb.Trade] = deque(maxlen=TRADES_MAX)
        self.window = Window()
        self.candles = OpenCandles()
        # The sequence that the tables must have reached before trades go on, None while none is missing.
        self.needed: int | None = 0
        self.loaded = False
        self._held: list[pb.Trade] = []
        self._watches: list[Watch] = []
        self._last_number = 0

    @property
    def symbol(self) -> str:
        return self.market.symbol

    @property
    def trades_sequence(self) -> int:
        """The sequence of the last trade; 0 if there was none."""
        return self.trades[-1].sequence if self.trades else 0

    def watch(self) -> Watch:
        """Collect changes from now on; `unwatch` it."""
        watch = Watch()
        self._watches.append(watch)
        self.levels.watch(watch)
        return watch

    def unwatch(self, watch: Watch) -> None:
        """Collect no more."""
        self._watches.remove(watch)
        self.levels.unwatch(watch)

    def _touch(self, *channels: int) -> None:
        for watch in self._watches:
            watch.changed.update(channels)

    def sequence(self, channel: int) -> int:
        """How far a channel is."""
        if channel == BOOK:
            return self.levels.sequence
        if channel == STATUS:
            return self.status_sequence
        if channel == TICKER:
            return max(self.trades_sequence, self.levels.sequence, self.prices_sequence)
        return self.trades_sequence

    def apply(self, record: engine_pb2.MarketRecord) -> None:
        """Take in an entry of the bus. Sets `torn` where an entry before it is missing."""
        if record.sequence > self.position:
            if record.reset or record.previous_sequence > self.position:
                self.torn = True
                # The trades of the missing one come first: those of this one wait for what the tables have of them.
                self.needed = max(self.needed or 0, record.sequence)
            if not self.torn:
                self.position = record.sequence
                self._take_levels(record)
        if record.HasField("market") and record.sequence > self.status_sequence:
            self.define(record.market, record.sequence)
        self._take_trades(record.trades)

    def define(self, market: pb.Market, sequence: int) -> None:
        """Take in the market's definition and state as of a sequence."""
        self.status_sequence = sequence
        if market != self.market:
            before = self.market
            # A copy: the message would keep all of its record alive.
            self.market = pb.Market()
            self.market.CopyFrom(market)
            self._tell_definition(before, sequence)

    def _tell_definition(self, before: pb.Market, sequence: int) -> None:
        """Prices from outside come every second: they are told with the ticker, all else as the market's status."""
        now, same = self.market, pb.Market()
        same.CopyFrom(before)
        same.mark_price, same.index_price = now.mark_price, now.index_price
        if same != before:
            self.prices_sequence = sequence
            self._touch(TICKER)
        if same != now:
            self._touch(STATUS)

    def restore(self, book: pb.GetOrderBookResponse, sequence: int, *, trades_lost: bool) -> None:
        """Take over the engine's book as of a sequence; `trades_lost` if the bus did not bring every trade up to it.

        Records may have come while the engine was asked: a book of before them is not taken.
        """
        if trades_lost:
            self.needed = max(sequence, self.position)
        if sequence < self.position:
            return
        top = self.levels.top
        if self.levels.replace(book):
            self._touch(BOOK)
            if self.levels.top != top:
                self._touch(TICKER)
        self.position = sequence
        self.torn = False

    def _take_levels(self, record: engine_pb2.MarketRecord) -> None:
        top = self.levels.top
        if self.levels.apply(record.sequence, record.bids, record.asks):
            self._touch(BOOK)
            if self.levels.top != top:
                self._touch(TICKER)

    def _take_trades(self, trades: Iterable[pb.Trade]) -> None:
        for trade in trades:
            own = pb.Trade()
            own.CopyFrom(trade)
            if self.needed is None:
                self.add_trade(own)
            elif len(self._held) < HELD_MAX:
                self._held.append(own)
            else:
                # The tables have to bring these too.
                self._held.clear()
                self.needed = own.sequence

    def add_trade(self, trade: pb.Trade) -> None:
        """The market's next trade; one that is known already changes nothing."""
        number = trade_number(trade)
        if number <= self._last_number:
            return
        self._last_number = number
        self.trades.append(trade)
        for watch in self._watches:
            watch.trades.append(trade)
        ticks, lots = parse(trade.price) // self.tick_size, parse(trade.quantity) // self.lot_size
        second = trade.trade_time.seconds
        self.window.add(second, ticks, lots)
        for interval, bucket in self.candles.add(second, ticks, lots):
            for watch in self._watches:
                watch.end_candle(interval, bucket)
        self._touch(TRADES, TICKER)
        self._touch_candles(INTERVALS_S)

    def _touch_candles(self, intervals: Collection[int]) -> None:
        for watch in self._watches:
            watch.touch_candles(intervals)

    def begin(self, trades: Iterable[pb.Trade], window: Window, candles: OpenCandles) -> None:
        """Start over from the tables, trades oldest first; what was held back goes on from there."""
        self.trades = deque(trades, TRADES_MAX)
        self._last_number = trade_number(self.trades[-1]) if self.trades else 0
        self.window, self.candles = window, candles
        for watch in self._watches:
            watch.trades.clear()
            watch.candles.clear()
        self.loaded = True
        self._touch(TICKER)
        self._touch_candles(INTERVALS_S)
        self._go_on()

    def bridge(self, trades: Iterable[pb.Trade]) -> bool:
        """Go on with trades of the tables, oldest first. False, and nothing done, if they may not reach back to what is known."""
        known = list(trades)
        if not self.loaded or (len(known) >= TRADES_MAX and trade_number(known[0]) > self._last_number):
            return False
        for trade in known:
            self.add_trade(trade)
        self._go_on()
        return True

    def _go_on(self) -> None:
        self.needed = None
        held, self._held = self._held, []
        for trade in held:
            self.add_trade(trade)

    def pass_time(self, now: int) -> None:
        """Let the 24 hours and the open candles end where they do. Seconds since 1970."""
        if self.window.expire(now):
            self._touch(TICKER)
        for interval, bucket in self.candles.pass_time(now):
            for watch in self._watches:
                watch.end_candle(interval, bucket)

    def newest_candle(self, interval: int) -> pb.Candle | None:
        """The open candle of an interval or the last one; None where nothing ever traded."""
        bucket = self.candles.find(interval)
        return None if bucket is None else self.candle(bucket, interval, closed=self.candles.is_closed(interval))

    def candle(self, bucket: Bucket, interval: int, *, closed: bool) -> pb.Candle:
        """A bucket as a candle."""
        candle = pb.Candle(
            symbol=self.symbol,
            interval=interval,  # type: ignore[arg-type]
            open=self.price(bucket.open),
            high=self.price(bucket.high),
            low=self.price(bucket.low),
            close=self.price(bucket.close),
            volume=self.quantity(bucket.lots),
            quote_volume=self.amount(bucket.product),
            trade_count=bucket.count,
            is_closed=closed,
        )
        candle.open_time.seconds = bucket.start
        return candle

    def ticker(self, now_us: int) -> pb.Ticker:
        """The ticker as of a time, microseconds since 1970."""
        seconds, rest = divmod(now_us, 1_000_000)
        if self.window.expire(seconds):
            self._touch(TICKER)
        window = self.window
        ticker = pb.Ticker(
            symbol=self.symbol,
            volume=self.quantity(window.lots),
            quote_volume=self.amount(window.product),
            trade_count=window.count,
            mark_price=self.market.mark_price,
            index_price=self.market.index_price,
        )
        ticker.update_time.seconds, ticker.update_time.nanos = seconds, rest * 1000
        if self.trades:
            ticker.last_price = self.trades[-1].price
        for bid in self.levels.bids.best(1):
            ticker.bid_price, ticker.bid_quantity = bid.price, bid.quantity
        for ask in self.levels.asks.best(1):
            ticker.ask_price, ticker.ask_quantity = ask.price, ask.quantity
        if window.count:
            ticker.open_price = self.price(window.open)
            ticker.high_price, ticker.low_price = self.price(window.high), self.price(window.low)
            ticker.price_change = self.price(window.close - window.open)
        return ticker

    def book(self, depth: int) -> pb.GetOrderBookResponse:
        """The best levels of each side."""
        levels = self.levels
        return pb.GetOrderBookResponse(
            symbol=self.symbol,
            sequence=levels.sequence,
            bids=[level.message() for level in levels.bids.best(depth)],
            asks=[level.message() for level in levels.asks.best(depth)],
            checksum=levels.checksum(),
            environment=self.market.environment,
        )

    def price(self, ticks: int) -> str:
        return format_units(ticks * self.tick_size, ATTO_SCALE)

    def quantity(self, lots: int) -> str:
        return format_units(lots * self.lot_size, ATTO_SCALE)

    def amount(self, product: int) -> str:
        """A quote amount: `product` counts ticks times lots."""
        return format_units(product * self.tick_size * self.lot_size, 2 * ATTO_SCALE)
