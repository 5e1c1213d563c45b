"""Prints digest, state hash and a hash of all events of a run that stops and goes on from its rows; and what was in it."""

import sys
from hashlib import sha256

from servers.domain.exchange import Exchange
from servers.domain.state import dump, load, state_hash
from servers.domain.terms import CancelReason, Environment, ListRole, OrderType, RejectReason, TimeInForce
from tests.property.plain import Done, drive
from tests.property.traffic import PARTITION
from tests.property.whole import MEMORY, WholeTraffic

# After a restart.
REST = 500


def features(done: Done) -> set[str]:
    """What a command was, and of what types and ends the orders were that it changed."""
    if done.refusal:
        return set()
    found = {type(done.command).__name__}
    for name, values in done.events:
        if name == "OrderChanged":
            order = values[0]
            found |= {
                f"type {OrderType(order['type']).name}",
                f"life {TimeInForce(order['time_in_force']).name}",
                f"role {ListRole(order['list_role']).name}",
                f"cancel {CancelReason(order['cancel_reason']).name}",
                f"reject {RejectReason(order['reject_reason']).name}",
            }
            found |= {
                name for name in ("reduce_only", "display_quantity", "session_id", "trailing_percent") if order[name]
            }
    return found


def main(seed: int, commands: int) -> None:
    exchange, traffic = Exchange(PARTITION, Environment.DEMO, request_memory=MEMORY), WholeTraffic(seed)
    for command in traffic.opening():
        exchange.execute(command)
    events, found = sha256(), set[str]()
    for part in (commands - REST, REST):
        for one in drive(exchange, traffic, part):
            events.update(repr((one.events, one.refusal)).encode())
            found |= features(one)
        exchange = load(PARTITION, Environment.DEMO, dump(exchange), request_memory=MEMORY)
        print(exchange.clock.digest, state_hash(exchange), events.hexdigest())
    print(",".join(sorted(found)))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
