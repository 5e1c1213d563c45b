"""Series of an environment that are told in one rhythm, and how far their readers know everything.

`told` is a position: whatever happened up to it is in the logs. It is moved when every market has been told, so a reader who was
given all that is in his logs may go on after it elsewhere. A frame bears the one of before itself.
"""

import time
from typing import Final

from servers.marketdata.series import Bounds, Cursor, Reader, Series, Snapshot
from servers.marketdata.source import Sources
from servers.marketdata.view import BOOK, CANDLES, STATUS, TICKER, TRADES, View

# Without a window the channels that have a pace of their own still need one.
TICK_S: Final = 0.05
AT_ONCE: Final = frozenset((TRADES, BOOK, STATUS))


class Group:
    """The series of one market in one rhythm, while somebody reads them."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.watch = view.watch()
        self.series: dict[tuple[int, int], Series] = {}

    def flush(self, now: float, position: str, *, paced: bool) -> None:
        """Tell what changed; what has a pace of its own where `paced`, and only when it is due."""
        watch = self.watch
        if watch.changed & AT_ONCE:
            for series in self.series.values():
                if series.channel in AT_ONCE and series.channel in watch.changed:
                    series.flush(watch, now, position)
            watch.changed -= AT_ONCE
            watch.bids.clear()
            watch.asks.clear()
            # Not cleared: the list was handed on.
            watch.trades = []
        if paced:
            self._flush_paced(now, position)

    def _flush_paced(self, now: float, position: str) -> None:
        watch = self.watch
        if TICKER in watch.changed:
            ticker = self.series.get((TICKER, 0))
            if ticker is None:
                watch.changed.discard(TICKER)
            elif ticker.due <= now:
                watch.changed.discard(TICKER)
                ticker.flush(watch, now, position)
        for interval in list(watch.candles):
            candles = self.series.get((CANDLES, interval))
            if candles is None:
                watch.take_candles(interval)
            elif candles.due <= now:
                candles.flush(watch, now, position)

    def waits(self, series: Series) -> bool:
        """Whether something of a series is not told yet."""
        if series.channel == CANDLES:
            return series.detail in self.watch.candles
        return series.channel in self.watch.changed


class Rhythm:
    """One window of one environment; 0 is none: each change is told at once."""

    def __init__(self, sources: Sources, window_s: float, bounds: Bounds, phase_s: float = 0.0) -> None:
        self.sources = sources
        self.window_s = window_s
        self.told = sources.taken()
        self.due = 0.0
        # How many read in it.
        self.streams = 0
        self._phase_s = phase_s
        self._bounds = bounds
        self._groups: dict[View, Group] = {}

    def join(self, view: View, channel: int, detail: int, reader: Reader) -> Cursor:
        """A reader's place in a series, which needs a snapshot first; `leave` it."""
        group = self._groups.get(view)
        if group is None:
            group = self._groups[view] = Group(view)
        key = channel, detail
        series = group.series.get(key)
        if series is None:
            # What is waiting to be told is part of what the new series begins with.
            group.flush(time.monotonic(), self.told, paced=False)
            series = group.series[key] = Series(self.sources, view, channel, detail, self._bounds)
        cursor = Cursor(series, reader)
        series.cursors[cursor] = None
        return cursor

    def leave(self, cursor: Cursor) -> None:
        """Read no more."""
        series = cursor.series
        if series.cursors.pop(cursor, cursor) is not None or series.cursors:
            return
        group = self._groups[series.view]
        del group.series[series.channel, series.detail]
        if not group.series:
            del self._groups[series.view]
            series.view.unwatch(group.watch)

    def snapshot(self, cursor: Cursor) -> Snapshot:
        """The first frame of a subscription."""
        series, now = cursor.series, time.monotonic()
        group = self._groups[series.view]
        if not series.has_snapshot(now) and group.waits(series):
            group.flush(now, self.told, paced=False)
            if group.waits(series):
                series.due = 0.0
                group.flush(now, self.told, paced=True)
        return series.snapshot(now, self.told)

    def tick(self, now: float) -> None:
        """Tell everything, and then that it was told."""
        # On a grid, so that phases stay apart: one that is late is not late again.
        window, phase = self.window_s or TICK_S, self._phase_s
        self.due = ((now - phase) // window + 1) * window + phase
        for group in self._groups.values():
            if group.watch.changed:
                group.flush(now, self.told, paced=True)
        self.told = self.sources.taken()

    def changed(self, view: View) -> None:
        """Without a window: tell a market's change now."""
        group = self._groups.get(view)
        if group is not None and group.watch.changed:
            group.flush(time.monotonic(), self.told, paced=False)

    def restart(self, view: View, channel: int) -> None:
        """A channel of a market does not go on where it was."""
        group = self._groups.get(view)
        if group is not None:
            for series in group.series.values():
                if series.channel == channel:
                    series.restart()

    def trim(self) -> None:
        """Let go of what everybody has read, and say so to who has fallen behind."""
        for group in list(self._groups.values()):
            for series in list(group.series.values()):
                for cursor in series.trim():
                    cursor.reader.lose(cursor)
