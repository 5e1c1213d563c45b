"""The second factor: enrolled, asked for, used once, guessed at, recovered from, removed (AUT-5, S06, S07, S08)."""

import asyncio
import time
from typing import Any

import grpc
import pyotp
import pytest
from google.rpc import error_details_pb2, status_pb2

from db import factors
from servers.transport.access import FRESH_S
from servers.transport.errors import DETAILS
from tests.integration.auth.conftest import PASSWORD, Auth, Open, bearer
from venue.auth.v1 import auth_pb2 as pb

EMAIL = "ada@example.com"
WRONG = ("UNAUTHENTICATED", "TOTP_INVALID")
MORE = ("UNAUTHENTICATED", "TOTP_REQUIRED")
STALE = ("PERMISSION_DENIED", "STEP_UP_REQUIRED")
NOBODY = ("UNAUTHENTICATED", "UNAUTHENTICATED")


def code_of(secret: str, steps: int = 0) -> str:
    return pyotp.TOTP(secret).at(int(time.time()) + 30 * steps)


async def forget_step(auth: Auth) -> None:
    """As if 30 s had passed since the last code."""
    await auth.rows("UPDATE totp_factors SET last_step = 0")


async def login(auth: Auth, code: str = "") -> pb.LoginResponse:
    return await auth.stub.Login(pb.LoginRequest(email=EMAIL, password=PASSWORD, totp_code=code))


async def step_up(auth: Auth, token: str, **by: str) -> pb.StepUpResponse:
    return await auth.stub.StepUp(pb.StepUpRequest(**by), metadata=bearer(token))


async def enroll(auth: Auth) -> tuple[str, pb.EnrollTotpResponse, str]:
    """A user with a second factor: the token that enrolled it, what was told, and the code that is used up by that."""
    await auth.register(EMAIL)
    token = (await login(auth)).access_token
    begun = await auth.stub.EnrollTotp(pb.EnrollTotpRequest(), metadata=bearer(token))
    code = code_of(begun.secret)
    await auth.stub.ConfirmTotp(pb.ConfirmTotpRequest(code=code), metadata=bearer(token))
    return token, begun, code


async def test_s08_a_factor_counts_once_a_code_was_seen(auth: Auth) -> None:
    await auth.register(EMAIL)
    token = (await login(auth)).access_token
    begun = await auth.stub.EnrollTotp(pb.EnrollTotpRequest(), metadata=bearer(token))
    assert len(begun.secret) == 32  # 160 bits
    assert pyotp.parse_uri(begun.otpauth_uri).secret == begun.secret
    assert begun.otpauth_uri.startswith("otpauth://totp/venue:ada%40example.com?")
    assert len(set(begun.recovery_codes)) == 10
    assert {len(code.replace("-", "")) for code in begun.recovery_codes} == {24}  # 120 bits
    await login(auth)
    again = await auth.stub.EnrollTotp(pb.EnrollTotpRequest(), metadata=bearer(token))
    confirm = auth.stub.ConfirmTotp
    assert (
        await auth.refused(confirm(pb.ConfirmTotpRequest(code=code_of(begun.secret)), metadata=bearer(token))) == WRONG
    )
    await confirm(pb.ConfirmTotpRequest(code=code_of(again.secret)), metadata=bearer(token))
    assert await auth.refused(login(auth)) == MORE
    assert await auth.refused(auth.stub.EnrollTotp(pb.EnrollTotpRequest(), metadata=bearer(token))) == (
        "FAILED_PRECONDITION",
        "SECOND_FACTOR_ENROLLED",
    )


async def test_a_code_is_asked_for_only_where_the_password_is_right(auth: Auth) -> None:
    _, begun, _ = await enroll(auth)
    await forget_step(auth)
    wrong = pb.LoginRequest(email=EMAIL, password="wrong", totp_code=code_of(begun.secret))
    assert await auth.refused(auth.stub.Login(wrong)) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")
    await login(auth, code_of(begun.secret))  # the wrong password has not used it up


async def test_s07_a_code_is_good_once(auth: Auth) -> None:
    token, begun, code = await enroll(auth)
    # The one that confirmed is used up, for a log-in and for a step-up.
    assert await auth.refused(login(auth, code)) == WRONG
    assert await auth.refused(step_up(auth, token, totp_code=code)) == WRONG
    await forget_step(auth)
    code = code_of(begun.secret)
    await login(auth, code)
    assert await auth.refused(login(auth, code)) == WRONG
    # Nor is an earlier one good any more.
    assert await auth.refused(login(auth, code_of(begun.secret, -1))) == WRONG


async def test_s07_of_two_submissions_at_once_one_wins(open_auth: Open) -> None:
    one, other = await open_auth(), await open_auth()
    _, begun, _ = await enroll(one)
    for _ in range(5):
        await one.rows("UPDATE totp_factors SET last_step = 0, failures = 0, blocked_until = NULL")
        code = code_of(begun.secret)
        tried = await asyncio.gather(login(one, code), login(other, code), return_exceptions=True)
        assert sorted(type(each).__name__ for each in tried) == ["AioRpcError", "LoginResponse"]


async def test_s08_codes_of_another_time_are_wrong(auth: Auth) -> None:
    _, begun, _ = await enroll(auth)
    await forget_step(auth)
    for steps in (-3, 2, 20):
        assert await auth.refused(login(auth, code_of(begun.secret, steps))) == WRONG
    while True:
        step, late = time.time() // 30, code_of(begun.secret, -1)
        try:
            await login(auth, late)
            break
        except grpc.aio.AioRpcError:
            assert step != time.time() // 30  # it had become too late meanwhile


async def test_s08_five_wrong_codes_make_the_next_wait_wherever_they_come_from(open_auth: Open) -> None:
    one, other = await open_auth(), await open_auth()
    _, begun, _ = await enroll(one)
    await forget_step(one)
    guesses = await asyncio.gather(
        *((one, other)[number % 2].refused(login((one, other)[number % 2], f"{number:06}")) for number in range(20))
    )
    assert sorted(guesses) == [("RESOURCE_EXHAUSTED", "RATE_LIMITED")] * 15 + [WRONG] * 5
    # The right code has to wait too, a recovery code does not: the owner is never shut out.
    assert await one.refused(login(one, code_of(begun.secret))) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
    await login(one, begun.recovery_codes[0])
    await one.rows("UPDATE totp_factors SET blocked_until = now()")
    assert await one.refused(login(one, "000000")) == WRONG
    ((wait_s,),) = await one.rows("SELECT extract(epoch FROM blocked_until - now())::float8 FROM totp_factors")
    assert factors.FIRST_WAIT_S < wait_s <= 2 * factors.FIRST_WAIT_S
    await one.rows("UPDATE totp_factors SET blocked_until = now()")
    await login(one, code_of(begun.secret))
    assert await one.rows("SELECT failures, blocked_until FROM totp_factors") == [(0, None)]


async def test_s08_recovery_codes_are_good_once_and_not_stored(auth: Auth) -> None:
    _, begun, _ = await enroll(auth)
    code = begun.recovery_codes[3]
    tried = await asyncio.gather(login(auth, code), login(auth, code.upper().replace("-", " ")), return_exceptions=True)
    assert sorted(type(each).__name__ for each in tried) == ["AioRpcError", "LoginResponse"]
    kept = str(await auth.rows("SELECT * FROM recovery_codes")) + str(await auth.rows("SELECT * FROM totp_factors"))
    assert [secret for secret in (*begun.recovery_codes, begun.secret) if secret in kept] == []


async def test_s08_the_secret_of_one_user_does_not_serve_another(auth: Auth) -> None:
    """An envelope that somebody who can write the table moved to his own row does not open."""
    await enroll(auth)
    await auth.register("eve@example.com")
    token = (await auth.login("eve@example.com")).access_token
    await auth.stub.EnrollTotp(pb.EnrollTotpRequest(), metadata=bearer(token))
    await auth.rows(
        "UPDATE totp_factors SET secret = (SELECT secret FROM totp_factors WHERE confirm_time IS NOT NULL)"
        " WHERE confirm_time IS NULL"
    )
    confirm = auth.stub.ConfirmTotp(pb.ConfirmTotpRequest(code="123456"), metadata=bearer(token))
    assert await auth.refused(confirm) == ("INTERNAL", "INTERNAL")


async def test_s06_a_changed_factor_ends_the_other_sessions_and_is_told_by_mail(auth: Auth) -> None:
    await auth.register(EMAIL)
    first = await login(auth)
    token, other = (await login(auth)).access_token, first.access_token
    begun = await auth.stub.EnrollTotp(pb.EnrollTotpRequest(), metadata=bearer(token))
    await auth.stub.ConfirmTotp(pb.ConfirmTotpRequest(code=code_of(begun.secret)), metadata=bearer(token))
    await auth.verifier.fetch_revoked()
    assert await auth.refused(auth.who_am_i(other)) == NOBODY
    assert (await auth.who_am_i(token)).second_factor
    await forget_step(auth)
    third = (await login(auth, code_of(begun.secret))).access_token
    await auth.stub.DisableTotp(pb.DisableTotpRequest(), metadata=bearer(token))
    await auth.verifier.fetch_revoked()
    assert await auth.refused(auth.who_am_i(third)) == NOBODY
    assert not (await auth.who_am_i(token)).second_factor
    await auth.deliver()
    assert [subject for _, subject, _ in auth.mails()][-2:] == [
        "A second factor was enrolled",
        "The second factor was removed",
    ]
    await login(auth)


async def grow_old(auth: Auth, token: str) -> str:
    """An access token of the session whose authentication lies too long ago."""
    await auth.rows("UPDATE sessions SET auth_time = auth_time - make_interval(secs => %s)", FRESH_S + 10)
    return (await auth.refresh(token)).access_token


async def test_s06_what_is_sensitive_demands_a_fresh_password_of_who_has_no_factor(auth: Auth) -> None:
    await auth.register(EMAIL)
    old = await grow_old(auth, (await login(auth)).refresh_token)
    enroll_call = auth.stub.EnrollTotp
    assert await auth.refused(enroll_call(pb.EnrollTotpRequest(), metadata=bearer(old))) == STALE
    wrong = step_up(auth, old, password="wrong")
    assert await auth.refused(wrong) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")
    no_factor = step_up(auth, old, totp_code="123456")
    assert await auth.refused(no_factor) == ("FAILED_PRECONDITION", "SECOND_FACTOR_MISSING")
    fresh = (await step_up(auth, old, password=PASSWORD)).access_token
    await enroll_call(pb.EnrollTotpRequest(), metadata=bearer(fresh))
    session_id = (await auth.who_am_i(fresh)).session_id
    tries = await auth.rows(
        "SELECT actor, object, credential, outcome FROM audit_entries WHERE action = 'STEP_UP' ORDER BY sequence"
    )
    user_id = (await auth.who_am_i(fresh)).user.user_id
    assert tries == [(user_id, f"session/{session_id}", session_id, each) for each in ("CREDENTIALS_INVALID", "OK")]
    # The old token is the old one still.
    assert await auth.refused(enroll_call(pb.EnrollTotpRequest(), metadata=bearer(old))) == STALE


async def test_s06_and_a_fresh_code_of_who_has_one(auth: Auth) -> None:
    _, begun, _ = await enroll(auth)
    await forget_step(auth)
    code = code_of(begun.secret)
    session = await login(auth, code)
    old = await grow_old(auth, session.refresh_token)
    disable = auth.stub.DisableTotp
    assert await auth.refused(disable(pb.DisableTotpRequest(), metadata=bearer(old))) == STALE
    assert await auth.refused(step_up(auth, old, password=PASSWORD)) == MORE
    assert await auth.refused(step_up(auth, old, totp_code=code)) == WRONG  # the log-in's
    fresh = (await step_up(auth, old, totp_code=begun.recovery_codes[0])).access_token
    # Every try is written down, the one that a password cannot win too.
    tries = await auth.rows("SELECT outcome FROM audit_entries WHERE action = 'STEP_UP' ORDER BY sequence")
    assert tries == [("TOTP_INVALID",), ("OK",)]
    me = await auth.who_am_i(fresh)
    assert me.session_id == (await auth.who_am_i(old)).session_id
    assert abs(me.auth_time.seconds - time.time()) < 60
    await disable(pb.DisableTotpRequest(), metadata=bearer(fresh))


async def test_s06_a_refusal_says_what_is_missing(auth: Auth) -> None:
    await auth.register(EMAIL)
    old = await grow_old(auth, (await login(auth)).refresh_token)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await auth.stub.EnrollTotp(pb.EnrollTotpRequest(), metadata=bearer(old))
    metadata: dict[str, Any] = dict(refused.value.trailing_metadata() or ())
    info, failure = error_details_pb2.ErrorInfo(), error_details_pb2.PreconditionFailure()
    for packed in status_pb2.Status.FromString(metadata[DETAILS]).details:
        packed.Unpack(info)
        packed.Unpack(failure)
    assert (info.reason, dict(info.metadata)) == ("STEP_UP_REQUIRED", {"by": "password"})
    assert [violation.type for violation in failure.violations] == ["SECOND_FACTOR"]


async def test_who_takes_an_unverified_address_over_finds_no_factor_of_the_one_before(auth: Auth) -> None:
    await enroll(auth)
    await auth.register(EMAIL)
    await login(auth)
