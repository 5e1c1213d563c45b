"""The traffic of orders that wait and orders that are linked has every end in it."""

from servers.domain.exchange import Exchange
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
