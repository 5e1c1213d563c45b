"""What a command changed of the orders of accounts that somebody follows, right after it was executed."""

from collections.abc import Container, Sequence

from servers.domain.events import AccountTouched, Event, OrderChanged, Traded
from servers.domain.exchange import Exchange
from servers.engine.ring import AccountFrame
from servers.engine.wire import FILLS, ORDER, ORDERS, Wires, field


def account_frames(
    exchange: Exchange, events: Sequence[Event], wanted: Container[str], wires: Wires
) -> list[AccountFrame]:
    """A frame for every wanted account that the command touched; its record has no balances."""
    touched = [event for event in events if type(event) is AccountTouched and event.account.account_id in wanted]
    if not touched:
        return []
    updates: dict[int, list[str]] = {}
    by_account: dict[str, list[list[str]]] = {event.account.account_id: [] for event in touched}
    for event in events:
        if type(event) is OrderChanged:
            order = event.order
            if order.account.account_id in by_account:
                update = updates[order.number] = [field(ORDER, wires.order(order))]
                by_account[order.account.account_id].append(update)
        elif type(event) is Traded:
            for order in (event.maker, event.taker):
                if order.number in updates:
                    updates[order.number].append(field(FILLS, wires.fill(event, order)))
    frames = []
    for event in touched:
        account_id = event.account.account_id
        wire = "".join([field(ORDERS, "".join(update)) for update in by_account[account_id]])
        frames.append(AccountFrame(account_id, exchange.record.sequence, event.previous, wire.encode("latin-1")))
    return frames
