"""The journal read by somebody who misses nothing: every committed row executed again, and all that must follow."""

from collections import Counter, deque
from collections.abc import Sequence
from typing import Final

from db.rendering import instant
from db.snapshot import CHAIN_START
from db.streams import AccountEntry, MarketEntry
from servers.domain.commands import Command
from servers.domain.events import Event, LevelChanged, OrderChanged, Posted, Traded
from servers.domain.exchange import Exchange, scope_of
from servers.domain.invariants import breaches
from servers.domain.money import parse
from servers.domain.state import load, state_hash
from servers.domain.terms import Environment, Side
from servers.engine.effects import account_changes
from servers.engine.lines import event_row, posting_line, trade_line
from servers.engine.projection import CHANGED
from servers.engine.replay import JournalCorrupt, Replay
from servers.engine.ring import AccountFrame
from tests.simulation.bus import Bus
from tests.simulation.database import PARTITION, Database
from venue.engine.v1 import engine_pb2 as pb
from venue.marketdata.v1 import marketdata_pb2

Levels = dict[tuple[int, int], tuple[int, int]]


class Violation(AssertionError):
    """Something does not hold that must."""


class Witness:
    """What is true, as far as it is durable."""

    def __init__(self, database: Database, bus: Bus, memory: int, *, thorough: bool) -> None:
        self.replay = Replay(Exchange(PARTITION, Environment.DEMO, memory), CHAIN_START)
        # (scope, request_id) -> (sequence, kind, answer); and the answers there are.
        self.told: dict[tuple[str, str], tuple[int, str, bytes]] = {}
        self.answers: set[bytes] = set()
        self.thorough = thorough
        self._database = database
        self._bus = bus
        self._memory = memory
        self._epoch = 0
        self._filled: Counter[int] = Counter()
        self._postings: Counter[tuple[str, str]] = Counter()
        # What the tables' appended lines must be, and how many were found so.
        self._lines: dict[str, list[str]] = {"trades": [], "postings": []}
        self._events: list[bytes] = []
        self._seen: Counter[str] = Counter()
        self._records: dict[tuple[str, int], tuple[int, bytes]] = {}
        # Changes of levels not yet taken into `_true`, the book as of the last entry of its market.
        self._changes: dict[str, deque[tuple[int, int, int, int, int]]] = {}
        self._true: dict[str, Levels] = {}
        self._folded: dict[str, Levels] = {}
        self._last: dict[str, int] = {}

    @property
    def exchange(self) -> Exchange:
        return self.replay.exchange

    @property
    def sequence(self) -> int:
        return self.replay.sequence

    def advance(self) -> bool:
        """Execute what was committed since. True if something was. Raises Violation."""
        rows = self._database.after(self.sequence)
        for row in rows:
            if row.epoch < self._epoch:
                raise Violation(f"row {row.first_sequence} of epoch {row.epoch} behind epoch {self._epoch}")
            self._epoch = row.epoch
            answers = pb.AnswerBatch.FromString(row.answers).answers
            messages = pb.CommandBatch.FromString(row.commands).commands
            if not len(answers) == len(messages) == row.last_sequence - row.first_sequence + 1:
                raise Violation(f"row {row.first_sequence} has {len(answers)} answers")
            at = 0
            try:
                for command, events in self.replay.execute(row):
                    self._remember(command, messages[at], answers[at])
                    self._account(command, events)
                    at += 1
            except JournalCorrupt as error:
                raise Violation(str(error)) from error
        return bool(rows)

    def sound(self) -> None:
        """The rules' own invariants. Raises Violation."""
        found = breaches(self.exchange)
        if found:
            raise Violation("; ".join(found))

    def _remember(self, command: Command, message: pb.Command, answer: bytes) -> None:
        self.answers.add(answer)
        if command.request_id:
            key = (scope_of(command), command.request_id)
            if key in self.told:
                raise Violation(f"{key} is in the journal twice: {self.told[key][0]} and {command.sequence}")
            self.told[key] = (command.sequence, message.WhichOneof("body") or "", answer)

    def _account(self, command: Command, events: Sequence[Event]) -> None:
        exchange = self.exchange
        changed = []
        posted = 0
        for event in events:
            match event:
                case Traded(maker=maker, taker=taker, lots=lots):
                    self._filled[maker.number] += lots
                    self._filled[taker.number] += lots
                case OrderChanged(order=order):
                    changed.append(order)
                case Posted(debit, credit, asset, amount):
                    self._postings[debit.account_id, asset] -= amount
                    self._postings[credit.account_id, asset] += amount
        for order in changed:
            if order.filled_lots != self._filled[order.number]:
                raise Violation(
                    f"order {order.number}: {order.filled_lots} filled, {self._filled[order.number]} traded"
                )
        if not self.thorough:
            return
        lines, sequence, time = self._lines, command.sequence, command.time
        for event in events:
            match event:
                case Traded():
                    lines["trades"].append(trade_line(PARTITION, sequence, instant(time), event))
                case Posted():
                    lines["postings"].append(posting_line(PARTITION, sequence, posted, instant(time), event))
                    posted += 1
                case LevelChanged(market, side, ticks, lots, count):
                    self._changes.setdefault(market.symbol, deque()).append((sequence, side, ticks, lots, count))
        for n, (account_id, previous, record) in enumerate(account_changes(exchange, list(events))):
            self._records[account_id, sequence] = (previous, record)
            arguments = (account_id, previous, CHANGED, record)
            self._events.append(event_row(PARTITION, sequence, n, time, *arguments))

    # What was told, and what was written

    def frame(self, frame: AccountFrame) -> None:
        """A frame reached a follower. Raises Violation."""
        self.advance()
        if frame.sequence > self.sequence:
            raise Violation(f"frame {frame.sequence} was told before it was durable")
        if self.thorough:
            expected = self._records.get((frame.account_id, frame.sequence))
            if expected is None or expected[0] != frame.previous_sequence:
                raise Violation(f"frame {frame.sequence} of {frame.account_id} is not what happened")

    def check_bus(self) -> None:
        """Entries that came are of what happened, in chains, and give the books. Raises Violation."""
        news, self._bus.news = self._bus.news, []
        for entry in news if self.thorough else ():
            if entry.sequence > self.sequence:
                raise Violation(f"{entry} was published before it was durable")
            if isinstance(entry, MarketEntry):
                self._check_market(entry)
            else:
                self._check_account(entry)

    def _check_account(self, entry: AccountEntry) -> None:
        if self._records.get((entry.account_id, entry.sequence)) != (entry.previous_sequence, entry.record):
            raise Violation(f"the entry {entry.sequence} of {entry.account_id} is not what happened")

    def _check_market(self, entry: MarketEntry) -> None:
        symbol, record = entry.symbol, pb.MarketRecord.FromString(entry.record)
        true, folded = self._true.setdefault(symbol, {}), self._folded.setdefault(symbol, {})
        changes = self._changes.setdefault(symbol, deque())
        while changes and changes[0][0] <= entry.sequence:
            _, side, ticks, lots, count = changes.popleft()
            _put(true, (side, ticks), (lots, count))
        if record.reset:
            self._folded[symbol] = dict(true)
        elif record.previous_sequence != self._last.get(symbol, 0):
            raise Violation(f"a gap in {symbol} before {entry.sequence} that is not announced")
        else:
            market = self.exchange.market(symbol)
            for side, levels in ((Side.BUY, record.bids), (Side.SELL, record.asks)):
                for level in levels:
                    lots, ticks = parse(level.quantity) // market.lot_size, parse(level.price) // market.tick_size
                    _put(folded, (int(side), ticks), (lots, _count(level)))
            if folded != true:
                raise Violation(f"the published book of {symbol} at {entry.sequence} is not the book")
        self._last[symbol] = entry.sequence

    def check_tables(self) -> None:
        """Tables and the rest of the journal give the same machine; their lines tell what happened. Raises Violation."""
        database = self._database
        loaded = database.snapshot(self._memory)
        again = Replay(load(PARTITION, Environment.DEMO, loaded.snapshot, self._memory), loaded.chain)
        for row in database.after(loaded.sequence):
            try:
                again.skip(row)
            except JournalCorrupt as error:
                raise Violation(f"tables at {loaded.sequence}: {error}") from error
        if state_hash(again.exchange) != state_hash(self.exchange):
            raise Violation(f"tables at {loaded.sequence} and the rest of the journal give another machine")
        for table, expected in self._lines.items() if self.thorough else ():
            written, seen = database.lines[table], self._seen[table]
            if written[seen:] != expected[seen : len(written)]:
                raise Violation(f"{table} are not what happened")
            self._seen[table] = len(written)
        if self.thorough:
            seen = self._seen["account_events"]
            if database.events[seen:] != self._events[seen : len(database.events)]:
                raise Violation("account_events are not what happened")
            self._seen["account_events"] = len(database.events)
        for account in self.exchange.ledger.accounts.values():
            for balance in account.balances.values():
                total = balance.available + balance.held
                if total != self._postings[account.account_id, balance.asset]:
                    raise Violation(f"{account.account_id} {balance.asset}: {total} is not the sum of its postings")


def _put(levels: Levels, key: tuple[int, int], value: tuple[int, int]) -> None:
    if value[0]:
        levels[key] = value
    else:
        levels.pop(key, None)


def _count(level: marketdata_pb2.BookLevel) -> int:
    return level.order_count


MEMORY: Final = 100
