"""A preview of an order that waits, or need not, is what the placement comes to, as long as nothing else is triggered with it."""

from hypothesis import given
from hypothesis import strategies as st

from servers.domain import commands as c
from servers.domain.errors import VenueError
from servers.domain.events import OrderChanged, Traded
from servers.domain.previewing import preview
from servers.domain.state import state_hash
from tests.property.test_conditions import opened

COMMANDS = 120


@given(seed=st.integers(0, 2**32))
def test_a_preview_tells_what_the_placement_comes_to(seed: int) -> None:
    exchange, traffic = opened(seed)
    for _ in range(COMMANDS):
        command = traffic.next()
        expected = None
        if isinstance(command, c.PlaceOrder):
            before = state_hash(exchange)
            account = exchange.ledger.account(command.account_id, command.user_id)
            expected = preview(exchange.floor, command, account, exchange.market(command.symbol))
            assert state_hash(exchange) == before
        try:
            events = exchange.execute(command)
        except VenueError:
            traffic.refused()
            continue
        changed = [event.order for event in events if isinstance(event, OrderChanged)]
        others = [order for order in changed if order.trigger_time and order.number != command.sequence]
        if expected is None or others:
            continue
        order = next(order for order in changed if order.number == command.sequence)
        told = expected.order
        assert (told.status, told.reject_reason, told.cancel_reason) == (
            order.status,
            order.reject_reason,
            order.cancel_reason,
        )
        assert (told.filled_lots, told.stop_price) == (order.filled_lots, order.stop_price)
        trades = [(e.ticks, e.lots) for e in events if isinstance(e, Traded)]
        assert [(ticks, lots) for ticks, lots, _ in expected.fills] == trades
