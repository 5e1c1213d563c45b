"""The bus's side of a replica: what rows of the journal changed in markets and accounts, made into entries of streams.

While the bus is written, or away, changes collect: the last level of a price wins, trades and account records add up. What does
not fit is forgotten, and every market's next entry then says so.
"""

import asyncio
from dataclasses import dataclass, field
from typing import NamedTuple

from db.streams import AccountFields, MarketEntry
from servers.domain import events as e
from servers.domain.exchange import Exchange
from servers.domain.model import Market
from servers.domain.terms import Side
from servers.engine.effects import Effects, Mark
from servers.engine.messages import level_message, market_message
from servers.engine.wire import trade_wire
from venue.engine.v1 import engine_pb2
from venue.marketdata.v1 import marketdata_pb2

_BUY = int(Side.BUY)


@dataclass(slots=True, eq=False)
class _MarketChanges:
    """What changed in one market: (side, ticks) -> (lots, orders), trades as (sequence, bytes), whether its definition did."""

    sequence: int = 0
    time_us: int = 0
    levels: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    trades: list[tuple[int, bytes]] = field(default_factory=list)
    defined: bool = False


class Publication(NamedTuple):
    """Entries of everything up to a sequence."""

    sequence: int
    markets: list[MarketEntry]
    accounts: list[AccountFields]


class BusChanges:
    """What happened since the last publication. Only what ends with a whole row can be taken."""

    def __init__(self, exchange: Exchange, commands_max: int) -> None:
        self.sequence = exchange.clock.sequence
        # Set when something was forgotten; whoever publishes resets all markets and clears it.
        self.lost = False
        self._exchange = exchange
        self._commands_max = commands_max
        self._whole = asyncio.Event()
        self._open = False
        # Where the bus stands: what it has already is not published again by rows that are read again.
        self._published = 0
        self._clear()

    def _clear(self) -> None:
        self._commands = 0
        self._markets: dict[str, _MarketChanges] = {}
        self._accounts: list[AccountFields] = []

    def add(self, effects: Effects) -> None:
        """Collect what a command caused. Until `seal` nothing can be taken."""
        self._whole.clear()
        self._open = True
        self._commands += 1
        if self._commands > self._commands_max:
            self.lost = True
            self._clear()
        sequence = effects.sequence
        for event in effects.events:
            kind = type(event)
            if kind is e.LevelChanged:
                changes = self._touch(event.market.symbol, effects)  # type: ignore[union-attr]  # its kind was looked at
                changes.levels[event.side, event.ticks] = (event.lots, event.count)  # type: ignore[union-attr]
            elif kind is e.Traded:
                trade = trade_wire(self._exchange.partition, event, sequence, effects.time_us)  # type: ignore[arg-type]
                self._touch(event.market.symbol, effects).trades.append((sequence, trade))  # type: ignore[union-attr]
            elif kind is e.MarketChanged:
                self._touch(event.market.symbol, effects).defined = True  # type: ignore[union-attr]
            elif kind is e.FeesChanged:
                self._touch(event.fees.symbol, effects).defined = True  # type: ignore[union-attr]
        for account_id, previous, record in effects.accounts:
            self._accounts.append((account_id, sequence, previous, record))

    def _touch(self, symbol: str, effects: Effects) -> _MarketChanges:
        changes = self._markets.get(symbol)
        if changes is None:
            changes = self._markets[symbol] = _MarketChanges()
        changes.sequence = effects.sequence
        changes.time_us = effects.time_us
        return changes

    def seal(self, mark: Mark) -> None:
        """A row is whole: what is collected may be taken, unless the bus is further than that."""
        self.sequence = mark.sequence
        self._open = False
        if self.sequence >= self._published:
            self._whole.set()

    def stand(self, published: int) -> None:
        """The bus has everything up to a sequence: nothing can be taken until the rows have come as far."""
        self._published = published
        if self.sequence < published:
            self._whole.clear()

    async def wait(self) -> None:
        """Until there is something to take."""
        await self._whole.wait()

    @property
    def ready(self) -> bool:
        """Whether there is something to take: whole rows, or a loss to tell of; never while the bus is further."""
        return not self._open and self.sequence >= self._published and (self._whole.is_set() or self.lost)

    @property
    def markets(self) -> list[str]:
        """Every market there is."""
        return list(self._exchange.floor.markets)

    def take(self, after: int, last: dict[str, int]) -> Publication:
        """Entries of what was collected after a sequence, and begin again; `last` has the markets' last entries, and gets these.

        Where something was lost, every market has an entry that says so. Only when ready.
        """
        entries = []
        for symbol in self.markets if self.lost else list(self._markets):
            changes = self._markets.get(symbol, _MarketChanges())
            if self.lost or changes.sequence > after:
                entries.append(self._entry(symbol, changes, after, last))
        accounts = [entry for entry in self._accounts if entry[1] > after]
        self.lost = False
        self._whole.clear()
        self._clear()
        return Publication(self.sequence, entries, accounts)

    def _entry(self, symbol: str, changes: _MarketChanges, after: int, last: dict[str, int]) -> MarketEntry:
        market = self._exchange.floor.markets[symbol]
        previous = last.get(symbol, 0)
        fresh = changes.sequence > after
        sequence = changes.sequence if fresh else self.sequence
        record = engine_pb2.MarketRecord(
            symbol=symbol,
            environment=int(self._exchange.environment),  # type: ignore[arg-type]
            sequence=sequence,
            previous_sequence=previous,
            bids=_levels(market, changes, buy=True),
            asks=_levels(market, changes, buy=False),
            reset=self.lost,
            time_us=changes.time_us if fresh else self._exchange.clock.time,
        )
        if changes.defined or self.lost:
            record.market.CopyFrom(market_message(self._exchange, market))
        last[symbol] = sequence
        # Fields that are there already are joined: a message of messages would be copied and made again.
        trades = [trade for trade_sequence, trade in changes.trades if trade_sequence > after]
        return MarketEntry(symbol, sequence, int(sequence <= previous), b"".join((record.SerializeToString(), *trades)))


def _levels(market: Market, changes: _MarketChanges, *, buy: bool) -> list[marketdata_pb2.BookLevel]:
    return [
        level_message(market, ticks, lots, count)
        for (side, ticks), (lots, count) in changes.levels.items()
        if (side == _BUY) is buy
    ]
