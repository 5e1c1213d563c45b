"""Guessing is slowed down, and nobody is locked out."""

import pytest

from servers.auth.attempts import PLACES_MAX, Attempts
from servers.transport.refusals import RateLimited


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


HOME = ("ada@example.com", "192.0.2.1")
ELSEWHERE = ("ada@example.com", "192.0.2.2")


def waits(attempts: Attempts, clock: Clock, count: int) -> list[float]:
    found = []
    for _ in range(count):
        try:
            attempts.begin(HOME)
            found.append(0.0)
        except RateLimited as refused:
            found.append(refused.retry_after_s)
            clock.now += refused.retry_after_s
            attempts.begin(HOME)
    return found


def test_each_wrong_try_after_the_free_ones_waits_longer() -> None:
    clock = Clock()
    assert waits(Attempts(free=3, clock=clock), clock, 11) == [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60]


def test_many_tries_at_once_are_counted_before_they_are_checked() -> None:
    attempts = Attempts(free=3, clock=Clock())
    for _ in range(3):
        attempts.begin(HOME)
    with pytest.raises(RateLimited):
        attempts.begin(HOME)


def test_another_place_does_not_wait() -> None:
    attempts = Attempts(free=1, clock=Clock())
    attempts.begin(HOME)
    with pytest.raises(RateLimited):
        attempts.begin(HOME)
    attempts.begin(ELSEWHERE)


def test_success_and_a_quarter_of_an_hour_forget() -> None:
    clock = Clock()
    attempts = Attempts(free=1, clock=clock)
    attempts.begin(HOME)
    attempts.succeed(HOME)
    attempts.begin(HOME)
    clock.now += 901
    attempts.begin(HOME)


def test_a_try_that_was_not_checked_does_not_count() -> None:
    attempts = Attempts(free=1, clock=Clock())
    for _ in range(5):
        attempts.begin(HOME)
        attempts.undo(HOME)


def test_it_remembers_a_bounded_number_of_places() -> None:
    attempts = Attempts(free=1, clock=Clock())
    for number in range(PLACES_MAX + 5):
        attempts.begin((f"user-{number}@example.com", "192.0.2.1"))
    assert len(attempts._places) == PLACES_MAX
