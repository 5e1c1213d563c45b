"""S05, AUT-9: guesses are counted by account, by address and by both, by every server together, also where Redis is away; the
owner gets in all the while: from where he was before, with the second factor, or with a token out of his mail.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator

import grpc
import pyotp
import pytest
import redis as blocking_redis

from db.counters import open_counters
from db.guesses import Guesses, GuessesAway, Rule
from servers.auth.attempts import Attempts, Rules
from servers.transport.errors import from_call
from servers.transport.refusals import RateLimited
from tests.integration.auth.conftest import PASSWORD, Auth, Open, bearer
from tests.servers import free_port
from venue.auth.v1 import auth_pb2

EMAIL = "ada@example.com"
WRONG, SLOWED = "CREDENTIALS_INVALID", "RATE_LIMITED"


async def guess(auth: Auth, address: str, password: str = "wrong", *, email: str = EMAIL, code: str = "") -> str:
    """The reason of the refusal, or OK."""
    request = auth_pb2.LoginRequest(email=email, password=password, totp_code=code)
    try:
        await auth.stub.Login(request, metadata=(("x-forwarded-for", address),))
    except grpc.aio.AioRpcError as error:
        return from_call(error).reason
    return "OK"


@pytest.fixture
async def guesses(redis_url: str) -> AsyncIterator[Guesses]:
    # Servers on a busy machine would count by themselves for a while.
    client = open_counters(redis_url, 20.0)
    yield Guesses(client)
    await client.aclose()


async def test_s05_of_guesses_from_a_hundred_addresses_ten_are_looked_at_and_the_owner_gets_in(
    open_auth: Open, guesses: Guesses, request: pytest.FixtureRequest
) -> None:
    # Two servers, as behind a balancer.
    one, other = [await open_auth(attempts=Attempts(guesses, secret="secret")) for _ in range(2)]
    await one.register(EMAIL)
    home = "198.51.100.7"
    right = auth_pb2.LoginRequest(email=EMAIL, password=PASSWORD)
    login = await one.stub.Login(right, metadata=(("x-forwarded-for", home),))
    begun = time.monotonic()
    said: Counter[str] = Counter()
    turns = 10 if request.config.getoption("--long") else 3
    for turn in range(turns):
        addresses = [f"203.0.113.{number}" for number in range(100)]
        servers = [(one, other)[number % 2] for number in range(100)]
        said.update(await asyncio.gather(*map(guess, servers, addresses, [f"guess {turn}"] * 100)))
        # The owner, in the middle of it, from where he was before.
        assert await guess(one, home, PASSWORD) == "OK"
    assert set(said) == {WRONG, SLOWED}
    assert said[WRONG] <= 10 * (1 + (time.monotonic() - begun) // 60)
    assert said.total() == 100 * turns

    # From anywhere else the owner waits like everybody, and the mail says how he need not.
    elsewhere = "198.51.100.99"
    assert await guess(one, elsewhere, PASSWORD) == SLOWED
    await one.deliver()
    alarms = [text for _, subject, text in one.mails() if subject == "Somebody guesses at your password"]
    assert len(alarms) == 1
    await one.stub.UnlockLogin(
        auth_pb2.UnlockLoginRequest(token=one.mailed_token()), metadata=(("x-forwarded-for", elsewhere),)
    )
    assert await guess(other, elsewhere, PASSWORD) == "OK"

    # With a second factor he does not even need the mail.
    fresh = await one.stub.StepUp(auth_pb2.StepUpRequest(password=PASSWORD), metadata=bearer(login.access_token))
    begun_factor = await one.stub.EnrollTotp(auth_pb2.EnrollTotpRequest(), metadata=bearer(fresh.access_token))
    clock = pyotp.TOTP(begun_factor.secret)
    await one.stub.ConfirmTotp(auth_pb2.ConfirmTotpRequest(code=clock.now()), metadata=bearer(fresh.access_token))
    await one.rows("UPDATE totp_factors SET last_step = 0")
    code = clock.now()
    assert await guess(one, "192.0.2.55", PASSWORD, code=code) == "OK"
    # A code that was used is none.
    assert await guess(one, "192.0.2.56", PASSWORD, code=code) == SLOWED
    assert await guess(one, "192.0.2.57", PASSWORD, code="000000") == SLOWED


async def test_s05_an_address_that_tries_many_accounts_is_slowed(open_auth: Open, guesses: Guesses) -> None:
    rules = Rules(address=Rule(limits=((5, 60.0),), kept_s=60.0))
    auth = await open_auth(attempts=Attempts(guesses, secret="secret", rules=rules))
    said = [await guess(auth, "203.0.113.9", email=f"user-{number}@example.com") for number in range(7)]
    assert said == [WRONG] * 5 + [SLOWED] * 2
    assert await guess(auth, "203.0.113.10", email="user-9@example.com") == WRONG


async def test_s05_where_redis_is_away_each_server_counts_by_itself(open_auth: Open) -> None:
    nobody = open_counters(f"redis://127.0.0.1:{free_port()}", 0.25)
    auth = await open_auth(attempts=Attempts(Guesses(nobody), secret="secret"))
    await auth.register(EMAIL)
    said = Counter([await guess(auth, f"203.0.113.{number}") for number in range(30)])
    assert said == {WRONG: 10, SLOWED: 20}
    await nobody.aclose()


async def test_s05_what_redis_forgets_the_server_remembers(open_auth: Open, guesses: Guesses, redis_url: str) -> None:
    auth = await open_auth(attempts=Attempts(guesses, secret="secret"))
    for number in range(10):
        assert await guess(auth, f"203.0.113.{number}") == WRONG
    with blocking_redis.Redis.from_url(redis_url) as client:
        client.flushall()
    assert await guess(auth, "203.0.113.50") == SLOWED


async def test_s05_no_address_of_mail_stands_in_redis(open_auth: Open, guesses: Guesses, redis_url: str) -> None:
    auth = await open_auth(attempts=Attempts(guesses, secret="secret"))
    await guess(auth, "203.0.113.1")
    with blocking_redis.Redis.from_url(redis_url) as client:
        keys = [key.decode() for key in client.keys("venue:{guesses}:*")]
    assert len(keys) == 3
    assert not [key for key in keys if "ada" in key or "203.0" in key]


LIMITED = Rule(limits=((3, 30.0), (5, 3600.0)), kept_s=3600.0)


async def test_the_windows_in_redis_are_those_of_the_process(guesses: Guesses) -> None:
    for number in range(3):
        assert await guesses.begin(["a"], [LIMITED], f"try {number}") == 0.0
    wait = await guesses.begin(["a"], [LIMITED], "try 4")
    assert 0 < wait <= 30
    # Taken by all keys or by none.
    assert await guesses.begin(["b", "a"], [LIMITED, LIMITED], "try 5") > 0
    for number in range(3):
        assert await guesses.begin(["b"], [LIMITED], f"try {number}") == 0.0
    await guesses.take_back(["b"], "try 1")
    assert await guesses.begin(["b"], [LIMITED], "try 6") == 0.0
    await guesses.forget("b")
    assert await guesses.begin(["b"], [LIMITED], "try 7") == 0.0


async def test_s05_tries_that_come_at_once_are_counted_by_all_servers_together(guesses: Guesses) -> None:
    """More of them than there are connections to Redis."""
    free = Rule(limits=((50, 3600.0),), kept_s=3600.0)
    rules = Rules(account=free, address=free, pair=free)
    servers = [Attempts(guesses, secret="secret", rules=rules) for _ in range(2)]
    begun = [servers[number % 2].begin(EMAIL, f"203.0.113.{number}", known=False) for number in range(120)]
    outcomes = await asyncio.gather(*begun, return_exceptions=True)
    assert Counter(type(each).__name__ for each in outcomes) == {"Attempt": 50, "RateLimited": 70}


async def test_a_window_in_redis_slides_and_pauses_grow(guesses: Guesses) -> None:
    short = Rule(limits=((1, 0.2),), kept_s=0.2)
    assert await guesses.begin(["c"], [short], "one") == 0.0
    while (wait := await guesses.begin(["c"], [short], "two")) > 0:
        assert wait <= 0.2
        await asyncio.sleep(wait)
    growing = Rule(limits=(), kept_s=900.0, free=2, first_wait_s=100.0, last_wait_s=350.0)
    for number in range(2):
        assert await guesses.begin(["d"], [growing], f"try {number}") == 0.0
    assert 90 < await guesses.begin(["d"], [growing], "try 2") <= 100
    looser = Rule(limits=(), kept_s=900.0, free=1, first_wait_s=100.0, last_wait_s=350.0)
    assert 190 < await guesses.begin(["d"], [looser], "try 2") <= 200
    loosest = Rule(limits=(), kept_s=900.0, free=0, first_wait_s=100.0, last_wait_s=350.0)
    assert 340 < await guesses.begin(["d"], [loosest], "try 2") <= 350


async def test_who_helps_an_owner_lets_him_try_again_on_every_server(guesses: Guesses) -> None:
    one, other = Attempts(guesses, secret="secret"), Attempts(guesses, secret="secret")
    for number in range(10):
        await one.begin(EMAIL, f"203.0.113.{number}", known=False)
    with pytest.raises(RateLimited):
        await other.begin(EMAIL, "203.0.113.50", known=False)
    await one.clear(EMAIL)
    await other.begin(EMAIL, "203.0.113.50", known=False)


async def test_helping_is_refused_where_redis_is_away() -> None:
    nobody = open_counters(f"redis://127.0.0.1:{free_port()}", 0.25)
    with pytest.raises(GuessesAway):
        await Attempts(Guesses(nobody), secret="secret").clear(EMAIL)
    await nobody.aclose()
