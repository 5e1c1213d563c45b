"""What waits for the machine: callers in turn, each one's own commands in the order they came.

A lane a user, as an account is one user's: then no order of commands within an account is ever changed. Lanes are served round
by round, a few commands each (deficit round robin), so who sends much waits for itself alone; the turns of a market maker are
longer, those of the venue's own commands the longest. A lane may hold no more than what is still free, so a flood fills half
the queue and the rest stays for others.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from servers.domain.errors import Overloaded
from servers.domain.model import Account
from servers.engine.batch import Ticket

# Commands of a lane in one round, and how many rounds in one a lane gets.
TURN: Final = 8
VENUE_TURNS: Final = 16
TIER_TURNS: Final = {"market_maker": 4}


def turns_of(by_user: Mapping[str, Sequence[Account]], user_id: str) -> int:
    """How many turns a user has in a round, by the best tier of its accounts."""
    if not user_id:
        return VENUE_TURNS
    return max((TIER_TURNS.get(account.tier, 1) for account in by_user.get(user_id, ())), default=1)


class _Lane:
    """The waiting tickets of one user."""

    __slots__ = ("commands", "credit", "tickets", "turns", "user_id")

    def __init__(self, user_id: str, turns: int) -> None:
        self.user_id = user_id
        self.turns = turns
        self.tickets: deque[Ticket] = deque()
        self.commands = 0
        # Commands that it may still have in this round.
        self.credit = 0


class Queue:
    """Tickets that wait. False when there are none; its length is the number of their commands."""

    __slots__ = ("_commands", "_lanes", "_round")

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane] = {}
        self._round: deque[_Lane] = deque()
        self._commands = 0

    def __bool__(self) -> bool:
        return bool(self._round)

    def __len__(self) -> int:
        return self._commands

    def __iter__(self) -> Iterator[Ticket]:
        """All tickets, a user's in order."""
        for lane in self._round:
            yield from lane.tickets

    def push(self, ticket: Ticket, bound: int, turns: Callable[[str], int]) -> None:
        """Let a ticket wait where no more than `bound` commands may. Raises Overloaded."""
        user_id = ticket.commands[0].user_id if ticket.commands else ""
        lane = self._lanes.get(user_id)
        count = len(ticket.commands)
        if (lane.commands if lane is not None else 0) + count > bound - self._commands:
            raise Overloaded
        if lane is None:
            lane = self._lanes[user_id] = _Lane(user_id, turns(user_id))
            lane.credit = TURN * lane.turns
            self._round.append(lane)
        lane.tickets.append(ticket)
        lane.commands += count
        self._commands += count

    def pop(self) -> Ticket:
        """The ticket whose turn it is; there must be one."""
        while True:
            lane = self._round[0]
            count = len(lane.tickets[0].commands)
            if count <= lane.credit:
                break
            # The rest of a turn counts for the next one, else a large ticket's would never come.
            lane.credit += TURN * lane.turns
            self._round.rotate(-1)
        ticket = lane.tickets.popleft()
        lane.credit -= count
        lane.commands -= count
        self._commands -= count
        if not lane.tickets:
            self._round.popleft()
            del self._lanes[lane.user_id]
        return ticket

    def clear(self) -> None:
        """Forget all of them."""
        self._lanes.clear()
        self._round.clear()
        self._commands = 0
