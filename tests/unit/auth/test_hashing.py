"""The pace of hashing: all it can get where nobody else wants a processor, its share where somebody does."""

import pytest

from servers.auth.hashing import AT_ONCE_S, CONTESTED, MATCHED, WRONG_AT_ONCE_S, Found, Pace

SHARE = 0.1
HASH_S = 0.2


def flood(pace: Pace, took_s: float, end_s: float, found: Found = Found.WRONG) -> float:
    """Hashes one after the other until then, each after the rest of the one before; returns what all of them worked."""
    now = worked_s = 0.0
    while now < end_s:
        now += took_s
        worked_s += HASH_S
        now += pace.rest_s(now, took_s, HASH_S, found)
    return worked_s


def test_hashes_that_nobody_disturbs_have_no_rest() -> None:
    assert flood(Pace(SHARE, 0.0), HASH_S, 60.0) == pytest.approx(60.0, abs=HASH_S)
    assert flood(Pace(SHARE, 0.0), HASH_S * CONTESTED * 0.99, 60.0) > 50.0


@pytest.mark.parametrize("took_s", [HASH_S * CONTESTED * 1.01, 0.5, 1.9])
def test_f36_a_flood_takes_its_share_of_what_others_want_too(took_s: float) -> None:
    worked_s = flood(Pace(SHARE, 0.0), took_s, 600.0)
    assert worked_s <= 600.0 * SHARE + AT_ONCE_S + 2 * HASH_S
    # And no less: who waits is not kept waiting for nothing.
    assert worked_s >= 600.0 * SHARE - HASH_S


def test_passwords_that_are_right_cost_a_quarter() -> None:
    worked_s = flood(Pace(SHARE, 0.0), 0.25, 600.0, Found.RIGHT)
    assert worked_s == pytest.approx(600.0 * SHARE / MATCHED, rel=0.05)


def test_hashes_slower_than_its_share_have_no_rest_either() -> None:
    pace = Pace(SHARE, 0.0)
    now = 0.0
    for _ in range(20):
        now += HASH_S / SHARE
        assert pace.rest_s(now, HASH_S / SHARE, HASH_S, Found.NEW) == 0.0


def test_what_comes_seldom_has_no_rest_and_a_pause_saves_nothing_up() -> None:
    pace = Pace(SHARE, 0.0)
    assert [pace.rest_s(100.0 * n, 0.5, HASH_S, Found.NEW) for n in range(1, 20)] == [0.0] * 19
    rests = [pace.rest_s(5000.0, 0.5, HASH_S, Found.NEW) for _ in range(int(AT_ONCE_S / HASH_S) + 1)]
    assert rests[:-1] == [0.0] * (len(rests) - 1)
    assert rests[-1] == pytest.approx(HASH_S / SHARE)


def test_after_a_flood_nobody_pays_for_it() -> None:
    pace = Pace(SHARE, 0.0)
    rested = [pace.rest_s(1.0, 0.5, HASH_S, Found.NEW) for _ in range(20)][-1]
    assert rested > 0.0
    # Once it has rested what is left over time is there again, and no debt.
    assert pace.rest_s(1.0 + rested + HASH_S / SHARE, 0.5, HASH_S, Found.NEW) == pytest.approx(0.0, abs=1e-6)


def test_f36_wrong_passwords_leave_most_of_what_may_be_had_at_once_to_others() -> None:
    pace = Pace(SHARE, 0.0)
    wrong = [pace.rest_s(1.0, 0.5, HASH_S, Found.WRONG) for _ in range(int(WRONG_AT_ONCE_S / HASH_S) + 1)]
    assert wrong[:-1] == [pytest.approx(0.0)] * (len(wrong) - 1)
    assert wrong[-1] == pytest.approx(HASH_S / SHARE)
    # In the midst of a flood, which has rested: who knows his password, and who is new.
    now = 1.0 + wrong[-1]
    others = [*[Found.RIGHT] * 4, *[Found.NEW] * 5]
    assert [pace.rest_s(now, 0.5, HASH_S, each) for each in others] == [0.0] * len(others)


def test_a_wrong_password_does_not_pay_for_those_before_it() -> None:
    pace = Pace(SHARE, 0.0)
    assert [pace.rest_s(1.0, 0.5, HASH_S, Found.NEW) for _ in range(8)] == [0.0] * 8
    assert pace.rest_s(1.0, 0.5, HASH_S, Found.WRONG) == pytest.approx(HASH_S / SHARE)
