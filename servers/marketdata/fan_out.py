"""What changed in markets, told to every stream: the series of all markets, the open streams, and the clock between them."""

import asyncio
import time
from collections.abc import Iterable
from typing import Final

from servers.domain.errors import MarketNotFound
from servers.marketdata.errors import StreamNotFound
from servers.marketdata.series import Series, Source
from servers.marketdata.subscriber import Bounds, Subscriber
from servers.marketdata.view import BOOK, CHANNELS, STATUS, TRADES, View

# Without a window the other channels still have their pace.
TICK_S: Final = 0.05
AT_ONCE: Final = (TRADES, BOOK, STATUS)


class FanOut:
    """Every series of this process by environment, symbol and channel, and every stream by id."""

    def __init__(self, *, book_window_s: float, silence_s: float, bounds: Bounds) -> None:
        self.streams: dict[str, Subscriber] = {}
        self._window_s = book_window_s
        self._silence_s = silence_s
        self._bounds = bounds
        self._series: dict[tuple[int, str], dict[int, Series]] = {}
        self._dirty: dict[View, dict[int, Series]] = {}

    def add(self, source: Source, view: View) -> None:
        """Serve a market from now on."""
        self._series[source.environment, view.symbol] = {
            channel: Series(source, view, channel, self._window_s) for channel in CHANNELS
        }

    def find(self, environment: int, symbol: str, channel: int) -> Series:
        """Raises MarketNotFound."""
        of_market = self._series.get((environment, symbol))
        if of_market is None:
            raise MarketNotFound(symbol)
        return of_market[channel]

    def open(self, source: Source, depth: int) -> Subscriber:
        """A stream without subscriptions; `close` it."""
        subscriber = Subscriber(source, depth, self._silence_s, self._bounds)
        self.streams[subscriber.stream_id] = subscriber
        return subscriber

    def close(self, subscriber: Subscriber) -> None:
        del self.streams[subscriber.stream_id]
        subscriber.end("")

    def stream(self, stream_id: str) -> Subscriber:
        """Raises StreamNotFound."""
        subscriber = self.streams.get(stream_id)
        if subscriber is None or subscriber.ended:
            raise StreamNotFound(stream_id)
        return subscriber

    def changed(self, environment: int, view: View) -> None:
        """Something of a market may have something to tell."""
        if view.changed:
            of_market = self._dirty[view] = self._series[environment, view.symbol]
            if not self._window_s:
                self._flush(view, [of_market[channel] for channel in AT_ONCE], time.monotonic())

    def restart(self, environment: int, view: View, channel: int) -> None:
        """A channel does not go on where it was: its readers start over."""
        self._series[environment, view.symbol][channel].restart()

    async def run(self) -> None:
        """Tell what changed, until cancelled."""
        second = 0
        while True:
            await asyncio.sleep(self._window_s or TICK_S)
            if int(time.time()) != second:
                second = int(time.time())
                self._pass_time(second)
            self.tick(time.monotonic())

    def tick(self, now: float) -> None:
        """Tell everything whose time has come. `now` is monotonic."""
        for view, of_market in list(self._dirty.items()):
            self._flush(view, of_market.values(), now)
            if not view.changed:
                del self._dirty[view]

    def _flush(self, view: View, of_market: Iterable[Series], now: float) -> None:
        for series in of_market:
            if series.channel in view.changed and (series.due <= now or series.channel in AT_ONCE):
                view.changed.discard(series.channel)
                series.flush(now)

    def _pass_time(self, second: int) -> None:
        for (environment, _), of_market in self._series.items():
            view = of_market[BOOK].view
            view.pass_time(second)
            self.changed(environment, view)
