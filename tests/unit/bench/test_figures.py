"""Ratios, verdicts, quantiles."""

import pytest

from servers.bench.errors import BenchError
from servers.bench.figures import Goal, Measure, Slot


def measure(*pairs: tuple[float, float]) -> Measure:
    made = Measure("P1", "what", "echo", "orders/s", Goal(0.35, 0.7))
    for ours, theirs in pairs:
        made.add(ours, theirs)
    return made


def test_a_ratio_is_the_median_of_the_rounds_and_not_of_the_medians() -> None:
    made = measure((10, 10), (10, 100), (90, 300))
    assert (made.ratios, made.ratio) == ([1.0, 0.1, 0.3], 0.3)


def test_a_server_that_answered_nothing_is_no_measure() -> None:
    with pytest.raises(BenchError, match="P1: echo answered nothing"):
        measure((10, 0))


@pytest.mark.parametrize(
    ("goal", "ratio", "verdict"),
    [
        (Goal(0.35, 0.7), 0.7, "aim"),
        (Goal(0.35, 0.7), 0.35, "floor"),
        (Goal(0.35, 0.7), 0.34, "below"),
        (Goal(5, 4, low_is_good=True), 4, "aim"),
        (Goal(5, 4, low_is_good=True), 5, "floor"),
        (Goal(5, 4, low_is_good=True), 5.1, "below"),
    ],
)
def test_a_verdict_knows_which_way_is_good(goal: Goal, ratio: float, verdict: str) -> None:
    assert goal.verdict(ratio) == verdict


def test_quantiles_are_those_of_the_sorted_times() -> None:
    slot = Slot(1.0, list(range(1000, 101_000, 1000)))
    assert (slot.quantile_ms(0.5), slot.quantile_ms(0.99), slot.quantile_ms(1.0)) == (51.0, 100.0, 100.0)


def test_no_answers_have_no_quantile() -> None:
    with pytest.raises(BenchError):
        Slot(0.0, []).quantile_ms(0.5)
