"""S04: whether an address is known cannot be told from an answer, nor from the time it takes.

Before an answer goes out the same is done in every case: as many hashes of the same cost, the same statements in the same order.
The long form (`--long`) measures it too: medians over 200 calls each differ by less than 5 %. A machine with other work to do is
unfair to one side in one round, a leak in all.
"""

import itertools
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from db.guesses import Rule
from servers.auth.attempts import Attempts, Rules
from tests.integration.auth.conftest import PASSWORD, Auth, Open
from venue.auth.v1 import auth_pb2

CALLS = 200
ROUNDS = 4
DIFFERENCE_MAX = 0.05
LOOSE = Rule(limits=(), kept_s=60.0)
NUMBERS = itertools.count()
Kinds = dict[str, Callable[[], Awaitable[object]]]


@contextmanager
def work(auth: Auth, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is done meanwhile: the text of each statement, and the name of each job of the hashing pool."""
    done: list[str] = []
    run = auth.passwords._run

    def note_statement(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        done.append(statement)

    async def note_job(deed: Callable[..., Any], *arguments: object) -> Any:
        done.append(deed.__name__)
        return await run(deed, *arguments)

    event.listen(auth.engine.sync_engine, "before_cursor_execute", note_statement)
    with monkeypatch.context() as patched:
        patched.setattr(auth.passwords, "_run", note_job)
        yield done
    event.remove(auth.engine.sync_engine, "before_cursor_execute", note_statement)


async def differ(kinds: Kinds) -> float:
    """How far the medians of the kinds lie apart, as a share of the smallest."""
    took: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(CALLS):
        for kind, call in kinds.items():
            begun = time.perf_counter()
            await call()
            took[kind].append(time.perf_counter() - begun)
    medians = [statistics.median(times) for times in took.values()]
    return (max(medians) - min(medians)) / min(medians)


async def once_below(kinds: Kinds) -> None:
    differences = []
    for _ in range(ROUNDS):
        differences.append(await differ(kinds))
        if differences[-1] < DIFFERENCE_MAX:
            return
    pytest.fail(f"medians differ by {differences}")


async def patient(open_auth: Open, cost: int) -> Auth:
    """A server that slows nobody down, with a verified user, a frozen one, and one whose address is not verified."""
    loose = Attempts(None, secret="secret", rules=Rules(LOOSE, LOOSE, LOOSE))
    auth = await open_auth(cost=cost, attempts=loose, login_requires_verified=True)
    await auth.register("unverified@example.com")
    for email in ("known@example.com", "frozen@example.com"):
        await auth.register(email)
        await auth.verify(auth.mailed_token())
    await auth.rows("UPDATE users SET status = 'FROZEN' WHERE email = 'frozen@example.com'")
    return auth


def logins(auth: Auth) -> Kinds:
    def login(email: str, password: str) -> Callable[[], Awaitable[object]]:
        return lambda: auth.refused(auth.login(email, password))

    return {
        "unknown": login("nobody@example.com", "wrong"),
        "wrong": login("known@example.com", "wrong"),
        "frozen": login("frozen@example.com", PASSWORD),
        "unverified": login("unverified@example.com", PASSWORD),
    }


def registrations(auth: Auth) -> Kinds:
    def register(email: Callable[[], str]) -> Callable[[], Awaitable[object]]:
        return lambda: auth.stub.Register(auth_pb2.RegisterRequest(email=email(), password=PASSWORD))

    return {
        "known": register(lambda: "known@example.com"),
        "new": register(lambda: f"user-{next(NUMBERS)}@example.com"),
    }


def resets(auth: Auth) -> Kinds:
    def ask(email: str) -> Callable[[], Awaitable[object]]:
        async def asked() -> None:
            await auth.stub.RequestPasswordReset(auth_pb2.RequestPasswordResetRequest(email=email))
            # Or more would wait than may; written by another task than the one that answers.
            await auth.rows("DELETE FROM outgoing")

        return asked

    return {"known": ask("known@example.com"), "unknown": ask("nobody@example.com")}


@pytest.mark.parametrize("kinds_of", [logins, registrations])
async def test_s04_the_same_is_done_whether_an_address_is_known_or_not(
    open_auth: Open, monkeypatch: pytest.MonkeyPatch, kinds_of: Callable[[Auth], Kinds]
) -> None:
    auth = await patient(open_auth, 4)
    seen: dict[str, list[str]] = {}
    for kind, call in kinds_of(auth).items():
        await call()  # what only the first call does is done by then
        await auth.deliver()
        with work(auth, monkeypatch) as done:
            await call()
            seen[kind] = list(done)
        await auth.deliver()
    assert len({tuple(done) for done in seen.values()}) == 1, seen
    assert [done.count("checkpw") + done.count("hashpw") for done in seen.values()] == [1] * len(seen)


@pytest.mark.parametrize(("kinds_of", "cost"), [(logins, 8), (registrations, 8), (resets, 4)])
async def test_s04_medians_of_200_calls_differ_by_less_than_a_twentieth(
    open_auth: Open, request: pytest.FixtureRequest, kinds_of: Callable[[Auth], Kinds], cost: int
) -> None:
    if not request.config.getoption("--long"):
        pytest.skip("measured in the long form")
    await once_below(kinds_of(await patient(open_auth, cost)))


async def test_s04_a_letter_is_asked_for_by_one_statement_before_the_address_is_looked_up(
    open_auth: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    auth = await patient(open_auth, 4)

    async def ask(email: str) -> bytes:
        request = auth_pb2.RequestPasswordResetRequest(email=email)
        return (await auth.stub.RequestPasswordReset(request)).SerializeToString()

    answers, seen = set(), set()
    for email in [*(f"{name}@example.com" for name in ("known", "frozen", "nobody")), "no address", "nul\0"]:
        with work(auth, monkeypatch) as done:
            answers.add(await ask(email))
            seen.add(tuple(done))
    ((statement,),) = seen
    assert (statement.split()[:3], "users" in statement, len(answers)) == (["INSERT", "INTO", "outgoing"], False, 1)
    await auth.deliver()
    assert [(to, subject) for to, subject, _ in auth.mails()][3:] == [("known@example.com", "Set a new password")]
    assert await auth.rows("SELECT message_id FROM outgoing") == []


async def test_s04_a_slowed_guess_does_the_same_whether_the_address_is_known_or_not(
    open_auth: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Rule(limits=((1, 60.0),), kept_s=60.0)
    auth = await open_auth(attempts=Attempts(None, secret="secret", rules=Rules(one, LOOSE, LOOSE)))
    await auth.register("known@example.com")
    seen: dict[tuple[object, ...], int] = {}
    for email in ("known@example.com", "nobody@example.com"):
        await auth.refused(auth.login(email, "wrong"))
        for turn in range(2):
            with work(auth, monkeypatch) as done:
                assert (await auth.refused(auth.login(email, "wrong")))[1] == "RATE_LIMITED"
            seen[turn, *done] = seen.get((turn, *done), 0) + 1
    assert list(seen.values()) == [2, 2]
    await auth.deliver()
    assert [subject for _, subject, _ in auth.mails()][1:] == ["Somebody guesses at your password"]


async def test_what_was_asked_for_is_bounded(open_auth: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    auth = await open_auth()
    monkeypatch.setattr("servers.auth.desk.WAITING_MAX", 2)

    async def ask() -> None:
        await auth.stub.RequestPasswordReset(auth_pb2.RequestPasswordResetRequest(email="nobody@example.com"))

    for _ in range(2):
        await ask()
    assert await auth.refused(ask()) == ("RESOURCE_EXHAUSTED", "OVERLOADED")
    await auth.deliver()
    await ask()
