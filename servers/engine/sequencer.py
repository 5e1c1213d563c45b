"""The only writer of a partition: commands in, executed at once in memory, committed in batches, told after the commit.

While one batch is being committed the next one forms. Nothing that saw memory is told before what it saw is durable: outcomes,
refusals, replays and reads alike wait for the batch that was forming, or flying, when they looked.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import structlog

from db.crash_points import passing
from servers.domain.errors import DeadlinePassed, Fault, NotLeader, Overloaded, PartUnavailable, VenueError
from servers.domain.exchange import RULES_VERSION, Exchange, scope_of
from servers.domain.ledger import InvariantBreach
from servers.engine.answers import answer, placed
from servers.engine.appender import Appender
from servers.engine.batch import Batch, Known, Outcome, Replay, Ticket
from servers.engine.clock import VenueClock
from servers.engine.codec import decode
from servers.engine.faults import FAULTS
from servers.engine.feed import Feed
from servers.engine.frames import account_frames
from servers.engine.gathering import Gathering
from servers.engine.queue import Queue, turns_of
from servers.engine.requests import check_future, needs_look_up
from servers.engine.tail import Tail
from servers.engine.wire import Wires
from venue.engine.v1 import engine_pb2 as pb

log = structlog.get_logger()
# Answers of this many batches stay at hand for repeated requests; older ones are read from the journal.
RECENT_BATCHES: Final = 64
# What brings new orders to the book, or lets old ones trade anew.
PLACING: Final = frozenset({"place_order", "amend_order", "replace_order", "place_oco"})
# Cancels may still queue where new orders are turned away.
CANCEL_RESERVE: Final = 1.25

Recover = Callable[[], Awaitable[Exchange]]


class Sequencer:
    """Leads one partition from a recovered machine until it is stopped or fenced off."""

    def __init__(
        self,
        exchange: Exchange,
        chain: bytes,
        appender: Appender,
        recover: Recover,
        clock: VenueClock,
        *,
        batch_max: int,
        queue_max: int,
    ) -> None:
        self.exchange = exchange
        self.tail = Tail(exchange.clock.sequence)
        # Set by every row that is committed while transfers are on their way to other partitions, and by the end.
        self.onward = asyncio.Event()
        self.feed = Feed()
        self.shedding = False
        self.ended: VenueError | None = None
        self._chain = chain
        self.appender = appender
        self._recover = recover
        self._clock = clock
        self._batch_max = batch_max
        self._queue_max = queue_max
        self._forming = Batch(exchange.clock.sequence + 1)
        self._flying: Batch | None = None
        self._recent: deque[Batch] = deque(maxlen=RECENT_BATCHES)
        self._gathering = Gathering(lambda: self._forming)
        self._queue = Queue()
        # Tickets whose commands may have broken the machine; while there are any, all others queue.
        self._suspects: list[Ticket] = []
        self._breached = ""
        self._wake = asyncio.Event()
        self._idled = False
        self._drained = asyncio.Event()

    # Callers

    async def submit(self, commands: Sequence[pb.Command], timeout_s: float | None, known: Known) -> list[Outcome]:
        """Execute commands in order and return their outcomes once they are durable.

        Raises Overloaded and NotLeader (nothing was executed, nor will be), PartUnavailable (the outcome is unknown).
        """
        ticket = self.enqueue(commands, timeout_s, known)
        await ticket.done
        return ticket.results

    @property
    def queued(self) -> int:
        """How many commands wait to be executed or committed."""
        return len(self._queue) + len(self._forming.commands)

    def enqueue(
        self, commands: Sequence[pb.Command], timeout_s: float | None, known: Known, *, streamed: bool = False
    ) -> Ticket:
        """Like `submit`, without waiting: commands enqueued one after the other are executed in that order."""
        if self.ended is not None:
            raise self.ended
        loop = asyncio.get_running_loop()
        ticket = Ticket(commands, None if timeout_s is None else loop.time() + timeout_s, known, streamed=streamed)
        self._admit(ticket)
        return ticket

    async def sound(self) -> Exchange:
        """The machine, once it is whole: a fault leaves one behind that is half changed. Raises NotLeader, PartUnavailable."""
        while self._suspects and self.ended is None:
            await self.tail.wait()
        if self.ended is not None:
            raise self.ended
        return self.exchange

    async def settled(self, sequence: int) -> None:
        """Until a sequence is durable. Raises NotLeader, PartUnavailable."""
        while self.tail.sequence < sequence:
            if self.ended is not None:
                raise self.ended
            await self.tail.wait()

    def _admit(self, ticket: Ticket) -> None:
        if self.shedding and _places(ticket):
            raise Overloaded
        if not self._queue and not self._suspects and len(self._forming.commands) < self._batch_max:
            self._run(ticket)
            return
        bound = self._queue_max if _places(ticket) else int(self._queue_max * CANCEL_RESERVE)
        self._queue.push(ticket, bound, partial(turns_of, self.exchange.ledger.by_user))

    def _run(self, ticket: Ticket) -> None:
        """Execute a ticket into the forming batch; it is resolved when what it saw is durable."""
        if ticket.done.done():
            return
        if ticket.deadline is not None and asyncio.get_running_loop().time() > ticket.deadline:
            ticket.fail(DeadlinePassed())
            return
        try:
            self._advance()
            # What came together happens at one time.
            now_us, known = self._clock.now_us(), ticket.known
            for index, command in enumerate(ticket.commands):
                outcome = known[index] if index in known else self._execute(command, now_us)
                ticket.results.append(outcome)
                if isinstance(outcome, VenueError) and ticket.ends_with(command, outcome):
                    break
        except InvariantBreach as breach:
            self._breach(breach, ticket)
            return
        except FAULTS:
            log.exception("a command failed; starting again from the journal", partition=self.exchange.partition)
            self._suspect(ticket)
            return
        self._attach(ticket)

    def _attach(self, ticket: Ticket) -> None:
        batch = self._forming if self._forming.commands else self._flying
        if batch is None:
            # Memory is the truth only while the lease runs; with a batch its commit proves as much.
            if self.appender.leads:
                ticket.resolve()
            else:
                # It changed nothing, else there were a batch.
                ticket.fail(NotLeader(self.exchange.partition))
            return
        batch.add(ticket)
        self._wake.set()
        self._gathering.came()

    # The machine

    def _execute(self, message: pb.Command, now_us: int) -> Outcome:
        exchange = self.exchange
        clock = exchange.clock
        message.sequence = clock.sequence + 1
        message.time_us = max(now_us, clock.time)
        try:
            command = decode(message)
            if command.request_id:
                check_future(command.request_id, message.time_us)
                first = exchange.find_request(scope_of(command), command.request_id, command.fingerprint)
                if first:
                    return Replay(first, message.WhichOneof("body") or "", self._recent_answer(first))
                if message.verdict != pb.VERDICT_NEW and needs_look_up(
                    command.request_id, exchange.clock.forgotten_time
                ):
                    # Still remembered when it was queued, so not looked up then.
                    return PartUnavailable("the record of requests")
            events = exchange.execute(command)
        except VenueError as refusal:
            return refusal
        wires = Wires(exchange)
        told = placed(exchange, command, events, wires) or answer(exchange, command, events)
        batch = self._forming
        batch.commands.append(message)
        batch.answers.append(told)
        if self.feed.wanted:
            batch.frames += account_frames(exchange, events, self.feed.wanted, wires)
        return told

    def _recent_answer(self, sequence: int) -> bytes | None:
        for batch in (self._forming, self._flying, *self._recent):
            found = batch.answer(sequence) if batch is not None else None
            if found is not None:
                return found
        return None

    def tick(self) -> None:
        """Let time pass in an idle machine; called several times a second."""
        if self.ended is None and not self._suspects:
            # An empty ticket: it goes the way of every command, faults included.
            self._run(Ticket((), None, {}))

    def _advance(self) -> None:
        """Let time pass where something is due, before anything else happens at that time."""
        due = self.exchange.next_deadline()
        if due is not None and not self._clock.suspended and due <= (now_us := self._clock.now_us()):
            self._execute(pb.Command(advance=pb.Advance()), now_us)
            self._wake.set()

    # The commit

    async def run(self) -> None:
        """Commit batch after batch until stopped. Raises FencedError, and what loading the machine again raises."""
        idle_s = self.appender.lease_s / 4
        try:
            while not self._drained.is_set():
                if self._suspects:
                    await self._heal()
                if not self._forming.commands:
                    await self._idle(idle_s)
                    continue
                await self._gathering.gather()
                await self._commit()
            if self._breached:
                await self.appender.halt(f"invariant broken: {self._breached}")
        finally:
            # Whatever ended it: nobody may wait for a commit that never comes.
            self._break_off()

    async def _idle(self, idle_s: float) -> None:
        """Until something is to be done, or nothing was for so long: then prolong the lease. Raises FencedError."""
        self._wake.clear()
        self._idled = False
        # It is waited between any two rows of few callers; asyncio.timeout would cost more than all else here.
        timer = asyncio.get_running_loop().call_later(idle_s, self._idle_over)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()
        if self._idled and not self._drained.is_set():
            await self.appender.renew()

    def _idle_over(self) -> None:
        self._idled = True
        self._wake.set()

    async def _commit(self) -> None:
        if not self._forming.commands:
            return
        batch = self._flying = self._forming
        self._forming = Batch(batch.last + 1)
        row = batch.row(self.exchange, self.appender.epoch, self._chain)
        passing("after-validate")
        await self.appender.append(row)
        passing("after-journal")
        self._chain = row.chain
        self._flying = None
        self._gathering.written()
        self._recent.appendleft(batch)
        for ticket in batch.tickets:
            ticket.resolve()
        passing("after-answers")
        self.feed.publish(batch.frames)
        self.tail.push(row)
        if self.exchange.transfers.onward:
            self.onward.set()
        self._refill()

    def _refill(self) -> None:
        while self._queue and not self._suspects and len(self._forming.commands) < self._batch_max:
            self._run(self._queue.pop())

    # Faults

    def _suspect(self, ticket: Ticket) -> None:
        """A command broke the machine: nothing of the forming batch is durable, so all of it runs again, one by one."""
        self._suspects = [*self._forming.tickets, ticket]
        self._forming = Batch(0)
        self._wake.set()

    async def _heal(self) -> None:
        """Load the machine again and run the suspects alone; the one that fails again is refused."""
        await self._reload()
        while self._suspects and not self._breached:
            await self._run_alone(self._suspects[0])
            self._suspects.pop(0)
        self.tail.ring()
        self._refill()

    async def _reload(self) -> None:
        self.exchange = await self._recover()
        self._forming = Batch(self.exchange.clock.sequence + 1)

    async def _run_alone(self, ticket: Ticket) -> None:
        ticket.results.clear()
        for index, command in enumerate(ticket.commands):
            known = ticket.known.get(index)
            try:
                self._advance()
            except FAULTS as fault:
                # Not the command's fault, and nothing can be sequenced any more at this time or later.
                log.exception("time cannot pass", partition=self.exchange.partition)
                self._breach(InvariantBreach(f"time cannot pass: {type(fault).__name__}"), ticket)
                return
            try:
                outcome = self._execute(command, self._clock.now_us()) if known is None else known
            except InvariantBreach as breach:
                self._breach(breach, ticket)
                return
            except FAULTS:
                log.exception(
                    "poison command refused", partition=self.exchange.partition, kind=command.WhichOneof("body")
                )
                await self._reload()
                outcome = Fault()
            ticket.results.append(outcome)
            await self._commit()
            if isinstance(outcome, VenueError) and ticket.ends_with(command, outcome):
                break
        self._attach(ticket)

    def _breach(self, breach: InvariantBreach, ticket: Ticket) -> None:
        """The machine is wrong: what is flying was right and is still told; nothing after it ever is."""
        log.critical("invariant broken; the partition stops", partition=self.exchange.partition, cause=str(breach))
        self._breached = str(breach)
        self._forming.tickets.append(ticket)
        self._end(PartUnavailable("the partition"))

    def _break_off(self) -> None:
        for ticket in self._flying.tickets if self._flying is not None else ():
            ticket.fail(PartUnavailable("the engine"))
        self._end(self.ended or NotLeader(self.exchange.partition))

    def _end(self, error: VenueError) -> None:
        self.ended = error
        for ticket in self._suspects:
            # Each of its commands was committed alone, perhaps.
            ticket.fail(PartUnavailable("the engine"))
        # What was executed in memory alone, or not yet, is in no journal, and nobody is left to append it.
        for ticket in (*self._forming.tickets, *self._queue):
            ticket.fail(error)
        self._forming = Batch(0)
        self._queue.clear()
        self.feed.end()
        self.tail.ring()
        self.onward.set()
        self._drained.set()
        self._wake.set()

    def abandon(self) -> None:
        """An end without order: nobody commits any more; whose commit was under way is told that its outcome is unknown."""
        if not self._drained.is_set():
            self._break_off()

    async def stop(self) -> None:
        """A planned stop: take nothing new, commit what was executed; `run` then returns."""
        self.ended = NotLeader(self.exchange.partition)
        while not self._drained.is_set() and (self._queue or self._forming.commands or self._flying is not None):
            self._wake.set()
            await asyncio.sleep(0.005)
        self._end(self.ended)

    # Start

    async def begin(self, commands: Sequence[pb.Command]) -> None:
        """The first commands of a leader, durable before it serves: its mark, and what its catalogue lacks."""
        epoch = self.appender.epoch
        first = [pb.Command(leader_started=pb.LeaderStarted(epoch=epoch)), *commands]
        if self.exchange.clock.rules_version < RULES_VERSION:
            # The last of its batch: what follows is executed, and journaled, under the new rules.
            first.append(pb.Command(change_rules=pb.ChangeRules(rules_version=RULES_VERSION)))
        for command in first:
            outcome = self._execute(command, self._clock.now_us())
            if isinstance(outcome, VenueError):
                raise outcome
        await self._commit()


def _places(ticket: Ticket) -> bool:
    return any(command.WhichOneof("body") in PLACING for command in ticket.commands)
