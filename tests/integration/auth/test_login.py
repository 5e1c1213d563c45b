"""Log-in: one answer for everything that is wrong, and the status of the account is part of it (AUT-1, AUT-9)."""

import asyncio
import threading
from itertools import islice

import grpc
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from db import user_sessions, users
from db.session import engine, sqlalchemy_url
from servers.domain.errors import PartUnavailable
from tests.integration.auth.conftest import PASSWORD, Auth, Open
from venue.auth.v1 import auth_pb2

WRONG = ("UNAUTHENTICATED", "CREDENTIALS_INVALID")


async def answer(auth: Auth, email: str, password: str) -> tuple[object, ...]:
    """All that a client sees of a refusal, without the id of the request, and what is left to its address."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await auth.stub.Login(
            auth_pb2.LoginRequest(email=email, password=password), metadata=(("x-request-id", "same"),)
        )
    trailing = [
        (key, value) for key, value in failed.value.trailing_metadata() or () if not key.startswith("ratelimit-")
    ]
    return failed.value.code(), failed.value.details(), tuple(trailing)


async def test_s04_unknown_wrong_frozen_and_unverified_look_the_same(open_auth: Open) -> None:
    auth = await open_auth(login_requires_verified=True)
    for email in ("known@example.com", "frozen@example.com"):
        await auth.register(email)
        await auth.verify(auth.mailed_token())
    await auth.register("unverified@example.com")
    await auth.rows("UPDATE users SET status = 'FROZEN' WHERE email = 'frozen@example.com'")
    answers = {
        await answer(auth, "known@example.com", "wrong"),
        await answer(auth, "unknown@example.com", PASSWORD),
        await answer(auth, "frozen@example.com", PASSWORD),
        await answer(auth, "unverified@example.com", PASSWORD),
        await answer(auth, "not an address", PASSWORD),
        await answer(auth, "nul\0@example.com", PASSWORD),
        await answer(auth, "' OR 1=1 --", PASSWORD),
    }
    assert len(answers) == 1
    assert (await auth.login("known@example.com")).user.email == "known@example.com"


async def test_s02_two_passwords_of_100_bytes_that_differ_in_the_last_are_two(auth: Auth) -> None:
    password = "quiet harbour lantern " * 4 + "0123456789ab"
    assert len(password) == 100
    await auth.register("ada@example.com", password)
    assert await auth.refused(auth.login("ada@example.com", password[:-1] + "c")) == WRONG
    await auth.login("ada@example.com", password)


async def test_s02_a_password_of_10_kb_breaks_the_contract(auth: Auth) -> None:
    assert await auth.refused(auth.login("ada@example.com", "x" * 10_000)) == ("INVALID_ARGUMENT", "INVALID_FIELD")


async def test_s02_a_log_in_raises_the_cost_of_an_older_hash(open_auth: Open) -> None:
    cheap = await open_auth(cost=4)
    await cheap.register("ada@example.com")
    dear = await open_auth(cost=5)
    for cost in ("p1:$2b$04$", "p1:$2b$05$"):
        assert await cheap.rows("SELECT left(password_hash, 10) FROM users") == [(cost,)]
        await dear.login("ada@example.com")
    await cheap.login("ada@example.com")
    assert await cheap.rows("SELECT left(password_hash, 10) FROM users") == [("p1:$2b$05$",)]


async def test_s05_guessing_gets_slower_and_says_when_to_come_again(auth: Auth) -> None:
    await auth.register("ada@example.com")
    refusals = [await auth.refused(auth.login("ada@example.com", f"guess {n}")) for n in range(12)]
    assert refusals == [WRONG] * 10 + [("RESOURCE_EXHAUSTED", "RATE_LIMITED")] * 2
    assert await auth.refused(auth.login("nobody@example.com", "wrong")) == WRONG


async def test_s05_guessing_at_an_unknown_address_gets_slower_too(auth: Auth) -> None:
    refusals = [await auth.refused(auth.login("nobody@example.com", f"guess {n}")) for n in range(11)]
    assert refusals == [WRONG] * 10 + [("RESOURCE_EXHAUSTED", "RATE_LIMITED")]


async def test_s03_a_flood_is_shed_and_whoever_is_let_in_is_answered(open_auth: Open) -> None:
    auth = await open_auth(workers=1, queue_max=4)
    # The one worker is busy until all have asked.
    gate = threading.Event()
    busy = asyncio.create_task(auth.passwords._run(gate.wait))
    asking = [
        asyncio.create_task(auth.refused(auth.login(f"user-{number}@example.com", "wrong"))) for number in range(40)
    ]
    async with asyncio.timeout(60):
        shed = [await outcome for outcome in islice(asyncio.as_completed(asking), 36)]
        assert set(shed) == {("RESOURCE_EXHAUSTED", "OVERLOADED")}
        gate.set()
        await busy
        outcomes = await asyncio.gather(*asking)
    assert outcomes.count(WRONG) == 4
    assert await auth.refused(auth.login("user-1@example.com", "wrong")) == WRONG


async def test_a_database_that_is_away_is_unavailable() -> None:
    away = engine("postgresql://nobody@127.0.0.1:1/nothing", application_name="auth")
    try:
        with pytest.raises(PartUnavailable):
            await users.find_user_by_email(away, "ada@example.com")
        with pytest.raises(PartUnavailable):
            await user_sessions.forget_expired(away)
    finally:
        await away.dispose()


async def test_a_pool_without_a_free_connection_is_unavailable(database_url: str) -> None:
    busy = create_async_engine(sqlalchemy_url(database_url), pool_size=1, max_overflow=0, pool_timeout=0.1)
    try:
        async with busy.connect():
            with pytest.raises(PartUnavailable):
                await users.find_user_by_email(busy, "ada@example.com")
    finally:
        await busy.dispose()
