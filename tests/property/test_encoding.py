"""What the traffic asks for can be sent: simulations and recordings send it. A new kind of command or field has its name here."""

from dataclasses import fields, replace

from servers.domain import commands as c
from servers.domain.errors import DefinitionInvalid, VenueError
from servers.domain.model import Limits
from servers.domain.state import row
from servers.engine.codec import decode
from tests.property.encoding import encode
from tests.property.traffic import PARTITION, opened
from tests.property.whole import WholeTraffic


def test_a_command_is_the_same_after_the_wire() -> None:
    exchange, _, _ = opened(5)
    traffic = WholeTraffic(5)
    traffic.sequence = len(list(traffic.opening()))
    for _ in range(3_000):
        command = traffic.next()
        message = encode(PARTITION, command)
        message.sequence, message.time_us = command.sequence, command.time
        try:
            assert _plain(decode(message)) == _plain(command)
        except DefinitionInvalid:
            # An amount of nothing is said with no text at all.
            assert isinstance(command, c.MakeTransfer | c.Convert)
        try:
            exchange.execute(command)
        except VenueError:
            traffic.refused()


def _plain(command: c.Command) -> dict[str, object]:
    """The fields but for the fingerprint, which only the codec makes; an order inside has the stamp of what it is in."""
    values = {f.name: getattr(command, f.name) for f in fields(command) if f.name != "fingerprint"}
    for name, value in values.items():
        if isinstance(value, c.Command):
            values[name] = replace(value, fingerprint=b"", request_id=command.request_id)
        elif name == "orders":
            values[name] = tuple(replace(order, fingerprint=b"") for order in command.orders)  # type: ignore[attr-defined]
        elif isinstance(value, Limits):
            values[name] = row(value)
    return values
