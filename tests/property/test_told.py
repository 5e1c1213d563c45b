"""What is told as bytes made directly is what the messages say."""

from hypothesis import given
from hypothesis import strategies as st

from servers.domain.commands import PlaceOrder
from servers.domain.errors import VenueError
from servers.engine.answers import answer, placed
from servers.engine.effects import account_changes
from servers.engine.frames import account_frames
from servers.engine.wire import Wires
from tests.property.traffic import opened
from venue.engine.v1 import engine_pb2


@given(seed=st.integers(0, 2**32))
def test_answers_and_frames_of_any_traffic(seed: int) -> None:
    exchange, traffic, _ = opened(seed)
    answered = 0
    wanted = set(list(exchange.ledger.accounts)[::2])
    for _ in range(200):
        command = traffic.next()
        try:
            events = exchange.execute(command)
        except VenueError:
            traffic.refused()
            continue
        wires = Wires(exchange)
        direct = placed(exchange, command, events, wires)
        assert direct in {None, answer(exchange, command, events)}
        answered += direct is not None
        assert direct is None or isinstance(command, PlaceOrder)
        expected = []
        for account_id, previous, raw in account_changes(exchange, events):
            if account_id in wanted:
                record = engine_pb2.AccountRecord.FromString(raw)
                expected.append((account_id, previous, list(record.orders)))
        frames = account_frames(exchange, events, wanted, wires)
        assert [(frame.account_id, frame.previous_sequence, list(frame.record.orders)) for frame in frames] == expected
        assert all(frame.sequence == command.sequence and not frame.record.balances for frame in frames)
    assert answered
