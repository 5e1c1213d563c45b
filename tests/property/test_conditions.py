"""Orders that wait and orders that are linked: sound after every command, the same from a snapshot, under any hash seed."""

from hypothesis import given
from hypothesis import strategies as st

from servers.domain.exchange import Exchange
from servers.domain.invariants import breaches
from servers.domain.state import dump, load, state_hash
from servers.domain.terms import CancelReason, Environment, OrderStatus
from tests.property.conditions import ConditionalTraffic
from tests.property.plain import Done, perform
from tests.property.traffic import PARTITION

MEMORY = 300
COMMANDS = 200


def opened(seed: int) -> tuple[Exchange, ConditionalTraffic]:
    exchange, traffic = Exchange(PARTITION, Environment.DEMO, request_memory=MEMORY), ConditionalTraffic(seed)
    for command in traffic.opening():
        exchange.execute(command)
    return exchange, traffic


def one_more(exchange: Exchange, traffic: ConditionalTraffic) -> Done:
    done = perform(exchange, traffic.next())
    if done.refusal:
        traffic.refused()
    return done


@given(seed=st.integers(0, 2**32))
def test_nothing_is_breached_after_any_command(seed: int) -> None:
    exchange, traffic = opened(seed)
    for _ in range(COMMANDS):
        before = state_hash(exchange)
        done = one_more(exchange, traffic)
        assert breaches(exchange) == []
        assert bool(done.refusal) == (state_hash(exchange) == before)


@given(seed=st.integers(0, 2**32), before=st.integers(0, 600))
def test_a_machine_loaded_from_its_rows_goes_on_as_the_dumped_one(seed: int, before: int) -> None:
    exchange, traffic = opened(seed)
    for _ in range(before):
        one_more(exchange, traffic)
    loaded = load(PARTITION, Environment.DEMO, dump(exchange), request_memory=MEMORY)
    assert (state_hash(loaded), breaches(loaded)) == (state_hash(exchange), [])
    assert loaded.next_deadline() == exchange.next_deadline()
    for _ in range(500):
        done = one_more(exchange, traffic)
        assert perform(loaded, done.command) == done
    assert (loaded.clock.digest, state_hash(loaded)) == (exchange.clock.digest, state_hash(exchange))


ALL = {
    ("PENDING_TRIGGER", "UNSPECIFIED", False),
    ("PENDING_TRIGGER", "UNSPECIFIED", True),
    ("CANCELLED", "LINKED", True),
    ("CANCELLED", "TRIGGER_REJECTED", False),
    ("FILLED", "UNSPECIFIED", True),
    ("EXPIRED", "UNSPECIFIED", True),
    ("CANCELLED", "REPLACED", True),
}


def test_the_traffic_does_all_there_is_to_do() -> None:
    exchange, traffic = opened(7)
    left = set(ALL)
    for _ in range(30_000):
        for name, values in one_more(exchange, traffic).events:
            if name == "OrderChanged":
                order = values[0]
                status, reason = OrderStatus(order["status"]), CancelReason(order["cancel_reason"])
                left.discard((status.name, reason.name, order["list_role"] > 0))
        if not left:
            return
    assert left == set()
