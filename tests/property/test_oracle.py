"""The machine and the naive venue do the same, command by command: trades, fees, refusals, books, funds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.domain.exchange import Exchange
from servers.domain.invariants import breaches
from servers.domain.terms import Environment
from tests.oracle.venue import NaiveVenue
from tests.property.comparison import check_books, check_funds, step
from tests.property.traffic import PARTITION, Traffic

COMMANDS = 300


def run(seed: int, commands: int) -> Exchange:
    exchange, naive = Exchange(PARTITION, Environment.DEMO, request_memory=300), NaiveVenue()
    traffic = Traffic(seed, transfers=False)
    for command in traffic.opening():
        assert step(exchange, naive, command)
    for number in range(commands):
        if not step(exchange, naive, traffic.next()):
            traffic.refused()
        check_books(exchange, naive)
        if number % 25 == 0:
            check_funds(exchange, naive)
            assert breaches(exchange) == []
    check_funds(exchange, naive)
    return exchange


@given(seed=st.integers(0, 2**32))
def test_the_machine_equals_the_naive_venue(seed: int) -> None:
    assert run(seed, COMMANDS).clock.trade_number


@pytest.mark.timeout(0)
def test_a_long_run_equals_the_naive_venue(pytestconfig: pytest.Config) -> None:
    commands = 20_000 if pytestconfig.getoption("--long") else 2_000
    exchange = run(20150501, commands)
    assert exchange.clock.trade_number > commands // 10
