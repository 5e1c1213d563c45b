"""Registration: the answer never tells whether an address is known, the mail does (AUT-1)."""

import asyncio
import time

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from db import audit, user_sessions, users
from tests.integration.auth.conftest import PASSWORD, Auth
from venue.auth.v1 import auth_pb2
from venue.option.v1 import access_pb2


async def test_a_new_user_gets_a_mail_and_may_log_in_before_verifying(auth: Auth) -> None:
    await auth.register("ada@example.com", name="Ada")
    ((address, subject, _),) = auth.mails()
    assert (address, subject) == ("ada@example.com", "Verify your address")
    user = (await auth.login("ada@example.com")).user
    assert user == auth_pb2.User(
        user_id=user.user_id,
        email="ada@example.com",
        display_name="Ada",
        role=access_pb2.ROLE_USER,
        email_verified=False,
        create_time=user.create_time,
    )
    assert user.user_id.startswith("usr-")
    assert abs(user.create_time.seconds - time.time()) < 60


async def test_the_mailed_token_verifies_once(auth: Auth) -> None:
    await auth.register("ada@example.com")
    token = auth.mailed_token()
    await auth.verify(token)
    assert (await auth.login("ada@example.com")).user.email_verified
    assert await auth.refused(auth.verify(token)) == ("INVALID_ARGUMENT", "VERIFICATION_TOKEN_INVALID")


async def test_of_many_uses_of_a_verification_token_at_once_one_counts(auth: Auth) -> None:
    await auth.register("ada@example.com")
    token = auth.mailed_token()
    outcomes = await asyncio.gather(*(auth.verify(token) for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(outcome, auth_pb2.VerifyEmailResponse) for outcome in outcomes) == 1


async def test_a_verification_token_expires(auth: Auth) -> None:
    await auth.register("ada@example.com")
    ((left,),) = await auth.rows(
        "SELECT expire_time - now() > '47 h 59 m' AND expire_time - now() <= '48 h' FROM verification_tokens"
    )
    assert left
    await auth.rows("UPDATE verification_tokens SET expire_time = now()")
    assert await auth.refused(auth.verify(auth.mailed_token())) == ("INVALID_ARGUMENT", "VERIFICATION_TOKEN_INVALID")


async def test_s04_a_known_address_gets_the_same_answer_and_a_verified_one_keeps_its_password(auth: Auth) -> None:
    first = await auth.register("ada@example.com")
    again = await auth.register("ADA@Example.com", "another harbour entirely")
    await auth.verify(auth.mailed_token())
    verified = await auth.register("ada@example.com", "a third harbour entirely", "Mallory")
    assert first == again == verified
    assert [subject for _, subject, _ in auth.mails()] == [
        "Verify your address",
        "Verify your address",
        "You have an account already",
    ]
    assert {address for address, _, _ in auth.mails()} == {"ada@example.com"}
    assert "Mallory" not in auth.mails()[-1][2]
    user = (await auth.login("Ada@example.COM", "another harbour entirely")).user
    assert (user.email, user.display_name) == ("ada@example.com", "")
    for other in (PASSWORD, "a third harbour entirely"):
        assert await auth.refused(auth.login("ada@example.com", other)) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")


async def test_who_registers_an_unverified_address_again_locks_out_who_did_before(auth: Auth) -> None:
    await auth.register("ada@example.com", name="Mallory")
    early, session = auth.mailed_token(), await auth.login("ada@example.com")
    row = await users.find_user_by_email(auth.engine, "ada@example.com")
    assert row is not None
    await auth.register("ada@example.com", "another harbour entirely", "Ada")
    assert await auth.refused(auth.verify(early)) == ("INVALID_ARGUMENT", "VERIFICATION_TOKEN_INVALID")
    assert await auth.refused(auth.refresh(session.refresh_token)) == ("UNAUTHENTICATED", "REFRESH_TOKEN_INVALID")
    assert await auth.refused(auth.login("ada@example.com")) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")
    # A log-in that had compared the old password just before.
    entry = audit.Entry(actor=audit.Actor(audit.ActorKind.NOBODY), action=audit.Action.LOGIN)
    late = user_sessions.open_session(
        auth.engine,
        row,
        session_id="ses-late",
        address="",
        place="",
        refresh_hash=bytes(32),
        life_s=60.0,
        entry=entry,
    )
    assert await late is None
    await auth.verify(auth.mailed_token())
    user = (await auth.login("ada@example.com", "another harbour entirely")).user
    assert (user.user_id, user.display_name, user.email_verified) == (row.user_id, "Ada", True)


async def test_many_registrations_of_one_address_at_once_make_one_user(auth: Auth) -> None:
    await asyncio.gather(*(auth.register("ada@example.com") for _ in range(10)))
    assert await auth.rows("SELECT count(*) FROM users") == [(1,)]


async def test_a_weak_password_is_refused_with_the_field(auth: Auth) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await auth.register("grace.hopper@example.com", "gracehopper", "Grace Hopper")
    details = dict(failed.value.trailing_metadata() or ())["grpc-status-details-bin"]
    assert isinstance(details, bytes)
    status = status_pb2.Status.FromString(details)
    bad = error_details_pb2.BadRequest()
    assert failed.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert [detail.Unpack(bad) for detail in status.details].count(True) == 1
    assert [(entry.field, entry.reason) for entry in bad.field_violations] == [("password", "PASSWORD_TOO_WEAK")]
    assert auth.mails() == []


@pytest.mark.parametrize("password", ["short", "x" * 1025, "x" * 10_000])
async def test_a_password_of_the_wrong_length_breaks_the_contract(auth: Auth, password: str) -> None:
    refusal = ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert await auth.refused(auth.register("ada@example.com", password)) == refusal


@pytest.mark.parametrize(
    "password", ["8 chars!", "k7#Vq2!z" * 8, "k7#V\0q2!z", "鳥籠の中の静かな海", "quiet harbour lantern " * 46]
)
async def test_s01_any_strong_password_works_as_it_was_typed(auth: Auth, password: str) -> None:
    await auth.register("ada@example.com", password)
    await auth.login("ada@example.com", password)
    for wrong in (password[:-1], password.swapcase() if password.swapcase() != password else password + "x"):
        assert await auth.refused(auth.login("ada@example.com", wrong)) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")


@pytest.mark.parametrize(
    "name",
    [
        "'; DROP TABLE users; --",
        "{{7*7}} ${7*7} %(x)s %s {0}",
        "*)(uid=*))(|(uid=*",
        "<script>alert(1)</script>",
        "\u202eabc\u202c",
        "👩\u200d🚀",
        "e\u0301",
        "\u0430dmin",
        " x ",
    ],
)
async def test_a_name_is_stored_as_it_was_typed(auth: Auth, name: str) -> None:
    await auth.register("ada@example.com", name=name)
    assert (await auth.login("ada@example.com")).user.display_name == name


@pytest.mark.parametrize("name", ["a\r\nBcc: x@example.com", "nul\0", "x" * 65, "x" * 200_000])
async def test_a_name_with_control_characters_or_without_end_is_refused(auth: Auth, name: str) -> None:
    assert await auth.refused(auth.register("ada@example.com", name=name)) == ("INVALID_ARGUMENT", "INVALID_FIELD")


@pytest.mark.parametrize(
    "email", ["", "ada", "ada@", "a b@example.com", "ada@example.com\r\nBcc: eve@example.com", "\u0430da@example.com", "x@y\0"]
)  # fmt: skip
async def test_what_is_no_address_of_mail_is_refused(auth: Auth, email: str) -> None:
    assert await auth.refused(auth.register(email)) == ("INVALID_ARGUMENT", "INVALID_FIELD")


async def test_an_odd_address_is_stored_as_it_was_typed(auth: Auth) -> None:
    email = "O'Neil+{x}$%&*=?^_`|~-@Example.com"
    await auth.register(email)
    assert (await auth.login(email.lower())).user.email == email


async def test_s12_nothing_secret_is_stored_in_the_clear(auth: Auth) -> None:
    await auth.register("ada@example.com")
    mailed = auth.mailed_token()
    login = await auth.login("ada@example.com")
    found = await auth.rows(
        "SELECT concat((SELECT json_agg(u) FROM users u), (SELECT json_agg(v) FROM verification_tokens v),"
        " (SELECT json_agg(r) FROM refresh_tokens r), (SELECT json_agg(s) FROM sessions s))"
    )
    ((text,),) = found
    for secret in (PASSWORD, mailed, login.refresh_token, login.access_token):
        assert secret not in text
        assert secret.encode().hex() not in text
