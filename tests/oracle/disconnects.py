"""Sessions whose loss cancels their orders, as the naive venue knows them: opened by which command, and lost until when."""

from typing import TYPE_CHECKING

from servers.domain import commands as c

if TYPE_CHECKING:
    from tests.oracle.venue import NaiveVenue

GRACE_US = 10_000_000


def note(venue: "NaiveVenue", command: c.OpenSession | c.EndSession) -> None:
    """A session is opened, lost or ended."""
    sessions = venue.accounts[command.account_id].sessions
    if isinstance(command, c.OpenSession):
        sessions[command.session_id] = command.sequence, 0
        return
    opened, lost = sessions.get(command.session_id, (0, 0))
    if opened == command.opened and not command.lost:
        del sessions[command.session_id]
    elif opened == command.opened and not lost:
        sessions[command.session_id] = opened, command.time + GRACE_US


def extend(venue: "NaiveVenue", now: int) -> None:
    """A leader started."""
    for account in venue.accounts.values():
        for session, (opened, lost) in account.sessions.items():
            account.sessions[session] = opened, max(lost, now) + GRACE_US


def due(venue: "NaiveVenue", now: int) -> list[tuple[int, str, str]]:
    """Sessions whose time has come: when, whose, which."""
    return [
        (time, account.account_id, session)
        for account in venue.accounts.values()
        for session, (_, time) in account.sessions.items()
        if 0 < time <= now
    ]


def cancel(venue: "NaiveVenue", account_id: str, session: str) -> None:
    """A session is not taken up again."""
    del venue.accounts[account_id].sessions[session]
    for placed in list(venue.open_orders(account_id)):
        if placed.session == session and not placed.order.end:
            venue.end(placed, "disconnected")
