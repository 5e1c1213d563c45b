"""Records the journal of the present rules: python -m tests.golden.record [--replace].

A recording that there is already is only replaced when the present program still does the same with it, or with --replace: before
a release, or where what is told about a command changed but not what it does.
"""

import argparse
import sys

from servers.domain.errors import VenueError
from servers.domain.exchange import RULES_VERSION, Exchange, scope_of
from servers.domain.terms import Environment
from servers.engine.codec import decode
from tests.golden.recording import MEMORY, path_of, read_commands, read_outcome, replay, write
from tests.property.encoding import encode
from tests.property.traffic import PARTITION
from tests.property.whole import WholeTraffic
from venue.engine.v1 import engine_pb2 as pb

SEED, COMMANDS = 2026, 4_000


def recorded() -> list[pb.Command]:
    """The commands that were taken of a venue's random life, a change to the present rules last."""
    exchange, traffic = Exchange(PARTITION, Environment.DEMO, MEMORY), WholeTraffic(SEED)
    traffic.alive = exchange.floor.orders
    taken: list[pb.Command] = []
    wanted = list(traffic.opening())
    while len(taken) < COMMANDS:
        command = wanted.pop(0) if wanted else traffic.next()
        message = encode(PARTITION, command)
        message.sequence, message.time_us = command.sequence, command.time
        try:
            decoded = decode(message)
            if decoded.request_id and exchange.find_request(scope_of(decoded), decoded.request_id, decoded.fingerprint):
                traffic.refused()
                continue
            exchange.execute(decoded)
        except VenueError:
            traffic.refused()
            continue
        taken.append(message)
    clock = exchange.clock
    change = pb.ChangeRules(rules_version=RULES_VERSION)
    return [*taken, pb.Command(sequence=clock.sequence + 1, time_us=clock.time, change_rules=change)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.golden.record", description=__doc__)
    parser.add_argument("--replace", action="store_true")
    given = parser.parse_args()
    if path_of(RULES_VERSION).exists() and not given.replace:
        before = replay(read_commands(RULES_VERSION))
        if before != read_outcome(RULES_VERSION):
            sys.exit("the present program does something else with the recording there is: see CONTRIBUTING, Rules")
    commands = recorded()
    outcome = replay(commands)
    write(RULES_VERSION, commands, outcome)
    print(f"{len(commands)} commands, {path_of(RULES_VERSION).stat().st_size} bytes: {outcome.kinds}")


if __name__ == "__main__":
    main()
