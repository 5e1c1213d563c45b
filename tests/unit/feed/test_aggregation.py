"""Which price several sources make together, and whom it leaves out."""

import pytest

from servers.feed.aggregation import Quote, Refusal, Rules, Scores, Settling, Verdict, decide, median, near

RULES = Rules(deviation_bps=100, jump_bps=300, score_min=300, confirm_ms=10_000)
STALE_MS = 10_000


def quotes(**prices: int) -> list[Quote]:
    """Fresh ones, in order of preference."""
    return [Quote(source, price, 500, 500, STALE_MS) for source, price in prices.items()]


@pytest.mark.parametrize(
    ("prices", "middle"),
    [([5], 5), ([4, 7], 5), ([9, 1, 5], 5), ([1, 2, 3, 10], 2), ([10**30, 10**30 + 1], 10**30)],
)
def test_a_median_is_a_whole_number(prices: list[int], middle: int) -> None:
    assert median(prices) == middle


@pytest.mark.parametrize(
    ("price", "other", "bps", "is_near"),
    [
        (10_100, 10_000, 100, True),
        (10_101, 10_000, 100, False),
        (9_900, 10_000, 100, True),
        (9_899, 10_000, 100, False),
    ],
)
def test_near_counts_basis_points_of_the_other(price: int, other: int, bps: int, is_near: bool) -> None:
    assert near(price, other, bps) == is_near


@pytest.mark.parametrize(
    ("told", "scores", "last", "verdict"),
    [
        ({}, {}, None, Verdict(None)),
        ({"a": 10_000}, {}, None, Verdict(10_000, ("a",))),
        ({"a": 10_000}, {}, 9_800, Verdict(10_000, ("a",))),
        ({"a": 10_000}, {}, 9_000, Verdict(None, (), {"a": Refusal.JUMP})),
        ({"a": 10_000, "b": 10_040}, {}, None, Verdict(10_020, ("a", "b"))),
        ({"a": 10_000, "b": 10_040, "c": 10_050}, {}, None, Verdict(10_040, ("a", "b", "c"))),
        # One of three is far off; then one of four.
        ({"a": 10_000, "b": 20_000, "c": 10_050}, {}, None, Verdict(10_025, ("a", "c"), {"b": Refusal.OUTLIER})),
        (
            {"a": 10_000, "b": 10_010, "c": 10_020, "d": 1},
            {},
            None,
            Verdict(10_010, ("a", "b", "c"), {"d": Refusal.OUTLIER}),
        ),
        # All moved together: that is no jump, that is a market.
        ({"a": 20_000, "b": 20_010}, {}, 10_000, Verdict(20_005, ("a", "b"))),
        # Two that disagree: who is nearer to the index so far, else the more reliable, else the preferred.
        ({"a": 10_000, "b": 12_000}, {}, 11_990, Verdict(12_000, ("b",), {"a": Refusal.OUTLIER})),
        ({"a": 10_000, "b": 12_000}, {"a": 900}, None, Verdict(12_000, ("b",), {"a": Refusal.OUTLIER})),
        ({"a": 10_000, "b": 12_000}, {"b": 900}, 50_000, Verdict(10_000, ("a",), {"b": Refusal.OUTLIER})),
        ({"a": 10_000, "b": 12_000}, {}, None, Verdict(10_000, ("a",), {"b": Refusal.OUTLIER})),
        # Three that all disagree: the middle one has no majority by itself.
        (
            {"a": 10_000, "b": 12_000, "c": 15_000},
            {},
            15_100,
            Verdict(15_000, ("c",), {"a": Refusal.OUTLIER, "b": Refusal.OUTLIER}),
        ),
        # Who was wrong too often is asked only where nobody else is.
        ({"a": 10_000, "b": 10_010}, {"a": 299}, None, Verdict(10_010, ("b",), {"a": Refusal.UNRELIABLE})),
        ({"a": 10_000}, {"a": 0}, None, Verdict(10_000, ("a",))),
    ],
)
def test_the_verdict(told: dict[str, int], scores: dict[str, int], last: int | None, verdict: Verdict) -> None:
    assert decide(quotes(**told), scores, last, RULES) == verdict


def test_what_is_stale_says_nothing() -> None:
    fresh, *_ = quotes(a=10_000)
    silent = Quote("b", 11_000, 10_001, 10_001, STALE_MS)
    closed = Quote("c", 12_000, 3_600_000, 200, STALE_MS)
    at_the_edge = Quote("d", 10_002, 10_000, 10_000, STALE_MS)
    assert decide([silent, closed], {}, 10_000, RULES) == Verdict(None, (), {"b": Refusal.STALE, "c": Refusal.QUIET})
    assert decide([fresh, silent, closed, at_the_edge], {}, None, RULES) == Verdict(
        10_001, ("a", "d"), {"b": Refusal.STALE, "c": Refusal.QUIET}
    )


def test_a_lone_jump_is_believed_once_it_has_lasted() -> None:
    settling = Settling(RULES)
    assert settling.step(quotes(a=10_000), {}, 0).price == 10_000
    assert [settling.step(quotes(a=20_000), {}, now).price for now in (1_000, 10_999, 11_000)] == [None, None, 20_000]
    # It counts from the jump on, not from one that came to nothing.
    assert settling.step(quotes(a=10_000), {}, 12_000).price is None
    assert settling.step(quotes(a=20_000), {}, 13_000).price == 20_000
    assert settling.step(quotes(a=10_000), {}, 22_500).price is None


def test_a_jump_that_another_source_confirms_is_believed_at_once() -> None:
    settling = Settling(RULES)
    settling.step(quotes(a=10_000), {}, 0)
    assert settling.step(quotes(a=20_000), {}, 1_000).price is None
    assert settling.step(quotes(a=20_000, b=20_010), {}, 1_500).price == 20_005


def test_the_index_outlives_silence() -> None:
    settling = Settling(RULES)
    settling.step(quotes(a=10_000), {}, 0)
    assert settling.step([], {}, 1_000) == Verdict(None)
    assert settling.last == 10_000


def test_a_source_falls_fast_and_recovers_slowly() -> None:
    scores = Scores()
    wrong = Verdict(1, ("a",), {"b": Refusal.OUTLIER})
    turns = 0
    while scores.of.get("b", 1000) >= RULES.score_min:
        scores.count([wrong])
        turns += 1
    assert 15 <= turns <= 25
    assert scores.of["a"] == 1000
    right = Verdict(1, ("a",), {"b": Refusal.UNRELIABLE})
    recovering = 0
    while scores.of["b"] < 900:
        scores.count([right])
        recovering += 1
    assert recovering > 2 * turns
    for _ in range(1000):
        scores.count([right])
    assert scores.of["b"] == 1000


def test_a_source_is_judged_once_a_turn_by_most_of_its_prices() -> None:
    scores = Scores()
    closed = Verdict(None, (), {"a": Refusal.QUIET})
    scores.count([closed] * 5)
    assert scores.of == {}
    scores.count([Verdict(1, ("a",)), Verdict(1, ("a",)), Verdict(None, (), {"a": Refusal.STALE})])
    assert scores.of == {"a": 1000}
    scores.count([Verdict(1, ("a",)), *[Verdict(None, (), {"a": Refusal.STALE})] * 3])
    assert scores.of["a"] == 1000 - 1000 // 16
