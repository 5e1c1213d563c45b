"""What a command changed of the orders of accounts that somebody follows, right after it was executed."""

from collections.abc import Container, Sequence

from servers.domain.events import AccountTouched, Event, OrderChanged, Traded
from servers.domain.exchange import Exchange
from servers.engine.ring import AccountFrame
from servers.engine.wire import FILLS, ORDER, ORDERS, field, fill_wire, order_wire
from venue.engine.v1 import engine_pb2


def account_frames(exchange: Exchange, events: Sequence[Event], wanted: Container[str]) -> list[AccountFrame]:
    """A frame for every wanted account that the command touched; its record has no balances."""
    touched = [event for event in events if type(event) is AccountTouched and event.account.account_id in wanted]
    if not touched:
        return []
    partition, record = exchange.partition, exchange.record
    updates: dict[int, list[str]] = {}
    by_account: dict[str, list[list[str]]] = {event.account.account_id: [] for event in touched}
    for event in events:
        if type(event) is OrderChanged:
            order = event.order
            if order.account.account_id in by_account:
                update = updates[order.number] = [field(ORDER, order_wire(partition, order))]
                by_account[order.account.account_id].append(update)
        elif type(event) is Traded:
            for order in (event.maker, event.taker):
                if order.number in updates:
                    fill = fill_wire(partition, event, order, record.sequence, record.time)
                    updates[order.number].append(field(FILLS, fill))
    frames = []
    for event in touched:
        account_id = event.account.account_id
        wire = "".join([field(ORDERS, "".join(update)) for update in by_account[account_id]])
        told = engine_pb2.AccountRecord.FromString(wire.encode("latin-1"))
        frames.append(AccountFrame(account_id, record.sequence, event.previous, told))
    return frames
