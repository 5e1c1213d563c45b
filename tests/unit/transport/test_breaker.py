"""When a source that fails is tried again."""

import random

from servers.transport.breaker import LONGEST_S, Breaker, State


def test_it_opens_after_three_failures_in_a_row_and_waits_twice_as_long_each_time() -> None:
    breaker, now, waits, states = Breaker(random.Random(5)), 0.0, [], []
    for _ in range(12):
        breaker.failed(now)
        waits.append(breaker.wait_s(now))
        states.append(breaker.state(now))
        now += breaker.wait_s(now)
        assert breaker.wait_s(now) == 0
    assert states == [State.CLOSED] * 2 + [State.OPEN] * 10
    for failures, wait in enumerate(waits):
        longest = min(LONGEST_S, 2.0**failures)
        assert longest / 2 <= wait <= longest
    assert breaker.state(now) is State.HALF_OPEN


def test_no_two_of_them_come_back_together() -> None:
    waits = set()
    for seed in range(20):
        breaker = Breaker(random.Random(seed))
        breaker.failed(0.0)
        waits.add(breaker.wait_s(0.0))
    assert len(waits) == 20


def test_it_waits_as_long_as_it_was_told_to_within_reason() -> None:
    breaker = Breaker(random.Random(1))
    breaker.failed(100.0, retry_after_s=45)
    assert breaker.wait_s(100.0) == 45
    breaker.failed(200.0, retry_after_s=99_999)
    assert breaker.wait_s(200.0) == 1200


def test_it_closes_once_the_source_has_worked_for_a_while() -> None:
    breaker = Breaker(random.Random(1))
    for _ in range(4):
        breaker.failed(0.0)
    breaker.worked(9.9)
    assert (breaker.failures, breaker.state(9.9)) == (4, State.HALF_OPEN)
    breaker.worked(10.0)
    assert (breaker.failures, breaker.state(10.0)) == (0, State.CLOSED)
