"""One command's consequences as the replica's writers take them: the events, and the account records made from them once."""

from dataclasses import dataclass
from typing import TypeAlias

from servers.domain.events import AccountTouched, BalanceChanged, Event, OrderChanged, PositionChanged, Traded
from servers.domain.exchange import Exchange
from servers.domain.model import Balance, Position
from servers.domain.positions import DAY_US
from servers.engine.wire import (
    BALANCES,
    FILLS,
    ORDER,
    ORDERS,
    POSITIONS,
    balance_wire,
    field,
    fill_wire,
    order_wire,
    position_wire,
)

# What one command changed for one account: its id, the sequence of its event before, and an AccountRecord's bytes. It has no
# class of its own, as two are made for nearly every command.
AccountChange: TypeAlias = tuple[str, int, bytes]


@dataclass(slots=True)
class Effects:
    """What one command caused. The events hold until the next command is executed."""

    sequence: int
    time_us: int
    events: list[Event]
    accounts: list[AccountChange]

    def __init__(self, sequence: int, time_us: int, events: list[Event], accounts: list[AccountChange]) -> None:
        self.sequence = sequence
        self.time_us = time_us
        self.events = events
        self.accounts = accounts


@dataclass(slots=True)
class Mark:
    """The end of a row of the journal."""

    sequence: int
    epoch: int
    digest: int
    chain: bytes


def effects(exchange: Exchange, sequence: int, time_us: int, events: list[Event]) -> Effects:
    """Right after the command was executed."""
    return Effects(sequence, time_us, events, account_changes(exchange, events))


def account_changes(exchange: Exchange, events: list[Event]) -> list[AccountChange]:
    """The bytes of an AccountRecord for every customer's account that was touched, joined of parts that are made once."""
    partition, record = exchange.partition, exchange.record
    touched: list[AccountTouched] = []
    orders: dict[int, list[str]] = {}
    parts: dict[str, list[str]] = {}
    owners: list[tuple[str, list[str]]] = []
    balances: list[Balance] = []
    positions: list[Position] = []
    # By frequency, and by identity: this is done ten times a command.
    for event in events:
        kind = type(event)
        if kind is BalanceChanged:
            balances.append(event.balance)  # type: ignore[union-attr]  # its kind was looked at
        elif kind is OrderChanged:
            order = event.order  # type: ignore[union-attr]
            update = orders[order.number] = [field(ORDER, order_wire(partition, order))]
            owners.append((order.account.account_id, update))
        elif kind is Traded:
            for order in (event.maker, event.taker):  # type: ignore[union-attr]
                fill = fill_wire(partition, event, order, record.sequence, record.time)  # type: ignore[arg-type]
                orders[order.number].append(field(FILLS, fill))
        elif kind is PositionChanged:
            positions.append(event.position)  # type: ignore[union-attr]
        elif kind is AccountTouched:
            touched.append(event)  # type: ignore[arg-type]
            parts[event.account.account_id] = []  # type: ignore[union-attr]
    for account_id, update in owners:
        parts[account_id].append(field(ORDERS, "".join(update)))
    assets = exchange.ledger.assets
    for balance in balances:
        if balance.account.user_id:
            wire = balance_wire(balance, assets[balance.asset].scale)
            parts[balance.account.account_id].append(field(BALANCES, wire))
    for position in positions:
        wire = position_wire(position, record.time // DAY_US)
        parts[position.account.account_id].append(field(POSITIONS, wire))
    return [
        (event.account.account_id, event.previous, "".join(parts[event.account.account_id]).encode("latin-1"))
        for event in touched
    ]
