"""Sessions: rotating refresh tokens, reuse, log-out, and what each kind of token is good for (AUT-2, AUT-4, S09 to S13)."""

import asyncio
import time
from datetime import timedelta

import jwt
import pytest

from db import revocations, user_sessions
from db.revocations import Revocations
from db.session import ENGINE, engine, open_pool
from servers.auth.keys import add_key
from servers.auth.refresh import GRACE_S
from servers.config import BadSettingsError, Settings
from servers.domain.errors import PartUnavailable
from servers.transport.identity import LIFE_S_MAX
from servers.wiring.api import forget_daily
from servers.wiring.parts import revocations_kept
from tests.integration.auth.conftest import PASSWORD, Auth, Open, bearer
from tests.integration.auth.test_api_keys import until_refused
from venue.auth.v1 import auth_pb2
from venue.option.v1 import access_pb2

SPENT = ("UNAUTHENTICATED", "REFRESH_TOKEN_INVALID")
NOBODY = ("UNAUTHENTICATED", "UNAUTHENTICATED")


async def login(auth: Auth, email: str = "ada@example.com") -> auth_pb2.LoginResponse:
    if not await auth.rows("SELECT 1 FROM users WHERE email = %s", email):
        await auth.register(email)
    return await auth.login(email)


async def age(auth: Auth, seconds: float) -> None:
    """Let every use of a refresh token lie longer ago."""
    await auth.rows("UPDATE refresh_tokens SET use_time = use_time - make_interval(secs => %s)", seconds)


async def test_an_access_token_says_who_and_for_how_long(auth: Auth) -> None:
    answer = await login(auth)
    key = auth.keys.current()
    claims = jwt.decode(answer.access_token, jwt.PyJWK(key.jwk()), ["EdDSA"], audience="venue-api", issuer="venue")
    now = claims["iat"]
    assert abs(now - time.time()) < 60
    assert jwt.get_unverified_header(answer.access_token) == {"alg": "EdDSA", "kid": key.kid, "typ": "at+jwt"}
    assert claims == {
        "iss": "venue",
        "aud": "venue-api",
        "sub": answer.user.user_id,
        "sid": claims["sid"],
        "role": "user",
        "scope": "read trade withdraw account",
        "email": "ada@example.com",
        "email_verified": False,
        "ver": 0,
        "auth_time": now,
        "amr": ["pwd"],
        "iat": now,
        "nbf": now,
        "exp": now + 900,
        "jti": claims["jti"],
    }
    assert (answer.token_type, answer.expires_in) == ("Bearer", 900)


async def test_who_am_i_says_what_the_token_is_good_for(auth: Auth) -> None:
    answer = await login(auth)
    me = await auth.who_am_i(answer.access_token)
    assert me.user == answer.user
    assert list(me.scopes) == [
        access_pb2.SCOPE_READ,
        access_pb2.SCOPE_TRADE,
        access_pb2.SCOPE_WITHDRAW,
        access_pb2.SCOPE_ACCOUNT,
    ]
    assert me.session_id.startswith("ses-")
    assert 0 < me.expire_time.seconds - time.time() <= 900


async def test_an_administrator_may_administer(auth: Auth) -> None:
    await auth.register("ada@example.com")
    await auth.rows("UPDATE users SET role = 'ADMIN'")
    me = await auth.who_am_i((await auth.login("ada@example.com")).access_token)
    assert (me.user.role, access_pb2.SCOPE_ADMIN in me.scopes) == (access_pb2.ROLE_ADMIN, False)


async def test_s12_a_refresh_token_is_good_for_one_use_and_its_successor_for_the_next(auth: Auth) -> None:
    token = (await login(auth)).refresh_token
    seen = {token}
    for _ in range(5):
        answer = await auth.refresh(token)
        await auth.who_am_i(answer.access_token)
        token = answer.refresh_token
        seen.add(token)
    assert len(seen) == 6
    assert min(len(token) for token in seen) >= 43


async def test_s12_ten_refreshes_at_once_are_one_rotation(auth: Auth) -> None:
    token = (await login(auth)).refresh_token
    answers = await asyncio.gather(*(auth.refresh(token) for _ in range(10)))
    assert len({answer.refresh_token for answer in answers}) == 1
    assert await auth.rows("SELECT count(*), count(use_time) FROM refresh_tokens") == [(2, 1)]
    await auth.refresh(answers[0].refresh_token)


async def test_s12_two_servers_rotate_once_between_them(open_auth: Open) -> None:
    one, other = await open_auth(), await open_auth()
    token = (await login(one)).refresh_token
    answers = await asyncio.gather(*(server.refresh(token) for server in [one, other] * 5))
    assert len({answer.refresh_token for answer in answers}) == 1


async def test_s12_a_lost_answer_is_given_again_within_the_grace(auth: Auth) -> None:
    token = (await login(auth)).refresh_token
    first = await auth.refresh(token)
    assert GRACE_S <= 10
    # Not close to the end: time goes on meanwhile.
    await age(auth, GRACE_S / 2)
    assert (await auth.refresh(token)).refresh_token == first.refresh_token


async def test_s12_reuse_after_the_grace_ends_the_family(auth: Auth) -> None:
    stolen = (await login(auth)).refresh_token
    other = await auth.login("ada@example.com")
    answer = await auth.refresh(stolen)
    await age(auth, GRACE_S + 0.5)
    assert await auth.refused(auth.refresh(stolen)) == SPENT
    assert await auth.refused(auth.refresh(answer.refresh_token)) == SPENT
    await auth.verifier.fetch_revoked()
    assert await auth.refused(auth.who_am_i(answer.access_token)) == NOBODY
    await auth.who_am_i((await auth.refresh(other.refresh_token)).access_token)
    assert await auth.rows("SELECT revoke_reason FROM sessions WHERE revoke_time IS NOT NULL") == [
        ("REFRESH_TOKEN_REUSED",)
    ]


async def test_s12_a_session_ends_absolutely(auth: Auth) -> None:
    token = (await login(auth)).refresh_token
    ((life,),) = await auth.rows("SELECT expire_time - create_time FROM sessions")
    assert abs(life - timedelta(days=30)) < timedelta(seconds=1)
    await auth.rows("UPDATE sessions SET expire_time = now() + '60 s'")
    answer = await auth.refresh(token)
    assert answer.expires_in <= 60
    await auth.rows("UPDATE sessions SET expire_time = now()")
    assert await auth.refused(auth.refresh(answer.refresh_token)) == SPENT


async def test_s13_a_frozen_user_cannot_refresh(auth: Auth) -> None:
    token = (await login(auth)).refresh_token
    await auth.rows("UPDATE users SET status = 'FROZEN'")
    assert await auth.refused(auth.refresh(token)) == SPENT


async def test_s13_logging_out_ends_the_session_everywhere_within_5_s(open_auth: Open) -> None:
    auth, elsewhere = await open_auth(), await open_auth()
    answer = await login(auth)
    kept = await auth.login("ada@example.com")
    await elsewhere.who_am_i(answer.access_token)
    await auth.stub.Logout(auth_pb2.LogoutRequest(), metadata=bearer(answer.access_token))
    assert await auth.refused(auth.refresh(answer.refresh_token)) == SPENT
    assert await until_refused(elsewhere, lambda: elsewhere.who_am_i(answer.access_token)) == NOBODY
    await elsewhere.who_am_i(kept.access_token)


async def test_s13_every_role_may_ask_for_ended_sessions_and_they_are_forgotten_in_time(auth: Auth) -> None:
    answer = await login(auth)
    session_id = (await auth.who_am_i(answer.access_token)).session_id
    pool = await open_pool(auth.database_url, application_name="order", role=ENGINE)
    within = revocations_kept(Settings(access_ttl_s=900))
    assert await revocations.revocations(pool, within) == Revocations()
    await auth.stub.Logout(auth_pb2.LogoutRequest(), metadata=bearer(answer.access_token))
    assert await revocations.revocations(pool, within) == Revocations(frozenset({session_id}))
    await auth.rows("UPDATE sessions SET revoke_time = revoke_time - %s", within - timedelta(seconds=30))
    assert await revocations.revocations(pool, within) == Revocations(frozenset({session_id}))
    await auth.rows("UPDATE sessions SET revoke_time = revoke_time - interval '31 s'")
    assert await revocations.revocations(pool, within) == Revocations()
    await pool.close()
    with pytest.raises(PartUnavailable):
        await revocations.revocations(pool, within)


@pytest.mark.parametrize("life_s", ["59", "901", "86400"])
def test_s13_an_access_token_lives_fifteen_minutes_at_most(monkeypatch: pytest.MonkeyPatch, life_s: str) -> None:
    assert Settings.load().access_ttl_s == LIFE_S_MAX == 900
    monkeypatch.setenv("VENUE_ACCESS_TTL_S", life_s)
    with pytest.raises(BadSettingsError, match="VENUE_ACCESS_TTL_S"):
        Settings.load()


async def test_s09_no_token_passes_as_another_kind(auth: Auth) -> None:
    answer = await login(auth)
    mailed = auth.mailed_token()
    for token in (
        answer.access_token[:256],
        mailed,
        "vrt_",
        answer.refresh_token + "A",
        answer.refresh_token.upper(),
        "\0",
    ):
        assert await auth.refused(auth.refresh(token)) == SPENT
    for token in (answer.refresh_token, mailed):
        assert await auth.refused(auth.who_am_i(token)) == NOBODY
    for token in (answer.refresh_token, answer.access_token[:256]):
        assert await auth.refused(auth.verify(token)) == ("INVALID_ARGUMENT", "VERIFICATION_TOKEN_INVALID")
    await auth.verify(mailed)


async def test_aut4_sessions_are_listed_with_device_and_address_and_revoked_one_by_one(auth: Auth) -> None:
    await auth.register("ada@example.com")
    login = auth_pb2.LoginRequest(email="ada@example.com", password=PASSWORD)
    places = ("198.51.100.7", "2001:db8::7")
    given = [await auth.stub.Login(login, metadata=(("x-forwarded-for", place),)) for place in places]
    own = given[0].access_token
    listed = (await auth.stub.ListSessions(auth_pb2.ListSessionsRequest(), metadata=bearer(own))).sessions
    assert [(each.address, each.current) for each in listed] == [("2001:db8::7", False), ("198.51.100.7", True)]
    assert all(each.user_agent.startswith("grpc-python") for each in listed)
    revoke = auth_pb2.RevokeSessionRequest(session_id=listed[0].session_id)
    # Nobody else's, whoever asks.
    await auth.register("eve@example.com")
    eve = (await auth.login("eve@example.com")).access_token
    assert await auth.refused(auth.stub.RevokeSession(revoke, metadata=bearer(eve))) == (
        "NOT_FOUND",
        "SESSION_NOT_FOUND",
    )
    await auth.who_am_i(given[1].access_token)
    await auth.stub.RevokeSession(revoke, metadata=bearer(own))
    await auth.verifier.fetch_revoked()
    assert await auth.refused(auth.who_am_i(given[1].access_token)) == NOBODY
    assert await auth.refused(auth.refresh(given[1].refresh_token)) == SPENT
    await auth.who_am_i(own)
    assert len((await auth.stub.ListSessions(auth_pb2.ListSessionsRequest(), metadata=bearer(own))).sessions) == 1
    # What is remembered of a session is remembered for as long as its token lives, fifteen minutes at most.
    known = auth.verifier.remembered(own)
    assert known is not None
    assert known.expires - time.time() <= LIFE_S_MAX


async def test_the_key_set_has_what_a_gateway_needs(auth: Auth) -> None:
    answer = await auth.stub.GetJwks(auth_pb2.GetJwksRequest())
    key = auth.keys.current()
    assert answer == auth_pb2.GetJwksResponse(
        keys=[auth_pb2.Jwk(kty="OKP", crv="Ed25519", x=key.x, kid=key.kid, alg="EdDSA", use="sig")]
    )


async def test_s11_tokens_of_the_old_key_live_on_after_a_rotation(auth: Auth) -> None:
    before = await login(auth)
    add_key(auth.keys._folder, created=int(time.time()) - 121)
    auth.keys._read_at = 0.0
    after = await auth.login("ada@example.com")
    kids = [jwt.get_unverified_header(answer.access_token)["kid"] for answer in (before, after)]
    assert kids[0] != kids[1]
    await auth.verifier.fetch_keys()
    for answer in (before, after):
        await auth.who_am_i(answer.access_token)


async def test_what_ended_long_ago_is_forgotten(auth: Auth) -> None:
    await login(auth)
    await auth.login("ada@example.com")
    await auth.rows("UPDATE verification_tokens SET expire_time = now() - interval '25 h'")
    await auth.rows(
        "UPDATE sessions SET expire_time = now() - interval '25 h' WHERE session_id = (SELECT max(session_id) FROM sessions)"
    )
    await user_sessions.forget_expired(auth.engine)
    counts = [
        await auth.rows(f"SELECT count(*) FROM {t}") for t in ("sessions", "refresh_tokens", "verification_tokens")
    ]
    assert counts == [[(1,)], [(1,)], [(0,)]]


async def test_what_expired_is_deleted_again_and_again_whether_the_database_was_away_or_not(auth: Auth) -> None:
    away = engine("postgresql://nobody@127.0.0.1:1/nothing", application_name="auth")
    tasks = [
        asyncio.create_task(forget_daily(tables, first_s=0.0, every_s=0.05, retry_s=0.05))
        for tables in (away, auth.engine)
    ]
    for _ in range(2):
        await auth.register("ada@example.com")
        await auth.rows("UPDATE verification_tokens SET expire_time = now() - interval '25 h'")
        for _ in range(100):
            if not await auth.rows("SELECT 1 FROM verification_tokens"):
                break
            await asyncio.sleep(0.1)
        assert await auth.rows("SELECT 1 FROM verification_tokens") == []
    assert not [task for task in tasks if task.done()]
    for task in tasks:
        task.cancel()
    await away.dispose()


async def test_a_deleted_user_is_nobody(auth: Auth) -> None:
    answer = await login(auth)
    await auth.rows("TRUNCATE users CASCADE")
    assert await auth.refused(auth.who_am_i(answer.access_token)) == NOBODY
