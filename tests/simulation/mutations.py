"""Faults put into the engine on purpose, one at a time: a simulation that does not find them proves nothing."""

from collections.abc import Callable
from typing import Any, Final
from unittest.mock import patch

import psycopg

from db import journal
from servers.domain.book import BookSide
from servers.domain.exchange import Exchange
from servers.domain.expiry import Expiry
from servers.domain.ledger import Ledger
from servers.engine import local
from servers.engine.appender import Appender
from servers.engine.batch import Ticket
from servers.engine.projection import TableChanges
from servers.engine.publication import BusChanges
from servers.engine.sequencer import Sequencer

Mutation = Callable[[], Any]


def _skips_holds() -> Any:
    hold = Ledger.hold

    def mutated(self: Ledger, account: Any, asset: str, amount: int) -> None:
        if amount % 7:
            hold(self, account, asset, amount)

    return patch.object(Ledger, "hold", mutated)


def _tells_before_the_commit() -> Any:
    def mutated(self: Sequencer, ticket: Ticket) -> None:
        ticket.resolve()
        self._wake.set()

    return patch.object(Sequencer, "_attach", mutated)


def _forgets_requests() -> Any:
    remember = Exchange._remember

    def mutated(self: Exchange, command: Any) -> None:
        if command.sequence % 5:
            remember(self, command)

    return patch.object(Exchange, "_remember", mutated)


def _forgets_requests_in_tables() -> Any:
    define = TableChanges._define

    def mutated(self: TableChanges, event: Any) -> None:
        if type(event).__name__ != "RequestRemembered" or event.request.sequence % 3:
            define(self, event)

    return patch.object(TableChanges, "_define", mutated)


def _ignores_the_fence() -> Any:
    async def mutated(self: Appender, row: journal.JournalRow) -> None:
        await journal.append(self._connection, row, self.lease_s)

    return patch.object(Appender, "append", mutated)


def _takes_a_lost_answer_for_a_commit() -> Any:
    append = Appender.append

    async def mutated(self: Appender, row: journal.JournalRow) -> None:
        if self._connection.broken:
            await append(self, row)
            return
        try:
            await journal.append(self._connection, row, self.lease_s)
        except psycopg.OperationalError:
            vars(self._connection)["broken"] = True

    return patch.object(Appender, "append", mutated)


def _reads_without_a_lease() -> Any:
    return patch.object(Appender, "leads", property(lambda self: True))


def _shows_rows_before_the_commit() -> Any:
    commit = Sequencer._commit

    async def mutated(self: Sequencer) -> None:
        self.feed.publish(self._forming.frames)
        await commit(self)

    return patch.object(Sequencer, "_commit", mutated)


def _forgets_a_balance_now_and_then() -> Any:
    add = TableChanges.add

    def mutated(self: TableChanges, effects: Any) -> None:
        add(self, effects)
        if effects.sequence % 11 == 0 and self._balances:
            self._balances.popitem()

    return patch.object(TableChanges, "add", mutated)


def _jumps_the_queue() -> Any:
    add = BookSide.add

    def mutated(self: BookSide, order: Any) -> None:
        if order.number % 9 == 0:
            order.priority = 1
        add(self, order)

    return patch.object(BookSide, "add", mutated)


def _drops_a_level() -> Any:
    add = BusChanges.add

    def mutated(self: BusChanges, effects: Any) -> None:
        add(self, effects)
        for changes in self._markets.values():
            if effects.sequence % 13 == 0 and changes.levels:
                changes.levels.popitem()

    return patch.object(BusChanges, "add", mutated)


def _forgets_expiry() -> Any:
    return patch.object(Expiry, "load", lambda self: None)


def _answers_a_repeat_with_something_else() -> Any:
    return patch.object(local, "replayed", lambda kind, first: first[:-1] + b"\x00")


MUTATIONS: Final[dict[str, Mutation]] = {
    "a hold is skipped": _skips_holds,
    "told before the commit": _tells_before_the_commit,
    "a request id is forgotten": _forgets_requests,
    "a request id is not written": _forgets_requests_in_tables,
    "the fence's no is ignored": _ignores_the_fence,
    "a lost answer is taken for a commit": _takes_a_lost_answer_for_a_commit,
    "memory is read without a lease": _reads_without_a_lease,
    "frames go out before the commit": _shows_rows_before_the_commit,
    "a balance is not written": _forgets_a_balance_now_and_then,
    "an order jumps the queue": _jumps_the_queue,
    "a level is not published": _drops_a_level,
    "a repeat is answered with something else": _answers_a_repeat_with_something_else,
    "expiry is forgotten by a restart": _forgets_expiry,
}
