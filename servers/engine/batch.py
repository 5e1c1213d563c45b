"""What waits for a commit: tickets of callers, in batches that become one row of the journal each."""

import asyncio
from collections.abc import Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from db.journal import JournalRow
from servers.domain.errors import VenueError
from servers.domain.exchange import Exchange
from servers.engine.delimited import repeated
from servers.engine.ring import AccountFrame
from venue.engine.v1 import engine_pb2 as pb

_COMMANDS: Final = pb.CommandBatch.COMMANDS_FIELD_NUMBER
_ANSWERS: Final = pb.AnswerBatch.ANSWERS_FIELD_NUMBER


class Replay(NamedTuple):
    """A request that was answered before: by which command, of what kind, and the answer if memory has it."""

    sequence: int
    kind: str
    answer: bytes | None


Outcome = bytes | VenueError | Replay
# Outcomes that a look-up of the request id found, by index of the command.
Known = dict[int, Outcome]


class Ticket:
    """The commands of one caller, their outcomes, and the moment they may be told."""

    __slots__ = ("commands", "deadline", "done", "known", "results", "streamed")

    def __init__(
        self,
        commands: Sequence[pb.Command],
        deadline: float | None,
        known: Known,
        *,
        streamed: bool = False,
    ) -> None:
        self.commands = commands
        # Whether its caller sends on without waiting for the answer.
        self.streamed = streamed
        # On the loop's clock.
        self.deadline = deadline
        self.known = known
        self.results: list[Outcome] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def ends_with(self, command: pb.Command, refusal: VenueError) -> bool:
        """Refuse what follows a refused command where that began a batch; whether it did."""
        if command.WhichOneof("body") != "begin_batch":
            return False
        self.results += [refusal] * (len(self.commands) - len(self.results))
        return True

    def resolve(self) -> None:
        """Let the caller go on; it may have gone."""
        if not self.done.done():
            self.done.set_result(None)

    def fail(self, error: VenueError) -> None:
        """End the caller with an error."""
        if not self.done.done():
            self.done.set_exception(error)
            # Whoever asked may have gone; unasked, asyncio would complain.
            self.done.exception()


class Batch:
    """Executed commands that will be committed together, and who waits for that."""

    __slots__ = ("answers", "callers", "commands", "first", "frames", "gathers", "tickets")

    def __init__(self, first: int) -> None:
        self.first = first
        self.commands: list[pb.Command] = []
        self.answers: list[bytes] = []
        self.frames: list[AccountFrame] = []
        self.tickets: list[Ticket] = []
        # How many of the tickets somebody sent.
        self.callers = 0
        # Whether it gains by a wait for more: what comes in sessions and batches does, whoever asks for one thing waits for it.
        self.gathers = False

    def add(self, ticket: Ticket) -> None:
        """A ticket whose commands were executed into it, or that saw what was."""
        self.tickets.append(ticket)
        # The passing of time is nobody's.
        self.callers += bool(ticket.commands)
        self.gathers |= ticket.streamed or len(ticket.commands) > 1

    @property
    def last(self) -> int:
        """The sequence of its last command."""
        return self.first + len(self.commands) - 1

    def answer(self, sequence: int) -> bytes | None:
        """The answer of one of its commands."""
        index = sequence - self.first
        return self.answers[index] if 0 <= index < len(self.answers) else None

    def row(self, exchange: Exchange, epoch: int, chain: bytes) -> JournalRow:
        """The journal's row, right after its last command was executed and before another is."""
        # Joined here: a message of messages would copy each before it is written.
        commands = repeated(_COMMANDS, [command.SerializeToString() for command in self.commands])
        return JournalRow(
            exchange.partition,
            self.first,
            self.last,
            epoch,
            exchange.clock.rules_version,
            commands,
            repeated(_ANSWERS, self.answers),
            exchange.clock.digest,
            sha256(chain + commands).digest(),
        )
