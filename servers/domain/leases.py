"""Dead-man's switches: an account whose lease runs out has its open orders cancelled; a tag with one of its own, those with it.

Invariant: `armed` is what the accounts have stored, and `due` has an entry for each of it; entries of leases that were moved or
disarmed are dropped when they come up.
"""

import json
from heapq import heapify, heappop, heappush
from typing import Final

from servers.domain.errors import TooManyLeases
from servers.domain.events import AccountChanged
from servers.domain.model import Account
from servers.domain.placing import Floor
from servers.domain.terms import CancelReason, OrderStatus

# A leader that starts may have been away: whoever kept its lease up until then has this long to come back.
GRACE_US: Final = 10_000_000
# A switch is set again every few seconds: so many entries may be out of date before they are cleared away.
STALE_MAX: Final = 1_024
# Switches of single tags that an account may have armed at once.
TAGS_MAX: Final = 100
_FINAL: Final = int(OrderStatus.FILLED)
_CANCELLED: Final = int(OrderStatus.CANCELLED)
_LEASE_EXPIRED: Final = int(CancelReason.LEASE_EXPIRED)


class Leases:
    """The leases of a partition's accounts and of single tags in them (empty tag: the account's), by when they run out."""

    __slots__ = ("armed", "due", "due_max", "floor")

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        # When each runs out, by account and tag.
        self.armed: dict[tuple[str, str], int] = {}
        # When, and of which account and tag.
        self.due: list[tuple[int, str, str]] = []
        self.due_max = STALE_MAX

    def load(self) -> None:
        """Find what the accounts have stored."""
        for account in self.floor.ledger.accounts.values():
            if account.lease_time:
                self.armed[account.account_id, ""] = account.lease_time
            for tag, time in json.loads(account.tag_leases).items():
                self.armed[account.account_id, tag] = time
        self._clear()

    def time(self, account: Account, tag: str) -> int:
        """When a lease runs out, in microseconds since 1970; 0: it is not armed."""
        return self.armed.get((account.account_id, tag), 0)

    def set(self, account: Account, tag: str, time: int) -> None:
        """Let a lease run out at a time; 0: disarm. Raises TooManyLeases, and then changed nothing."""
        if tag:
            tagged = json.loads(account.tag_leases)
            tagged.pop(tag, None)
            if time and len(tagged) >= TAGS_MAX:
                raise TooManyLeases(account.account_id, TAGS_MAX)
            if time:
                tagged[tag] = time
            account.tag_leases = json.dumps(tagged, sort_keys=True, separators=(",", ":"))
        else:
            account.lease_time = time
        record = self.floor.record
        record.events.append(AccountChanged(account))
        record.fold(time, account.create_time)
        key = (account.account_id, tag)
        if not time:
            self.armed.pop(key, None)
            return
        self.armed[key] = time
        heappush(self.due, (time, *key))
        if len(self.due) > self.due_max:
            self._clear()

    def _clear(self) -> None:
        self.due = [(time, *key) for key, time in self.armed.items()]
        heapify(self.due)
        self.due_max = 2 * len(self.due) + STALE_MAX

    def next(self) -> int | None:
        """When the next lease runs out, or None."""
        due, armed = self.due, self.armed
        while due:
            time, account_id, tag = due[0]
            if armed.get((account_id, tag)) == time:
                return time
            heappop(due)
        return None

    def fire(self) -> None:
        """Let the next lease run out: cancel what is open under it, oldest first, in halted markets too."""
        _, account_id, tag = heappop(self.due)
        account = self.floor.ledger.accounts[account_id]
        self.set(account, tag, 0)
        for order in list(account.orders.values()):
            # One of a list may have ended with another.
            if order.status < _FINAL and (not tag or order.tag == tag):
                self.floor.end(order, _CANCELLED, _LEASE_EXPIRED)

    def extend(self, now: int) -> None:
        """Give every armed lease the grace, those that have run out meanwhile from now on."""
        for (account_id, tag), time in sorted(self.armed.items()):
            self.set(self.floor.ledger.accounts[account_id], tag, max(time, now) + GRACE_US)
