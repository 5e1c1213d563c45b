"""Orders that wait do the same in the machine and in the naive venue, which looks at each of them at every price."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.domain import commands as c
from servers.domain.exchange import Exchange
from servers.domain.terms import Environment, OrderType, TimeInForce
from tests.oracle.waiting import WaitingVenue
from tests.property.comparison import check_books, check_funds, step
from tests.property.conditions import ConditionalTraffic
from tests.property.traffic import PARTITION

COMMANDS = 300
LASTING = {TimeInForce.GTD, TimeInForce.DAY}


class WaitingTraffic(ConditionalTraffic):
    """Orders of every type that lives until it is cancelled, cancels, and prices from outside."""

    def next(self) -> c.Command:
        dice = self.random.random()
        if dice < 0.1:
            return self._reference()
        if dice < 0.2 and self.numbers:
            return c.CancelOrder(*self._stamp(), self.numbers.pop(), "", "")
        order = self._place()
        if dice < 0.6:
            order = self._wait(order)
        if order.time_in_force in LASTING:
            order.time_in_force, order.expire_time = int(TimeInForce.GTC), 0
        if order.type == OrderType.MARKET and order.time_in_force == TimeInForce.GTC:
            order.time_in_force = int(TimeInForce.IOC)
        return order


def run(seed: int, commands: int) -> int:
    """How many orders were triggered."""
    exchange, naive = Exchange(PARTITION, Environment.DEMO, request_memory=300), WaitingVenue()
    traffic = WaitingTraffic(seed, transfers=False)
    for command in traffic.opening():
        assert step(exchange, naive, command)
    for number in range(commands):
        command = traffic.next()
        if not step(exchange, naive, command):
            traffic.refused()
        check_books(exchange, naive)
        if number % 10 == 0:
            check_funds(exchange, naive)
        stops = {order.number: order.stop_price for order in exchange.floor.orders.values() if order.status == 1}
        assert stops == {number: wait.stop * 10**18 for number, wait in naive.waits.items()}
    check_funds(exchange, naive)
    return sum(bool(placed.order.filled) for placed in naive.orders.values())


@given(seed=st.integers(0, 2**32))
def test_the_machine_equals_the_naive_venue(seed: int) -> None:
    assert run(seed, COMMANDS)


@pytest.mark.timeout(0)
def test_a_long_run_equals_the_naive_venue() -> None:
    assert run(20_240_101, 1_500) > 100
