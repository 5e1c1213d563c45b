"""Any command at all: it is carried out, or it is refused and nothing has changed. The machine never breaks."""

from typing import Any

import pytest
from google.protobuf.message import Message
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
from tests.property.fuzzing import drawn, fields_of, messages, values
from tests.property.plain import drive
from tests.property.traffic import PARTITION
from tests.property.whole import opened
from venue.engine.v1 import engine_pb2 as pb

BODIES = sorted(field.name for field in pb.Command.DESCRIPTOR.oneofs_by_name["body"].fields)
COMMANDS = 5
# Fields of a command beside its body, its stamp and its user.
AROUND = ("request_id", "verdict", "batch", "session_id", "account_id")


@pytest.fixture(scope="module")
def rows() -> Snapshot:
    """A venue with orders, pending transfers and used request ids."""
    exchange, traffic, _ = opened(11)
    drive(exchange, traffic, 150)
    return dump(exchange)


def fuzzed(kind: str) -> "st.SearchStrategy[pb.Command]":
    """Of a kind, with anything in every other field but the place and time that the sequencer stamps."""
    body = pb.Command.DESCRIPTOR.fields_by_name[kind].message_type
    assert body is not None
    users = st.sampled_from(("", "", "user of demo-ann", "nobody"))

    def command(body: object, user_id: str, around: dict[str, Any]) -> pb.Command:
        made = pb.Command(user_id=user_id, **{kind: body})  # type: ignore[arg-type]  # which body is told by its name
        for name, value in around.items():
            setattr(made, name, value)
        return made

    around = {name: values(pb.Command.DESCRIPTOR.fields_by_name[name], 0) for name in AROUND}
    return st.builds(command, messages(body), users, st.fixed_dictionaries({}, optional=around))


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


def set_fields(message: Message, path: str = "") -> set[str]:
    """The paths of the fields that are not as in an empty message."""
    found = set()
    for field, value in message.ListFields():
        found.add(path + field.name)
        if field.message_type is not None:
            for each in value if field.is_repeated else [value]:
                found |= set_fields(each, f"{path}{field.name}.")
    return found


def test_every_field_of_every_kind_is_filled() -> None:
    stamp = {"sequence", "time_us"}
    found: set[str] = set()
    for kind in BODIES:
        for message in drawn(fuzzed(kind), 150):
            found |= set_fields(message)
    assert set(fields_of(pb.Command.DESCRIPTOR)) - stamp - found == set()
