"""Rows of the journal executed again, each checked before and after: the one way from a journal to a machine.

A row must follow the one before it, its chain must be the hash of the chain before and its commands, and the machine must come
to the digest that the leader came to. A row that fails is named and never skipped: it may have been acknowledged.
"""

from collections.abc import Iterator
from hashlib import sha256
from typing import Protocol

from google.protobuf.message import DecodeError

from servers.domain.commands import Command
from servers.domain.errors import VenueError
from servers.domain.events import Event
from servers.domain.exchange import RULES_VERSION, Exchange
from servers.engine.codec import decode
from servers.engine.faults import FAULTS
from venue.engine.v1 import engine_pb2


class Row(Protocol):
    """A committed batch, from the journal's table or from a leader's Tail."""

    @property
    def first_sequence(self) -> int: ...
    @property
    def last_sequence(self) -> int: ...
    @property
    def rules_version(self) -> int: ...
    @property
    def commands(self) -> bytes: ...
    @property
    def digest(self) -> int: ...
    @property
    def chain(self) -> bytes: ...


class JournalCorrupt(RuntimeError):
    """A row of the journal is not what was committed: nothing may start from it."""

    def __init__(self, partition: int, first_sequence: int, what: str) -> None:
        super().__init__(f"journal row {first_sequence} of partition {partition}: {what}")
        self.partition = partition
        self.first_sequence = first_sequence


class Diverged(JournalCorrupt):
    """The row is whole, but the machine came to another result than the leader: one of the two is wrong."""


class RulesUnknown(RuntimeError):
    """The row was executed under other rules than this program has: run the program that has them."""


class Replay:
    """A machine and the chain of the last row that it executed."""

    __slots__ = ("chain", "exchange")

    def __init__(self, exchange: Exchange, chain: bytes) -> None:
        self.exchange = exchange
        self.chain = chain

    @property
    def sequence(self) -> int:
        """The last command executed."""
        return self.exchange.clock.sequence

    def check(self, row: Row) -> bytes:
        """The chain after the row. Raises JournalCorrupt, RulesUnknown; nothing is executed."""
        partition, first = self.exchange.partition, row.first_sequence
        if first != self.sequence + 1:
            raise JournalCorrupt(partition, first, f"does not follow sequence {self.sequence}")
        chain = sha256(self.chain + row.commands).digest()
        if chain != row.chain:
            raise JournalCorrupt(partition, first, "fails its hash chain")
        if row.rules_version != RULES_VERSION:
            # New code never reinterprets old commands: what is left of them is projected by the program that knew them.
            raise RulesUnknown(f"journal row {first} of partition {partition} needs rules version {row.rules_version}")
        return chain

    def execute(self, row: Row) -> Iterator[tuple[Command, list[Event]]]:
        """Each command of a row with its events, which hold until the next is asked for; the row counts when all are.

        Raises JournalCorrupt, Diverged, RulesUnknown.
        """
        chain = self.check(row)
        exchange = self.exchange
        partition, first = exchange.partition, row.first_sequence
        try:
            batch = engine_pb2.CommandBatch.FromString(row.commands)
        except DecodeError as error:
            raise JournalCorrupt(partition, first, "is not a batch of commands") from error
        for message in batch.commands:
            try:
                command = decode(message)
                events = exchange.execute(command)
            except (VenueError, *FAULTS) as error:
                what = f"command {message.sequence} fails here: {type(error).__name__}: {error}"
                raise Diverged(partition, first, what) from error
            yield command, events
        if self.sequence != row.last_sequence:
            raise JournalCorrupt(partition, first, f"ends at {self.sequence}, not at {row.last_sequence}")
        if exchange.clock.digest != row.digest:
            raise Diverged(partition, first, f"digest {exchange.clock.digest} here, {row.digest} there")
        self.chain = chain

    def skip(self, row: Row) -> None:
        """Execute a row whose events nobody wants. Raises as execute does."""
        for _ in self.execute(row):
            pass
