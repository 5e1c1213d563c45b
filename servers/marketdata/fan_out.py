"""What changed in markets, told to every stream: the markets, the rhythms they are told in, the open streams, and the clock."""

import asyncio
import time
from collections.abc import Iterator
from itertools import chain
from typing import Final

from servers.domain.errors import MarketNotFound
from servers.marketdata.rhythm import Rhythm
from servers.marketdata.series import Bounds
from servers.marketdata.source import Source, Sources
from servers.marketdata.subscriber import Subscriber
from servers.marketdata.view import View

# The windows that a stream may have: few, since each is work of its own.
WINDOWS_S: Final = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
# To write to a stream takes some 70 us, and the last of five hundred would wait for all others. So those of one window are told
# in phases, this far apart: fewer at a time, as many in all, each of them once a window. A phase makes its own frames, which is
# worth it for this many streams.
PHASE_S: Final = 0.02
PHASES_MAX: Final = 5
PHASE_STREAMS: Final = 64


class FanOut:
    """Every market of this process by environment and symbol, and every stream by id."""

    def __init__(self, *, book_window_s: float, silence_s: float, bounds: Bounds) -> None:
        self.streams: dict[str, Subscriber] = {}
        self._window_s = book_window_s
        self._silence_s = silence_s
        self._bounds = bounds
        self._views: dict[tuple[int, str], View] = {}
        self._sources: dict[int, Sources] = {}
        # Of an environment and window, in phases; no phase is taken away.
        self._rhythms: dict[tuple[int, float], list[Rhythm]] = {}

    def add(self, source: Source, view: View) -> None:
        """Serve a market from now on."""
        self._views[source.environment, view.symbol] = view
        sources = self.sources(source.environment)
        if source not in sources.all:
            sources.all.append(source)

    def sources(self, environment: int) -> Sources:
        """The partitions of an environment that have markets."""
        return self._sources.setdefault(environment, Sources(environment, []))

    def find(self, environment: int, symbol: str) -> View:
        """Raises MarketNotFound."""
        view = self._views.get((environment, symbol))
        if view is None:
            raise MarketNotFound(symbol)
        return view

    def open(self, environment: int, depth: int, *, window_s: float | None = None, joined: bool = False) -> Subscriber:
        """A stream without subscriptions; `close` it. A window is made one of WINDOWS_S; None: the deployment's."""
        rhythm = self._rhythm(environment, self._window_s if window_s is None else allowed_window(window_s))
        rhythm.streams += 1
        subscriber = Subscriber(rhythm, depth, self._silence_s, joined=joined)
        self.streams[subscriber.stream_id] = subscriber
        return subscriber

    def close(self, subscriber: Subscriber) -> None:
        del self.streams[subscriber.stream_id]
        subscriber.rhythm.streams -= 1
        subscriber.end("")

    def find_stream(self, stream_id: str) -> Subscriber | None:
        """A stream of this process that has not ended."""
        subscriber = self.streams.get(stream_id)
        return None if subscriber is None or subscriber.ended else subscriber

    def changed(self, environment: int, view: View) -> None:
        """A market may have something to tell: at once to those who want that."""
        for rhythm in self._rhythms.get((environment, 0.0), ()):
            rhythm.changed(view)

    def settle(self, environment: int) -> None:
        """What was known of the environment's partitions has been told to those who want it at once."""
        for rhythm in self._rhythms.get((environment, 0.0), ()):
            rhythm.told = rhythm.sources.taken()

    def restart(self, environment: int, view: View, channel: int) -> None:
        """A channel does not go on where it was: its readers start over."""
        for rhythm in self._all():
            if rhythm.sources.environment == environment:
                rhythm.restart(view, channel)

    async def run(self) -> None:
        """Tell what changed, until cancelled."""
        second = 0
        while True:
            now = time.monotonic()
            if int(time.time()) != second:
                second = int(time.time())
                self._pass_time(second)
            self.tick(now)
            due = min((rhythm.due for rhythm in self._all()), default=now + (self._window_s or WINDOWS_S[1]))
            # A rhythm that begins while this sleeps is heard after it.
            await asyncio.sleep(max(due - time.monotonic(), 0.001))

    def tick(self, now: float) -> None:
        """Tell everything whose time has come. `now` is monotonic."""
        for rhythm in self._all():
            if rhythm.due <= now:
                rhythm.tick(now)

    def _rhythm(self, environment: int, window_s: float) -> Rhythm:
        """The phase with the fewest streams; another one once each has enough, as far as the window has room for them."""
        phases = self._rhythms.setdefault((environment, window_s), [])
        best = min(phases, key=lambda rhythm: rhythm.streams, default=None)
        if best is None or (best.streams >= PHASE_STREAMS and len(phases) < min(PHASES_MAX, int(window_s / PHASE_S))):
            best = Rhythm(self.sources(environment), window_s, self._bounds, PHASE_S * len(phases))
            phases.append(best)
        return best

    def _all(self) -> Iterator[Rhythm]:
        return chain.from_iterable(self._rhythms.values())

    def _pass_time(self, second: int) -> None:
        for view in self._views.values():
            view.pass_time(second)
        for rhythm in self._all():
            rhythm.trim()


def allowed_window(window_s: float) -> float:
    """The longest window that is not longer than the one asked for."""
    return max(known for known in WINDOWS_S if known <= window_s)
