"""One command's consequences as the replica's writers take them: the events, and the account records made from them once."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from servers.domain.events import AccountTouched, BalanceChanged, Event, OrderChanged, Traded
from servers.domain.exchange import Exchange
from servers.engine.messages import balance_message, fill_message, order_message
from venue.engine.v1 import engine_pb2
from venue.order.v1 import order_pb2


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


def _tag(number: int) -> bytes:
    # Wire type 2: a length and that many bytes.
    return bytes((number << 3 | 2,))


_ORDERS: Final = _tag(engine_pb2.AccountRecord.ORDERS_FIELD_NUMBER)
_BALANCES: Final = _tag(engine_pb2.AccountRecord.BALANCES_FIELD_NUMBER)
_ORDER: Final = _tag(order_pb2.OrderUpdate.ORDER_FIELD_NUMBER)
_FILLS: Final = _tag(order_pb2.OrderUpdate.FILLS_FIELD_NUMBER)


def effects(exchange: Exchange, sequence: int, time_us: int, events: list[Event]) -> Effects:
    """Right after the command was executed."""
    return Effects(sequence, time_us, events, account_changes(exchange, events))


def account_changes(exchange: Exchange, events: list[Event]) -> list[AccountChange]:
    """The bytes of messages.account_records, joined of parts that are serialized once.

    A message put into another one is serialized and parsed again at each level, which took a quarter of a replica's time.
    """
    partition, record = exchange.partition, exchange.record
    touched: list[AccountTouched] = []
    orders: dict[int, list[bytes]] = {}
    parts: dict[str, list[bytes]] = {}
    owners: list[tuple[str, list[bytes]]] = []
    balances: list[BalanceChanged] = []
    for event in events:
        kind = type(event)
        if kind is BalanceChanged:
            balances.append(event)  # type: ignore[arg-type]  # its kind was looked at
        elif isinstance(event, OrderChanged):
            order = event.order
            update = orders[order.number] = [_field(_ORDER, order_message(partition, order).SerializeToString())]
            owners.append((order.account.account_id, update))
        elif isinstance(event, Traded):
            for order in (event.maker, event.taker):
                fill = fill_message(partition, event, order, record.sequence, record.time)
                orders[order.number].append(_field(_FILLS, fill.SerializeToString()))
        elif isinstance(event, AccountTouched):
            touched.append(event)
            parts[event.account.account_id] = []
    for account_id, update in owners:
        parts[account_id].append(_field(_ORDERS, b"".join(update)))
    for event in balances:
        balance = event.balance
        if balance.account.user_id:
            message = balance_message(exchange, balance)
            parts[balance.account.account_id].append(_field(_BALANCES, message.SerializeToString()))
    return [
        AccountChange(event.account.account_id, event.previous, b"".join(parts[event.account.account_id]))
        for event in touched
    ]


def _field(tag: bytes, body: bytes) -> bytes:
    """A field of bytes: tag, length as a varint, bytes."""
    length = len(body)
    if length < 0x80:
        return b"%b%c%b" % (tag, length, body)
    if length < 0x4000:
        return b"%b%c%c%b" % (tag, length & 0x7F | 0x80, length >> 7, body)
    size = bytearray()
    while length > 0x7F:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    size.append(length)
    return b"%b%b%b" % (tag, bytes(size), body)
