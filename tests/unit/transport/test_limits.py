"""Rates: what is let through, and when to come again."""

import time

import pytest

from servers.domain.errors import Overloaded
from servers.transport import limits
from servers.transport.limits import Bucket, Limits, Rate
from servers.transport.refusals import RateLimited
from venue.option.v1 import access_pb2


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_burst_passes_and_then_the_rate_holds(clock: Clock) -> None:
    bucket = Bucket("ORDER", Rate(10, 5))
    for _ in range(5):
        bucket.take("a")
    with pytest.raises(RateLimited) as refused:
        bucket.take("a")
    assert refused.value.retry_after_s == pytest.approx(0.1)
    clock.now += 0.1
    bucket.take("a")
    with pytest.raises(RateLimited):
        bucket.take("a")


def test_who_comes_when_told_is_let_in(clock: Clock) -> None:
    bucket = Bucket("ORDER", Rate(10, 5))
    bucket.take("a", 5)
    with pytest.raises(RateLimited) as refused:
        bucket.take("a", 3)
    clock.now += refused.value.retry_after_s + 1e-9
    bucket.take("a", 3)


def test_a_batch_larger_than_the_burst_passes_once_and_is_paid_for(clock: Clock) -> None:
    bucket = Bucket("ORDER", Rate(10, 5))
    bucket.take("a", 100)
    clock.now += 9
    with pytest.raises(RateLimited):
        bucket.take("a", 100)
    clock.now += 1
    bucket.take("a", 100)


def test_callers_are_counted_apart_and_forgotten_when_quiet(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CALLERS_MAX", 3)
    bucket = Bucket("PUBLIC", Rate(1, 1))
    for caller in "abc":
        bucket.take(caller)
    clock.now += 1.5
    bucket.take("c")
    bucket.take("d")
    assert sorted(bucket._full_at) == ["c", "d"]


def test_calls_in_flight_are_bounded() -> None:
    full = Limits(in_flight_max=1)
    full.in_flight = 1
    with pytest.raises(Overloaded):
        full.check_in_flight()


def test_streams_are_given_back() -> None:
    few = Limits(streams_max=1)
    few.open_stream("a")
    with pytest.raises(RateLimited):
        few.open_stream("a")
    few.open_stream("b")
    few.close_stream("a")
    few.open_stream("a")


def test_an_administrator_has_thirty_calls_a_minute(clock: Clock) -> None:
    bucket = Limits().bucket(access_pb2.BUCKET_ADMIN)
    assert bucket is not None
    for _ in range(30):
        bucket.take("ada")
    with pytest.raises(RateLimited) as refused:
        bucket.take("ada")
    assert refused.value.retry_after_s == pytest.approx(2)
    bucket.take("ben")
    clock.now += 60
    for _ in range(30):
        bucket.take("ada")


def test_what_is_left_is_told_and_asking_takes_nothing(clock: Clock) -> None:
    bucket = Bucket("ORDER", Rate(10, 5))
    assert bucket.use("a") == (5, 5, 0.0, 0.5)
    bucket.take("a", 2)
    for _ in range(2):
        assert bucket.use("a")[:2] == (5, 3)
        assert bucket.use("a").reset_s == pytest.approx(0.2)
    assert bucket.use("b").remaining == 5
    clock.now += 0.1
    assert bucket.use("a").remaining == 4
    bucket.take("a", 4)
    assert bucket.use("a").remaining == 0
    with pytest.raises(RateLimited):
        bucket.take("a")
