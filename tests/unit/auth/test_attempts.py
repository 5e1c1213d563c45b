"""Guessing is slowed down, and nobody is locked out."""

import pytest

from db.guesses import Rule
from servers.auth.attempts import Attempt, Attempts, LocalWindows, Rules, network_of
from servers.transport.refusals import RateLimited

LOOSE = Rule(limits=(), kept_s=900.0)
ADA, HOME, ELSEWHERE = "ada@example.com", "192.0.2.1", "192.0.2.2"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def attempts(clock: Clock, *, account: Rule = LOOSE, address: Rule = LOOSE, pair: Rule = LOOSE) -> Attempts:
    return Attempts(None, secret="secret", rules=Rules(account, address, pair), clock=clock)


async def begin(counted: Attempts, account: str = ADA, place: str = HOME, *, known: bool = False) -> Attempt:
    return await counted.begin(account, place, known=known)


async def wait_s(counted: Attempts, account: str = ADA, place: str = HOME, *, known: bool = False) -> float:
    try:
        await begin(counted, account, place, known=known)
    except RateLimited as refused:
        return refused.retry_after_s
    return 0.0


async def test_each_wrong_try_after_the_free_ones_waits_longer() -> None:
    clock = Clock()
    counted = attempts(clock, pair=Rule(limits=(), kept_s=900.0, free=3))
    waits = []
    for _ in range(11):
        waits.append(await wait_s(counted))
        if waits[-1]:
            clock.now += waits[-1]
            assert await wait_s(counted) == 0.0
    assert waits == [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60]


async def test_a_window_slides() -> None:
    clock = Clock()
    counted = attempts(clock, account=Rule(limits=((3, 60.0),), kept_s=60.0))
    for _ in range(3):
        await begin(counted)
        clock.now += 10
    assert await wait_s(counted, place=ELSEWHERE) == 30.0
    clock.now += 30
    assert await wait_s(counted, place=ELSEWHERE) == 0.0
    assert await wait_s(counted) == 10.0


async def test_the_longest_wait_of_all_windows_counts() -> None:
    clock = Clock()
    counted = attempts(clock, account=Rule(limits=((2, 60.0), (4, 3600.0)), kept_s=3600.0))
    for _ in range(4):
        await begin(counted)
        clock.now += 40
    assert await wait_s(counted) == 3600.0 - 160.0


async def test_a_known_place_has_a_count_of_its_own() -> None:
    tight = Rule(limits=((1, 60.0),), kept_s=60.0)
    counted = attempts(Clock(), account=tight, address=tight, pair=Rule(limits=((2, 60.0),), kept_s=60.0))
    await begin(counted, place=ELSEWHERE)
    assert await wait_s(counted) > 0
    for expected in (0.0, 0.0, 60.0):
        assert await wait_s(counted, known=True) == expected


async def test_an_address_that_tries_many_accounts_is_slowed() -> None:
    counted = attempts(Clock(), address=Rule(limits=((5, 60.0),), kept_s=60.0))
    for number in range(5):
        await begin(counted, account=f"user-{number}@example.com")
    assert await wait_s(counted, account="user-5@example.com") == 60.0
    assert await wait_s(counted, account="user-5@example.com", place=ELSEWHERE) == 0.0


async def test_success_forgets_the_pair_and_takes_back_the_try_alone() -> None:
    counted = attempts(
        Clock(), account=Rule(limits=((3, 60.0),), kept_s=60.0), pair=Rule(limits=((2, 60.0),), kept_s=60.0)
    )
    await begin(counted)
    await counted.succeed(await begin(counted))
    # One wrong try at the account is left, none of the pair.
    assert [await wait_s(counted) for _ in range(3)] == [0.0, 0.0, 60.0]


async def test_a_try_that_was_not_checked_does_not_count() -> None:
    counted = attempts(Clock(), pair=Rule(limits=((1, 60.0),), kept_s=60.0))
    for _ in range(5):
        await counted.undo(await begin(counted))


async def test_a_refused_try_counts_nowhere() -> None:
    clock = Clock()
    counted = attempts(
        clock, account=Rule(limits=((1, 60.0),), kept_s=60.0), address=Rule(limits=((2, 60.0),), kept_s=60.0)
    )
    await begin(counted)
    for _ in range(5):
        assert await wait_s(counted) > 0
    assert await wait_s(counted, account="bob@example.com") == 0.0


async def test_who_helps_an_owner_forgets_what_was_tried_at_the_account() -> None:
    counted = attempts(Clock(), account=Rule(limits=((1, 60.0),), kept_s=60.0))
    await begin(counted)
    await counted.clear(ADA)
    assert await wait_s(counted) == 0.0


def test_it_remembers_a_bounded_number_of_keys() -> None:
    windows = LocalWindows(Clock(), keys_max=10)
    for number in range(15):
        windows.begin([f"key-{number}"], [LOOSE], "try")
    assert list(windows._tries) == [f"key-{number}" for number in range(5, 15)]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("unix", "unix"),
        ("", ""),
    ],
)
def test_a_customer_of_a_provider_is_one_network(address: str, network: str) -> None:
    assert network_of(address) == network
