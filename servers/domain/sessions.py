"""Trading sessions whose loss cancels their orders: open, lost and taken up again in time, or ended as planned.

Invariant: a session is held from the command that opens it to the one that ends it or cancels its orders; `due` has an entry
for each that is lost, and entries of sessions that were taken up again are dropped when they come up.
"""

from heapq import heapify, heappop, heappush
from typing import Final

from servers.domain.events import SessionChanged
from servers.domain.model import Account, TradingSession
from servers.domain.placing import Floor
from servers.domain.terms import CancelReason, OrderStatus

# How long after a session is lost its orders stay.
GRACE_US: Final = 10_000_000
_CANCELLED: Final = int(OrderStatus.CANCELLED)
_DISCONNECTED: Final = int(CancelReason.DISCONNECTED)


class Sessions:
    """The sessions of a partition, by account and the session's id."""

    __slots__ = ("due", "floor", "held")

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        self.held: dict[tuple[str, str], TradingSession] = {}
        # When, and of which session the orders are cancelled.
        self.due: list[tuple[int, str, str]] = []

    def load(self) -> None:
        """Find which of them are lost."""
        self.due = [(each.cancel_time, *key) for key, each in self.held.items() if each.cancel_time]
        heapify(self.due)

    def open(self, account: Account, session_id: str, sequence: int) -> None:
        """Begin a session, or take it up again: by the command of a sequence, which is what may end it."""
        key = (account.account_id, session_id)
        session = self.held.get(key)
        if session is None:
            session = self.held[key] = TradingSession(account, session_id)
        session.open_sequence = sequence
        session.cancel_time = 0
        self._tell(session)

    def lose(self, account: Account, session_id: str, opened: int, now: int) -> None:
        """The connection that opened a session is gone; nothing happens if another one has taken it up since."""
        session = self.held.get((account.account_id, session_id))
        if session is not None and session.open_sequence == opened and not session.cancel_time:
            self._cancel_at(session, now + GRACE_US)

    def end(self, account: Account, session_id: str, opened: int) -> None:
        """End a session as planned: its orders stay. Nothing happens if another connection has taken it up since."""
        session = self.held.get((account.account_id, session_id))
        if session is not None and session.open_sequence == opened:
            self._forget(session)

    def next(self) -> int | None:
        """When the orders of the next session are cancelled, or None."""
        due = self.due
        while due:
            time, account_id, session_id = due[0]
            session = self.held.get((account_id, session_id))
            if session is not None and session.cancel_time == time:
                return time
            heappop(due)
        return None

    def fire(self) -> None:
        """Cancel the open orders of the next session, oldest first, in halted markets too; then it is gone."""
        _, account_id, session_id = heappop(self.due)
        session = self.held[account_id, session_id]
        self._forget(session)
        for order in list(session.account.orders.values()):
            # An order may end another one of the list.
            if order.session_id == session_id and order.number in session.account.orders:
                self.floor.end(order, _CANCELLED, _DISCONNECTED)

    def extend(self, now: int) -> None:
        """A leader starts, and no connection to the one before is left: all have the grace to come back."""
        for _, session in sorted(self.held.items()):
            self._cancel_at(session, max(session.cancel_time, now) + GRACE_US)

    def _cancel_at(self, session: TradingSession, time: int) -> None:
        session.cancel_time = time
        heappush(self.due, (time, session.account.account_id, session.session_id))
        self._tell(session)

    def _forget(self, session: TradingSession) -> None:
        del self.held[session.account.account_id, session.session_id]
        session.ended = True
        self._tell(session)

    def _tell(self, session: TradingSession) -> None:
        record = self.floor.record
        record.events.append(SessionChanged(session))
        record.fold(session.open_sequence, session.cancel_time)
