"""Prints the digest, the state hash and a hash of all events of a run that stops in the middle and goes on from its rows."""

import sys
from hashlib import sha256

from servers.domain.state import dump, load, state_hash
from servers.domain.terms import Environment
from tests.property.plain import drive
from tests.property.traffic import PARTITION, opened


def main(seed: int, commands: int) -> None:
    exchange, traffic, _ = opened(seed)
    events = sha256()
    for part in (commands // 2, commands - commands // 2):
        exchange = load(PARTITION, Environment.DEMO, dump(exchange), request_memory=exchange.request_memory)
        for one in drive(exchange, traffic, part):
            events.update(repr((one.events, one.refusal)).encode())
    print(exchange.clock.digest, state_hash(exchange), events.hexdigest())


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
