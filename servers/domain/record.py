"""What the command under way has caused so far: its events and the running digest.

The digest is a checksum that a leader and a replica compare after every batch: two machines that did the same have the same.
"""

from typing import Final

from servers.domain.events import AccountTouched, BalanceChanged, Event, OrderChanged
from servers.domain.model import Account, Balance, Clockwork, Order

# A Mersenne prime keeps the digest in 61 bits; the factor spreads the order of what is folded in.
_PRIME: Final = (1 << 61) - 1
_FACTOR: Final = 1_000_003
# Compiled, a number below 2**62 is a machine word, and one above an object: the digest's products are taken in parts then.
_COMPILED: Final = not __file__.endswith(".py")
_WORD: Final = 1 << 60
_LOW_30: Final = (1 << 30) - 1
_LOW_31: Final = (1 << 31) - 1


class Record:
    """The events of one command, and the marks that keep each thing to one event."""

    __slots__ = ("clock", "events", "sequence", "time")

    def __init__(self, clock: Clockwork) -> None:
        self.clock = clock
        self.events: list[Event] = []
        self.sequence = 0
        self.time = 0

    def fold(self, first: int, second: int) -> None:
        """Mix two numbers into the digest."""
        clock = self.clock
        if _COMPILED and -_WORD < first < _WORD and -_WORD < second < _WORD:
            clock.digest = mixed(mixed(clock.digest, first), second)
            return
        clock.digest = ((clock.digest * _FACTOR + first) * _FACTOR + second) % _PRIME

    def balance(self, balance: Balance) -> None:
        """Note that a balance is touched."""
        sequence = self.sequence
        if balance.touched != sequence:
            balance.touched = sequence
            self.events.append(BalanceChanged(balance))
            account = balance.account
            if account.last_event_sequence != sequence and account.user_id:
                self._account(account)

    def order(self, order: Order) -> None:
        """Note that an order is touched, and stamp it."""
        sequence = self.sequence
        if order.update_sequence != sequence:
            order.update_sequence = sequence
            order.update_time = self.time
            self.events.append(OrderChanged(order))
            account = order.account
            if account.last_event_sequence != sequence:
                self._account(account)

    def _account(self, account: Account) -> None:
        self.events.append(AccountTouched(account, account.last_event_sequence))
        account.last_event_sequence = self.sequence


def mixed(digest: int, number: int) -> int:
    """(digest * _FACTOR + number) % _PRIME, for a number between -2**60 and 2**60: nothing on the way is longer than 62 bits."""
    high = (digest >> 31) * _FACTOR
    # A part that is 2**61 times as much is once as much.
    total = (high >> 30) + ((high & _LOW_30) << 31) + (digest & _LOW_31) * _FACTOR + number
    if total < 0:
        total += _PRIME
    total = (total & _PRIME) + (total >> 61)
    return total - _PRIME if total >= _PRIME else total
