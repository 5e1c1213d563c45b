"""A password is changed, or set anew by mail; other sessions end, and the mail tells of it (AUT-1, S06)."""

import asyncio

import bcrypt
import grpc
import pytest

from tests.integration.auth.conftest import PASSWORD, Auth, Open, bearer
from venue.auth.v1 import auth_pb2

NEW = "another harbour entirely"
WRONG = ("UNAUTHENTICATED", "CREDENTIALS_INVALID")
NOBODY = ("UNAUTHENTICATED", "UNAUTHENTICATED")
SPENT = ("UNAUTHENTICATED", "REFRESH_TOKEN_INVALID")
UNGOOD = ("INVALID_ARGUMENT", "MAILED_TOKEN_INVALID")
WEAK = ("FAILED_PRECONDITION", "PASSWORD_TOO_WEAK")


async def ask(auth: Auth, email: str = "ada@example.com") -> str:
    answer = await auth.stub.RequestPasswordReset(auth_pb2.RequestPasswordResetRequest(email=email))
    await auth.deliver()
    return answer.message


async def reset(auth: Auth, token: str, password: str = NEW) -> None:
    await auth.stub.ResetPassword(auth_pb2.ResetPasswordRequest(token=token, new_password=password))
    await auth.deliver()


async def change(auth: Auth, access_token: str, current: str = PASSWORD, new: str = NEW) -> None:
    request = auth_pb2.ChangePasswordRequest(current_password=current, new_password=new)
    await auth.stub.ChangePassword(request, metadata=bearer(access_token))
    await auth.deliver()


async def deeds(auth: Auth) -> list[tuple[str, str]]:
    """What the audit log says was done, and how it ended."""
    rows = await auth.rows("SELECT action, outcome FROM audit_entries ORDER BY 1")
    return [(action, outcome) for action, outcome in rows]


async def test_a_mailed_token_sets_a_password_once_and_ends_every_session(auth: Auth) -> None:
    await auth.register("ada@example.com")
    before = await auth.login("ada@example.com")
    await ask(auth)
    token = auth.mailed_token()
    await reset(auth, token)
    assert [(to, subject) for to, subject, _ in auth.mails()] == [
        ("ada@example.com", "Verify your address"),
        ("ada@example.com", "Set a new password"),
        ("ada@example.com", "Your password was changed"),
    ]
    assert await auth.refused(auth.refresh(before.refresh_token)) == SPENT
    await auth.verifier.fetch_revoked()
    assert await auth.refused(auth.who_am_i(before.access_token)) == NOBODY
    assert await auth.refused(auth.login("ada@example.com")) == WRONG
    assert (await auth.login("ada@example.com", NEW)).user.email_verified
    assert await auth.refused(reset(auth, token)) == UNGOOD
    assert {("PASSWORD_RESET_REQUEST", "OK"), ("PASSWORD_RESET", "OK")} <= set(await deeds(auth))


async def test_a_weak_password_does_not_use_the_token_up(auth: Auth) -> None:
    await auth.register("ada.lovelace@example.com")
    await ask(auth, "ada.lovelace@example.com")
    token = auth.mailed_token()
    assert await auth.refused(reset(auth, token, "ada.lovelace")) == WEAK
    await reset(auth, token)
    await auth.login("ada.lovelace@example.com", NEW)


async def test_of_many_resets_at_once_one_counts(auth: Auth) -> None:
    await auth.register("ada@example.com")
    await ask(auth)
    token = auth.mailed_token()
    passwords = [f"{NEW} {number}" for number in range(6)]
    outcomes = await asyncio.gather(*(reset(auth, token, one) for one in passwords), return_exceptions=True)
    (winner,) = [one for one, outcome in zip(passwords, outcomes, strict=True) if outcome is None]
    await auth.login("ada@example.com", winner)


async def test_a_reset_makes_other_tokens_void_and_they_expire(auth: Auth) -> None:
    await auth.register("ada@example.com")
    tokens = []
    for _ in range(2):
        await ask(auth)
        tokens.append(auth.mailed_token())
    await reset(auth, tokens[1])
    assert await auth.refused(reset(auth, tokens[0])) == UNGOOD
    await ask(auth)
    ((left,),) = await auth.rows(
        "SELECT expire_time - now() BETWEEN '29 m' AND '30 m' FROM mailed_tokens WHERE use_time IS NULL"
    )
    assert left
    await auth.rows("UPDATE mailed_tokens SET expire_time = now()")
    assert await auth.refused(reset(auth, auth.mailed_token())) == UNGOOD


async def test_a_mailbox_is_not_filled(auth: Auth) -> None:
    await auth.register("ada@example.com")
    messages = {await ask(auth) for _ in range(8)} | {await ask(auth, "nobody@example.com")}
    assert len(messages) == 1
    assert [subject for _, subject, _ in auth.mails()].count("Set a new password") == 5


async def test_a_frozen_user_gets_no_token_and_an_older_one_is_void(auth: Auth) -> None:
    await auth.register("ada@example.com")
    await ask(auth)
    token = auth.mailed_token()
    await auth.rows("UPDATE users SET status = 'FROZEN'")
    assert await auth.refused(reset(auth, token)) == UNGOOD
    count = len(auth.mails())
    await ask(auth)
    assert len(auth.mails()) == count


async def test_s09_a_token_of_one_purpose_is_not_good_for_another(auth: Auth) -> None:
    await auth.register("ada@example.com")
    verification = auth.mailed_token()
    await ask(auth)
    token = auth.mailed_token()
    for given in (verification, "vpr_x", token + "x", token.upper(), "\0"):
        assert await auth.refused(reset(auth, given)) == UNGOOD
    for given in (token, verification):
        unlocking = auth.stub.UnlockLogin(auth_pb2.UnlockLoginRequest(token=given))
        assert await auth.refused(unlocking) == UNGOOD
    assert await auth.refused(auth.verify(token)) == ("INVALID_ARGUMENT", "VERIFICATION_TOKEN_INVALID")
    assert await auth.refused(auth.refresh(token)) == SPENT
    assert await auth.refused(auth.who_am_i(token)) == NOBODY


async def test_a_change_ends_the_other_sessions_and_keeps_its_own(auth: Auth) -> None:
    await auth.register("ada@example.com")
    own, other = await auth.login("ada@example.com"), await auth.login("ada@example.com")
    await change(auth, own.access_token)
    assert auth.mails()[-1][:2] == ("ada@example.com", "Your password was changed")
    await auth.verifier.fetch_revoked()
    await auth.who_am_i((await auth.refresh(own.refresh_token)).access_token)
    assert await auth.refused(auth.who_am_i(other.access_token)) == NOBODY
    assert await auth.refused(auth.refresh(other.refresh_token)) == SPENT
    assert await auth.refused(auth.login("ada@example.com")) == WRONG
    await auth.login("ada@example.com", NEW)
    assert ("PASSWORD_CHANGE", "OK") in await deeds(auth)


async def test_a_change_needs_the_password_and_a_good_new_one(auth: Auth) -> None:
    await auth.register("ada@example.com")
    login = await auth.login("ada@example.com")
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await change(auth, login.access_token, current="wrong")
    assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert await auth.refused(change(auth, login.access_token, current="wrong")) == (
        "INVALID_ARGUMENT",
        "PASSWORD_WRONG",
    )
    assert await auth.refused(change(auth, login.access_token, new="password1")) == WEAK
    assert await auth.refused(change(auth, login.access_token, new="short")) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert await auth.refused(change(auth, "nobody's")) == NOBODY
    assert len(auth.mails()) == 1
    await auth.login("ada@example.com")


async def test_whoever_found_an_open_session_guesses_no_faster_than_at_the_door(auth: Auth) -> None:
    await auth.register("ada@example.com")
    login = await auth.login("ada@example.com")
    refusals = [await auth.refused(change(auth, login.access_token, current=f"guess {n}")) for n in range(11)]
    assert refusals == [("INVALID_ARGUMENT", "PASSWORD_WRONG")] * 10 + [("RESOURCE_EXHAUSTED", "RATE_LIMITED")]


async def test_s03_a_log_in_replaces_the_hash_of_another_system(open_auth: Open) -> None:
    auth = await open_auth()
    await auth.register("ada@example.com")
    foreign = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    await auth.rows("UPDATE users SET password_hash = %s", foreign)
    await auth.login("ada@example.com")
    assert await auth.rows("SELECT left(password_hash, 8) FROM users") == [("p1:$2b$0",)]
    await auth.login("ada@example.com")


async def test_s06_a_change_demands_a_fresh_authentication(auth: Auth) -> None:
    await auth.register("ada@example.com")
    login = await auth.login("ada@example.com")
    await auth.rows("UPDATE sessions SET auth_time = now() - interval '6 min'")
    stale = await auth.refresh(login.refresh_token)
    assert await auth.refused(change(auth, stale.access_token)) == ("PERMISSION_DENIED", "STEP_UP_REQUIRED")
    fresh = await auth.stub.StepUp(auth_pb2.StepUpRequest(password=PASSWORD), metadata=bearer(stale.access_token))
    await change(auth, fresh.access_token)
    await auth.login("ada@example.com", NEW)
