"""Any command at all: it is carried out, or it is refused and nothing has changed. The machine never breaks."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from servers.domain.errors import VenueError
from servers.domain.exchange import Exchange, scope_of
from servers.domain.invariants import breaches
from servers.domain.state import Snapshot, dump, load, state_hash
from servers.domain.terms import Environment
from servers.engine.answers import answer
from servers.engine.codec import decode
from servers.engine.effects import effects
from tests.property.fuzzing import messages
from tests.property.plain import drive
from tests.property.traffic import PARTITION
from tests.property.whole import opened
from venue.engine.v1 import engine_pb2 as pb

BODIES = sorted(field.name for field in pb.Command.DESCRIPTOR.oneofs_by_name["body"].fields)
COMMANDS = 5


@pytest.fixture(scope="module")
def rows() -> Snapshot:
    """A venue with orders, pending transfers and used request ids."""
    exchange, traffic, _ = opened(11)
    drive(exchange, traffic, 150)
    return dump(exchange)


def fuzzed(kind: str) -> "st.SearchStrategy[pb.Command]":
    body = pb.Command.DESCRIPTOR.fields_by_name[kind].message_type
    assert body is not None
    users = st.sampled_from(("", "", "user of demo-ann", "nobody"))

    def command(body: object, user_id: str) -> pb.Command:
        return pb.Command(user_id=user_id, **{kind: body})  # type: ignore[arg-type]  # which body is told by its name

    return st.builds(command, messages(body), users)


def perform(exchange: Exchange, message: pb.Command) -> bool:
    """As the sequencer does. False: refused."""
    message.sequence, message.time_us = exchange.clock.sequence + 1, exchange.clock.time + 1
    try:
        command = decode(message)
        if command.request_id and exchange.find_request(scope_of(command), command.request_id, command.fingerprint):
            return False
        events = exchange.execute(command)
    except VenueError:
        return False
    answer(exchange, command, events)
    effects(exchange, command.sequence, command.time, events)
    return True


@pytest.mark.parametrize("kind", BODIES)
def test_a_fuzzed_command_is_carried_out_or_changes_nothing(kind: str, rows: Snapshot) -> None:
    @settings(parent=settings(), suppress_health_check=list(HealthCheck))
    @given(st.lists(fuzzed(kind), min_size=1, max_size=COMMANDS))
    def run(commands: list[pb.Command]) -> None:
        exchange = load(PARTITION, Environment.DEMO, rows, request_memory=300)
        for message in commands:
            before, sequence = state_hash(exchange), exchange.clock.sequence
            if perform(exchange, message):
                assert exchange.clock.sequence == sequence + 1
                assert breaches(exchange) == []
            else:
                assert (state_hash(exchange), exchange.clock.sequence) == (before, sequence)

    run()
