"""A preview is what the placement then comes to, and reading it changes nothing."""

from hypothesis import given
from hypothesis import strategies as st

from servers.domain import commands as c
from servers.domain.errors import VenueError
from servers.domain.events import Event, OrderChanged, Traded
from servers.domain.model import Order
from servers.domain.previewing import Preview, preview
from servers.domain.state import row, state_hash
from tests.property.traffic import opened

COMMANDS = 150
# Stamped when the command is carried out, or only known then: a preview has no place in the queue.
NOT_YET = {"update_sequence", "priority", "held"}


def placed(order: Order) -> dict[str, object]:
    return {name: value for name, value in row(order).items() if name not in NOT_YET}


def compare(expected: Preview, events: list[Event], number: int) -> None:
    order = next(e.order for e in events if isinstance(e, OrderChanged) and e.order.number == number)
    assert placed(expected.order) == placed(order)
    trades = [(e.ticks, e.lots, e.taker_fee) for e in events if isinstance(e, Traded)]
    assert expected.fills == trades
    assert expected.hold == order.held
    failed = next((check.reason for check in expected.checks if not check.passed), 0)
    assert failed == order.reject_reason


@given(seed=st.integers(0, 2**32))
def test_a_preview_tells_what_the_placement_comes_to(seed: int) -> None:
    exchange, traffic, _ = opened(seed)
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
        if expected is not None:
            compare(expected, events, command.sequence)
