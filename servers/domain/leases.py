"""Dead-man's switches: an account whose lease runs out has its open orders cancelled.

Invariant: `due` has an entry for the lease of every armed account; entries of leases that were moved or disarmed are dropped
when they come up.
"""

from heapq import heapify, heappop, heappush
from typing import Final

from servers.domain.events import AccountChanged
from servers.domain.model import Account
from servers.domain.placing import Floor
from servers.domain.terms import CancelReason, OrderStatus

# A leader that starts may have been away: whoever kept its lease up until then has this long to come back.
GRACE_US: Final = 10_000_000
# A switch is set again every few seconds: so many entries may be out of date before they are cleared away.
STALE_MAX: Final = 1_024
_CANCELLED: Final = int(OrderStatus.CANCELLED)
_LEASE_EXPIRED: Final = int(CancelReason.LEASE_EXPIRED)


class Leases:
    """The leases of a partition's accounts, by the time they run out."""

    __slots__ = ("due", "due_max", "floor")

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        # When, and of which account.
        self.due: list[tuple[int, str]] = []
        self.due_max = STALE_MAX

    def set(self, account: Account, time: int) -> None:
        """Let the lease run out at a time (microseconds since 1970); 0: disarm."""
        account.lease_time = time
        record = self.floor.record
        record.events.append(AccountChanged(account))
        record.fold(time, account.create_time)
        if time:
            heappush(self.due, (time, account.account_id))
            if len(self.due) > self.due_max:
                self._clear()

    def _clear(self) -> None:
        accounts = self.floor.ledger.accounts
        self.due = [(time, account_id) for time, account_id in self.due if accounts[account_id].lease_time == time]
        heapify(self.due)
        self.due_max = 2 * len(self.due) + STALE_MAX

    def next(self) -> int | None:
        """When the next lease runs out, or None."""
        due, accounts = self.due, self.floor.ledger.accounts
        while due:
            time, account_id = due[0]
            if accounts[account_id].lease_time == time:
                return time
            heappop(due)
        return None

    def expire(self) -> None:
        """Let the next lease run out: cancel what the account has open, oldest first, in halted markets too."""
        _, account_id = heappop(self.due)
        account = self.floor.ledger.accounts[account_id]
        self.set(account, 0)
        for order in list(account.orders.values()):
            self.floor.end(order, _CANCELLED, _LEASE_EXPIRED)

    def extend(self, now: int) -> None:
        """Give every armed account the grace, those whose lease has run out meanwhile from now on."""
        armed = [account for account in self.floor.ledger.accounts.values() if account.lease_time]
        for account in sorted(armed, key=lambda account: account.account_id):
            self.set(account, max(account.lease_time, now) + GRACE_US)
