"""Passwords: nothing is cut, nothing is skipped, and guessable ones are refused."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.auth.errors import PasswordTooWeak
from servers.auth.hashing import NICE, SESSION_NICE, sessions_are_groups
from servers.auth.passwords import WAIT_MAX_S, Passwords, score
from servers.domain.errors import Overloaded


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords(pepper="pepper", cost=4, workers=2)
    yield made
    made.close()


async def test_a_password_matches_its_own_hash_only(passwords: Passwords) -> None:
    stored = await passwords.hash("quiet harbour lantern")
    assert await passwords.matches("quiet harbour lantern", stored)
    assert not await passwords.matches("Quiet harbour lantern", stored)


async def test_the_last_of_a_hundred_bytes_counts(passwords: Passwords) -> None:
    stored = await passwords.hash("x" * 99 + "a")
    assert not await passwords.matches("x" * 99 + "b", stored)


@pytest.mark.parametrize(
    "password", ["nul\0inside", "\0\0\0\0\0\0\0\0", "💱" * 64, "p" * 1024, " leading and trailing "]
)
async def test_any_characters_of_any_length_can_be_hashed(passwords: Passwords, password: str) -> None:
    stored = await passwords.hash(password)
    assert await passwords.matches(password, stored)
    assert not await passwords.matches(password[:-1], stored)


async def test_what_follows_a_nul_counts(passwords: Passwords) -> None:
    assert not await passwords.matches("nul\0other", await passwords.hash("nul\0inside"))


async def test_the_same_text_composed_otherwise_matches(passwords: Passwords) -> None:
    assert await passwords.matches("cafe\u0301 by the sea", await passwords.hash("caf\u00e9 by the sea"))


async def test_another_pepper_matches_nothing(passwords: Passwords) -> None:
    other = Passwords(pepper="salt", cost=4, workers=1)
    assert not await other.matches("quiet harbour lantern", await passwords.hash("quiet harbour lantern"))
    other.close()


async def test_nobody_matches_nothing(passwords: Passwords) -> None:
    assert not await passwords.matches("quiet harbour lantern", None)


async def test_an_unknown_user_takes_as_long_as_a_known_one() -> None:
    passwords = Passwords(pepper="pepper", cost=8, workers=1)
    stored = await passwords.hash("quiet harbour lantern")
    took: dict[str | None, list[float]] = {stored: [], None: []}
    for _ in range(40):
        for target, times in took.items():
            began = time.process_time()
            await passwords.matches("wrong", target)
            times.append(time.process_time() - began)
    known, unknown = (min(times) for times in took.values())
    passwords.close()
    assert abs(known - unknown) < 0.25 * known, (known, unknown)


async def test_a_hash_of_lower_cost_is_outdated(passwords: Passwords) -> None:
    dearer = Passwords(pepper="pepper", cost=5, workers=1)
    stored = await passwords.hash("quiet harbour lantern")
    assert (passwords.is_outdated(stored), dearer.is_outdated(stored)) == (False, True)
    dearer.close()


async def test_hashing_apart_gives_the_same_stands_back_and_survives_the_end_of_its_process() -> None:
    plain = Passwords(pepper="pepper", cost=4, workers=1)
    passwords = Passwords(pepper="pepper", cost=4, workers=2, share=1.0)
    stored = await passwords.hash("quiet harbour lantern")
    assert await plain.matches("quiet harbour lantern", stored)
    assert not await passwords.matches("quiet harbour", stored)
    assert not await passwords.matches("quiet harbour lantern", None)
    with pytest.raises(ValueError, match="salt"):
        await passwords.matches("quiet harbour lantern", "p1:$2b$none")
    assert passwords._hashers is not None
    processes = list(passwords._hashers._running)
    for process in processes:
        assert os.getsid(process.pid) == process.pid
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == NICE
        if sys.platform == "linux":
            expected = os.SCHED_OTHER if sessions_are_groups() else os.SCHED_IDLE
            assert os.sched_getscheduler(process.pid) == expected
            assert session_nice(process.pid) in {None, SESSION_NICE}
        process.kill()
        process.wait()
    assert all(await asyncio.gather(*(passwords.matches("quiet harbour lantern", stored) for _ in range(4))))
    processes += passwords._hashers._running
    passwords.close()
    plain.close()
    assert None not in {process.poll() for process in processes}


def session_nice(pid: int) -> int | None:
    """None where sessions are no groups."""
    group = Path(f"/proc/{pid}/autogroup")
    # "/autogroup-7 nice 19"
    words = group.read_text().split() if group.exists() else []
    return int(words[-1]) if words else None


async def test_over_the_bound_it_says_when_to_come_again() -> None:
    passwords = Passwords(pepper="pepper", cost=4, workers=1, queue_max=2)
    gate = threading.Event()
    waiting = [asyncio.create_task(passwords._run(gate.wait)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as refused:
        await passwords.hash("quiet harbour lantern")
    assert refused.value.retry_after_s > 0
    gate.set()
    await asyncio.gather(*waiting)
    assert (await passwords.hash("quiet harbour lantern")).startswith("p1:$2b$04$")
    passwords.close()


async def test_nobody_is_let_in_to_wait_longer_than_a_call_lasts() -> None:
    passwords = Passwords(pepper="pepper", cost=4, workers=1, queue_max=100)
    # Two hashes of late took that long: a third of what may be waited for.
    passwords._each_s = WAIT_MAX_S / 3
    gate = threading.Event()
    waiting = [asyncio.create_task(passwords._run(gate.wait)) for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        passwords.check_room()
    gate.set()
    await asyncio.gather(*waiting)
    # Where nobody waits there is room, however long hashes take; and one that is quick again is known to be.
    passwords._each_s = 10 * WAIT_MAX_S
    for _ in range(20):
        await passwords.hash("quiet harbour lantern")
    assert passwords._each_s < WAIT_MAX_S / 10
    passwords.close()


async def test_who_would_wait_for_the_end_of_a_rest_is_told_when_to_come_again() -> None:
    passwords = Passwords(pepper="pepper", cost=4, workers=1, share=1.0)
    stored = await passwords.hash("quiet harbour lantern")
    hashers = passwords._hashers
    assert hashers is not None
    (process,) = hashers._running
    hashers._running[process] = time.monotonic() + WAIT_MAX_S + 3.0
    with pytest.raises(Overloaded) as refused:
        await passwords.matches("quiet harbour lantern", stored)
    assert 2.0 < refused.value.retry_after_s <= 3.0
    # A rest that ends while a call may wait for it is waited for.
    hashers._running[process] = time.monotonic() + WAIT_MAX_S - 1.0
    assert await passwords.matches("quiet harbour lantern", stored)
    passwords.close()


async def test_hashes_and_the_rests_between_them_are_what_jobs_take() -> None:
    passwords = Passwords(pepper="pepper", cost=4, workers=1)
    for _ in range(10):
        await passwords._run(time.sleep, 0.02)
    assert 0.02 <= passwords._each_s < 1.0
    # How long a password is looked at before it is hashed says nothing about that.
    hashes_s = passwords._each_s
    await passwords.refuse_weak("quiet harbour lantern", ["venue"])
    assert passwords._each_s == hashes_s
    passwords.close()


async def test_a_call_that_was_given_up_leaves_its_place() -> None:
    passwords = Passwords(pepper="pepper", cost=4, workers=1, queue_max=1)
    gate = threading.Event()
    running = asyncio.create_task(passwords._run(gate.wait))
    queued = asyncio.create_task(passwords.hash("quiet harbour lantern"))
    await asyncio.sleep(0)
    queued.cancel()
    await asyncio.gather(queued, return_exceptions=True)
    gate.set()
    await running
    assert len(await asyncio.gather(*(passwords.hash("quiet harbour lantern") for _ in range(2)))) == 2
    passwords.close()


@pytest.mark.parametrize(
    "password",
    ["password", "12345678", "aaaaaaaaaaaaaaaaaaaaaaaa", "qwertyuiop", "iloveyou1", "venuevenue", "ada.lovelace@example.com",
     "lovelace"],
)  # fmt: skip
async def test_guessable_passwords_are_refused(passwords: Passwords, password: str) -> None:
    context = ["venue", "ada.lovelace@example.com", "ada.lovelace", "example.com", "Ada Lovelace", "Ada", "Lovelace"]
    with pytest.raises(PasswordTooWeak) as refused:
        await passwords.refuse_weak(password, context)
    assert [violation.field for violation in refused.value.violations] == ["password"]


@pytest.mark.parametrize(
    "password", ["k7#Vq2!z", "quiet harbour lantern", "ljubljana-ostrich-91", "鳥籠の中の静かな海"]
)
async def test_good_passwords_need_no_kinds_of_characters(passwords: Passwords, password: str) -> None:
    await passwords.refuse_weak(password, ["venue", "ada@example.com"])


def test_an_estimate_is_quick_for_a_password_made_to_be_slow() -> None:
    began = time.thread_time()
    score("4@8({[<369&#!1/|0$5+7%2" * 44, ["venue"])
    assert time.thread_time() - began < 1.0
