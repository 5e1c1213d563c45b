"""The tables' side of a replica: what rows of the journal changed is collected, cut at the end of a row, and written.

While one cut is being written the next one collects, so cuts grow with the load. A cut is taken between two commands: living
things are put down as they are then, whatever happened to them before.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from db.projecting import CHANGING, STATE, Cut, Values
from db.rendering import instant
from servers.domain import events as e
from servers.domain.exchange import Exchange
from servers.domain.identifiers import placing_sequence
from servers.domain.model import (
    Account,
    Balance,
    Limits,
    Market,
    Order,
    Position,
    Request,
    TradingSession,
    Transfer,
)
from servers.engine.effects import Effects, Mark
from servers.engine.lines import event_row, order_line, posting_line, trade_line

# The one type of account event there is: a changed record of orders and balances.
CHANGED: Final = 1
_SECOND_US: Final = 1_000_000
_INTERVALS_S: Final = (1, 60)
_CHANGING: Final = CHANGING


class TableChanges:
    """What happened since the last cut. Only what ends with a whole row can be taken."""

    def __init__(self, exchange: Exchange, chain: bytes) -> None:
        clock = exchange.clock
        self._exchange = exchange
        self._start = Mark(clock.sequence, clock.epoch, clock.digest, chain)
        self._end = self._start
        self._whole = asyncio.Event()
        self._clear()

    def _clear(self) -> None:
        # Things in the order of their first change; a dict, because a set would have another order in every run.
        self._orders: dict[Order, None] = {}
        self._balances: dict[Balance, None] = {}
        self._positions: dict[Position, None] = {}
        self._limits: dict[tuple[str, str, str], Limits] = {}
        self._accounts: dict[Account, None] = {}
        self._markets: dict[Market, None] = {}
        self._transfers: dict[Transfer, None] = {}
        self._sessions: dict[TradingSession, None] = {}
        self._requests: dict[tuple[str, str], Request] = {}
        self._definitions: dict[tuple[str, str, str], object] = {}
        self._candles: dict[tuple[str, int, int], list[int]] = {}
        self._trades: list[str] = []
        self._postings: list[str] = []
        self._account_events: list[bytes] = []

    @property
    def commands(self) -> int:
        """How many are collected and not yet taken."""
        return self._end.sequence - self._start.sequence

    def add(self, effects: Effects) -> None:
        """Collect what a command caused. Until `seal` nothing can be taken."""
        self._whole.clear()
        partition, sequence, time_us = self._exchange.partition, effects.sequence, effects.time_us
        posted, time = 0, instant(time_us)
        # By frequency, and by identity: this is done ten times a command. A type checker does not follow `kind` to `event`: what
        # is ignored below is each time that an event is of the kind that was looked at.
        for event in effects.events:
            kind = type(event)
            if kind is e.BalanceChanged:
                self._balances[event.balance] = None  # type: ignore[union-attr]
            elif kind is e.Posted:
                self._postings.append(posting_line(partition, sequence, posted, time, event))  # type: ignore[arg-type]
                posted += 1
            elif kind is e.OrderChanged:
                self._orders[event.order] = None  # type: ignore[union-attr]
            elif kind is e.AccountTouched or kind is e.AccountChanged:
                self._accounts[event.account] = None  # type: ignore[union-attr]
            elif kind is e.LevelChanged or kind is e.MarketChanged:
                self._markets[event.market] = None  # type: ignore[union-attr]
            elif kind is e.PositionChanged:
                self._positions[event.position] = None  # type: ignore[union-attr]
            elif kind is e.Traded:
                self._trades.append(trade_line(partition, sequence, time, event))  # type: ignore[arg-type]
                self._candle(event, time_us)  # type: ignore[arg-type]
            else:
                self._define(event)
        rows = self._account_events
        for n, (account_id, previous, record) in enumerate(effects.accounts):
            rows.append(event_row(partition, sequence, n, time_us, account_id, previous, CHANGED, record))

    def _define(self, event: e.Event) -> None:
        match event:
            case e.RequestRemembered(request=request):
                self._requests[request.scope, request.request_id] = request
            case e.TransferChanged(transfer=transfer):
                self._transfers[transfer] = None
            case e.SessionChanged(session=session):
                self._sessions[session] = None
            case e.AssetDefined(asset=asset):
                self._definitions["assets", asset.symbol, ""] = asset
            case e.FeesChanged(fees=fees):
                self._definitions["fees", fees.symbol, fees.tier] = fees
            case e.LimitsChanged(limits=limits):
                self._limits[limits.account_id, limits.tier, limits.symbol] = limits

    def _candle(self, traded: e.Traded, time_us: int) -> None:
        ticks = traded.ticks
        for interval_s in _INTERVALS_S:
            length = interval_s * _SECOND_US
            key = (traded.market.symbol, interval_s, time_us // length * length)
            candle = self._candles.get(key)
            if candle is None:
                self._candles[key] = [ticks, ticks, ticks, ticks, traded.lots, traded.notional, 1]
                continue
            candle[1] = max(candle[1], ticks)
            candle[2] = min(candle[2], ticks)
            candle[3] = ticks
            candle[4] += traded.lots
            candle[5] += traded.notional
            candle[6] += 1

    def seal(self, mark: Mark) -> None:
        """A row is whole: what is collected may be taken."""
        self._end = mark
        self._whole.set()

    async def wait(self) -> None:
        """Until there is something to take."""
        await self._whole.wait()

    def take(self) -> Cut:
        """Everything since the last cut, and begin the next. Only right after `wait`, without waiting between."""
        start, end, partition = self._start, self._end, self._exchange.partition
        cut = Cut(partition, start.sequence, end.sequence, end.epoch, end.digest, end.chain)
        new = []
        for order in self._orders:
            if (order.born or placing_sequence(order.number)) > start.sequence:
                new.append(order_line(partition, order))
            else:
                changes = [getattr(order, name) for name in _CHANGING]
                times = (instant(order.expire_time), instant(order.trigger_time), instant(order.update_time))
                cut.changed_orders.append((order.number, *changes, *times))
        self._take_state(cut)
        cut.candles = [(symbol, s, instant(t), *values) for (symbol, s, t), values in self._candles.items()]
        cut.appended = {"orders": new, "trades": self._trades, "postings": self._postings}
        cut.events = self._account_events
        self._start = end
        self._whole.clear()
        self._clear()
        return cut

    def _take_state(self, cut: Cut) -> None:
        cut.ended_sessions = [(s.account.account_id, s.session_id) for s in self._sessions if s.ended]
        things: dict[str, Iterable[object]] = {
            "machine": [self._exchange.clock],
            "assets": [thing for key, thing in self._definitions.items() if key[0] == "assets"],
            "markets": self._markets,
            "fees": [thing for key, thing in self._definitions.items() if key[0] == "fees"],
            "accounts": self._accounts,
            "balances": self._balances,
            "positions": self._positions,
            "limits": self._limits.values(),
            "trading_sessions": [session for session in self._sessions if not session.ended],
            "transfers": self._transfers,
            "requests": self._requests.values(),
        }
        for table, changed in things.items():
            columns, _ = STATE[table]
            rows: list[Values] = [columns.values(thing) for thing in changed]
            if rows:
                cut.state[table] = rows
