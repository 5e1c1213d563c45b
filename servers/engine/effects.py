"""One command's consequences as the replica's writers take them: the events, and the account records made from them once."""

from dataclasses import dataclass
from typing import NamedTuple

from servers.domain.events import AccountTouched, Event
from servers.domain.exchange import Exchange
from servers.engine.messages import account_records


class AccountChange(NamedTuple):
    """What one command changed for one account: an AccountRecord's bytes."""

    account_id: str
    previous_sequence: int
    record: bytes


@dataclass(slots=True)
class Effects:
    """What one command caused. The events hold until the next command is executed."""

    sequence: int
    time_us: int
    events: list[Event]
    accounts: list[AccountChange]


@dataclass(slots=True)
class Mark:
    """The end of a row of the journal."""

    sequence: int
    epoch: int
    digest: int
    chain: bytes


def effects(exchange: Exchange, sequence: int, time_us: int, events: list[Event]) -> Effects:
    """Right after the command was executed."""
    accounts = []
    if any(type(event) is AccountTouched for event in events):
        accounts = [
            AccountChange(account.account_id, previous, record.SerializeToString())
            for account, previous, record in account_records(exchange, events)
        ]
    return Effects(sequence, time_us, events, accounts)
