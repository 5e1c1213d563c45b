"""The machine and the naive venue do the same, command by command: trades, fees, refusals, books, funds, positions, what waits.

The traffic has every type of order and every feature: orders that wait and trail, lists of two, brackets, icebergs, reduce-only
orders, limits, changed stop prices, states, auctions and hours of markets, switches, sessions, prices from outside.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servers.domain.exchange import Exchange
from servers.domain.invariants import breaches
from servers.domain.terms import Environment
from tests.oracle.venue import NaiveVenue
from tests.property.comparison import check_books, check_funds, check_positions, check_waiting, step
from tests.property.traffic import PARTITION, Traffic
from tests.property.whole import SwarmTraffic

COMMANDS = 300


def run(traffic: Traffic, commands: int) -> Exchange:
    exchange, naive = Exchange(PARTITION, Environment.DEMO, request_memory=300), NaiveVenue()
    traffic.alive = exchange.floor.orders
    for command in traffic.opening():
        assert step(exchange, naive, command)
    for number in range(commands):
        if not step(exchange, naive, traffic.next()):
            traffic.refused()
        check_books(exchange, naive)
        check_waiting(exchange, naive)
        if number % 10 == 0:
            check_funds(exchange, naive)
        if number % 25 == 0:
            check_positions(exchange, naive)
            assert breaches(exchange) == []
    check_funds(exchange, naive)
    return exchange


@settings(parent=settings(), max_examples=3 * settings().max_examples)
@given(seed=st.integers(0, 2**32))
def test_the_machine_equals_the_naive_venue(seed: int) -> None:
    exchange = run(SwarmTraffic(seed, transfers=False), COMMANDS)
    assert exchange.clock.trade_number


@pytest.mark.timeout(0)
def test_a_long_run_equals_the_naive_venue(pytestconfig: pytest.Config) -> None:
    commands = 20_000 if pytestconfig.getoption("--long") else 2_000
    exchange = run(SwarmTraffic(20150501, transfers=False), commands)
    assert exchange.clock.trade_number > commands // 20
