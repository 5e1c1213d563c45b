"""Single sign-on: codes for registered clients, good once, with their verifier, for what the client may at most (AUT-3)."""

import asyncio
import secrets
from hashlib import sha256

import pytest
from typer.testing import CliRunner

from db import audit, sign_on
from servers.auth.clients import app, what_is_wrong
from servers.auth.keys import base64url
from servers.config import Settings
from servers.transport.auditing import operator
from tests.integration.auth.conftest import Auth, bearer
from venue.auth.v1 import auth_pb2 as pb
from venue.option.v1 import access_pb2

EMAIL = "ada@example.com"
BACK = "https://desk.example.com/back?from=venue"
INVALID = ("INVALID_ARGUMENT", "AUTHORIZATION_CODE_INVALID")
NOBODY = ("UNAUTHENTICATED", "UNAUTHENTICATED")


async def client_of(auth: Auth, *scopes: str, client_id: str = "desk") -> None:
    await sign_on.put_client(
        auth.engine, client_id, operator(), name="Desk", redirect_uris=[BACK], scopes=scopes or ("read", "trade")
    )


class Walk:
    """One sign-on as a client does it."""

    def __init__(self, auth: Auth, token: str) -> None:
        self.auth, self.token = auth, token
        self.verifier = secrets.token_urlsafe(48)

    async def authorize(self, **changed: str) -> pb.AuthorizeResponse:
        challenge = base64url(sha256(self.verifier.encode()).digest())
        asked = {"client_id": "desk", "redirect_uri": BACK, "code_challenge": challenge, "state": "a&b"} | changed
        return await self.auth.stub.Authorize(pb.AuthorizeRequest(**asked), metadata=bearer(self.token))

    async def exchange(self, code: str, **changed: str) -> pb.ExchangeResponse:
        shown = {"code": code, "code_verifier": self.verifier, "client_id": "desk", "redirect_uri": BACK} | changed
        return await self.auth.stub.Exchange(pb.ExchangeRequest(**shown))


@pytest.fixture
async def walk(auth: Auth) -> Walk:
    await client_of(auth)
    await auth.register(EMAIL)
    return Walk(auth, (await auth.login(EMAIL)).access_token)


async def test_a_client_gets_a_session_of_its_own_for_what_it_may(auth: Auth, walk: Walk) -> None:
    given = await walk.authorize()
    assert given.redirect_uri == f"{BACK}&code={given.code}&state=a%26b"
    got = await walk.exchange(given.code)
    me, own = await auth.who_am_i(got.access_token), await auth.who_am_i(walk.token)
    assert (me.user, me.auth_time) == (own.user, own.auth_time)
    assert me.session_id != own.session_id
    assert list(me.scopes) == [access_pb2.SCOPE_READ, access_pb2.SCOPE_TRADE]
    fresh = await auth.refresh(got.refresh_token)
    assert list((await auth.who_am_i(fresh.access_token)).scopes) == list(me.scopes)
    actions = await auth.rows("SELECT action FROM audit_entries WHERE left(action, 7) = 'SIGN_ON' ORDER BY sequence")
    assert actions == [("SIGN_ON_AUTHORIZE",), ("SIGN_ON_EXCHANGE",)]


async def test_a_second_use_of_a_code_ends_what_the_first_gave(auth: Auth, walk: Walk) -> None:
    code = (await walk.authorize()).code
    got = await walk.exchange(code)
    assert await auth.refused(walk.exchange(code)) == INVALID
    assert await auth.refused(auth.refresh(got.refresh_token)) == ("UNAUTHENTICATED", "REFRESH_TOKEN_INVALID")
    await auth.verifier.fetch_revoked()
    assert await auth.refused(auth.who_am_i(got.access_token)) == NOBODY
    await auth.who_am_i(walk.token)


async def test_of_exchanges_at_once_one_wins(auth: Auth, walk: Walk) -> None:
    code = (await walk.authorize()).code
    tried = await asyncio.gather(*(walk.exchange(code) for _ in range(5)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in tried) == ["AioRpcError"] * 4 + ["ExchangeResponse"]


async def test_a_code_is_good_for_its_client_uri_and_verifier_alone_and_60_s(auth: Auth, walk: Walk) -> None:
    await client_of(auth, client_id="other")
    code = (await walk.authorize()).code
    for changed in (
        {"code_verifier": secrets.token_urlsafe(48)},
        {"client_id": "other"},
        {"client_id": "nobody"},
        {"redirect_uri": "https://desk.example.com/back"},
    ):
        assert await auth.refused(walk.exchange(code, **changed)) == INVALID, changed
    assert await auth.refused(walk.exchange("vac_unknown")) == INVALID
    ((life_s,),) = await auth.rows(
        "SELECT extract(epoch FROM expire_time - create_time)::float8 FROM authorization_codes"
    )
    assert abs(life_s - 60) < 1
    await auth.rows("UPDATE authorization_codes SET expire_time = now()")
    assert await auth.refused(walk.exchange(code)) == INVALID
    assert await auth.rows("SELECT 1 FROM sessions WHERE client_id IS NOT NULL") == []


async def test_a_code_ends_with_the_session_that_gave_it(auth: Auth, walk: Walk) -> None:
    code = (await walk.authorize()).code
    await auth.stub.Logout(pb.LogoutRequest(), metadata=bearer(walk.token))
    assert await auth.refused(walk.exchange(code)) == INVALID


async def test_only_what_is_registered_is_authorized(auth: Auth, walk: Walk) -> None:
    for changed in (
        {"client_id": "nobody"},
        {"client_id": "\0"},
        {"redirect_uri": BACK + "/"},
        {"redirect_uri": "https://desk.example.com"},
        {"redirect_uri": BACK.upper()},
    ):
        assert await auth.refused(walk.authorize(**changed)) == ("INVALID_ARGUMENT", "CLIENT_INVALID"), changed
    for changed in ({"code_challenge_method": "plain"}, {"code_challenge": ""}, {"code_challenge": walk.verifier}):
        assert await auth.refused(walk.authorize(**changed)) == ("INVALID_ARGUMENT", "INVALID_FIELD"), changed


async def test_a_clients_session_gives_nothing_away(auth: Auth, walk: Walk) -> None:
    got = await walk.exchange((await walk.authorize()).code)
    held = Walk(auth, got.access_token)
    assert await auth.refused(held.authorize()) == ("PERMISSION_DENIED", "NOT_PERMITTED")
    await client_of(auth, "account")
    managing = Walk(auth, (await walk.exchange((await walk.authorize()).code)).access_token)
    assert await auth.refused(managing.authorize()) == ("PERMISSION_DENIED", "NOT_PERMITTED")


async def test_clients_are_registered_from_the_terminal(
    auth: Auth, walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VENUE_DATABASE_URL", auth.database_url)
    settings, runner = Settings.load(), CliRunner()

    def call(*arguments: str) -> tuple[int, str]:
        ran = runner.invoke(app, list(arguments), obj=settings)
        return ran.exit_code, ran.output

    added = await asyncio.to_thread(call, "add", "phone", "--redirect-uri", "http://127.0.0.1:1/x", "--scope", "read")
    assert added == (0, "registered phone\n")
    assert "http://127.0.0.1:1/x" in (await asyncio.to_thread(call, "list"))[1]
    got = await walk.exchange((await walk.authorize()).code)
    assert (await asyncio.to_thread(call, "remove", "desk"))[0] == 0
    await auth.verifier.fetch_revoked()
    assert await auth.refused(auth.who_am_i(got.access_token)) == NOBODY
    for wrong in (
        ("add", "Phone", "--redirect-uri", "https://a.example"),
        ("add", "phone", "--redirect-uri", "http://a.example"),
        ("add", "phone", "--redirect-uri", "https://a.example", "--scope", "admin"),
        ("remove", "desk"),
    ):
        assert (await asyncio.to_thread(call, *wrong))[0] == 1, wrong
    assert [(row.client_id, row.scopes) for row in await sign_on.list_clients(auth.engine)] == [("phone", ["read"])]
    changed = ("add", "phone", "--redirect-uri", "https://a.example/", "--scope", "trade", "--name", "Telephone")
    assert (await asyncio.to_thread(call, *changed))[0] == 0
    desk = {"name": "Desk", "redirect_uris": [BACK], "scopes": ["read", "trade"]}
    phone = {"name": "phone", "redirect_uris": ["http://127.0.0.1:1/x"], "scopes": ["read"]}
    telephone = {"name": "Telephone", "redirect_uris": ["https://a.example/"], "scopes": ["trade"]}
    entries = [row for row in await audit.list_after(auth.engine, 0, limit=100) if row.action.startswith("CLIENT_")]
    assert {(row.actor_kind, row.actor, row.outcome) for row in entries} == {("OPERATOR", operator().name, "OK")}
    assert [(row.action, row.object, row.before, row.after) for row in entries] == [
        ("CLIENT_PUT", "client/desk", None, desk),
        ("CLIENT_PUT", "client/phone", None, phone),
        ("CLIENT_REMOVE", "client/desk", desk, None),
        ("CLIENT_PUT", "client/phone", phone, telephone),
    ]


@pytest.mark.parametrize(
    "uri", ["https://a.example/x?y=1", "http://localhost:3000/", "http://[::1]:1/", "http://127.0.0.9"]
)
def test_a_redirect_uri_is_https_or_this_machine(uri: str) -> None:
    assert what_is_wrong(uri) == ""


@pytest.mark.parametrize(
    "uri",
    [
        "http://a.example", "http://localhost.a.example/", "https://a.example/#x", "https://u@a.example", "javascript:alert(1)",
        "//a.example", "https://", "https://a b", "https://a.example:port/", "http://0x7f.1/", "https://ä.example",
    ],
)  # fmt: skip
def test_every_other_uri_is_refused(uri: str) -> None:
    assert what_is_wrong(uri)
