"""People and their tokens, whole through the gateway: mails, passwords, sessions, what ends them, and what is no token (AUT-1,
AUT-2, AUT-4, AUT-9, S09 to S13, S25, B07).
"""

import asyncio
import json
import re
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from email import message_from_bytes
from email.policy import SMTP
from itertools import islice
from typing import Any

import httpx
import pyotp
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from db import session, users
from db.session import SERVICES
from servers.auth.keys import key_files, read_key
from servers.config import Settings
from tests.e2e import node_client
from tests.e2e.commands import Done
from tests.e2e.launching import Venue, eventually
from tests.e2e.people import PASSWORD, join, log_in
from tests.e2e.probe import GrpcProbe, RestProbe, Victim
from tests.e2e.ways import Native, Refused, Rest, Way, opened
from tests.integration.auth.conftest import plain
from tests.unit.transport.forging import Forger

AUTH = "auth.v1.AuthService"
ME = f"{AUTH}.WhoAmI"
NEW = "another harbour entirely"
NOBODY = ("UNAUTHENTICATED", "UNAUTHENTICATED")
WRONG = ("UNAUTHENTICATED", "CREDENTIALS_INVALID")
SPENT = ("UNAUTHENTICATED", "REFRESH_TOKEN_INVALID")
TOKEN = re.compile(r"^Token: (\S+)$", re.MULTILINE)


@pytest.fixture(scope="module", params=["grpc", "rest", "web"])
def way(request: pytest.FixtureRequest, venue: Venue, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    def script() -> Any:
        return node_client.bundle("bridge", tmp_path_factory.mktemp("people"))

    with opened(request.param, venue.url, venue.target, script) as made:
        yield made


def refused(way: Way, method: str, request: dict[str, Any], token: str = "") -> tuple[str, str]:
    with pytest.raises(Refused) as refusal:
        way.call(f"{AUTH}.{method}", request, token)
    return refusal.value.said


def mails(venue: Venue, email: str) -> list[tuple[str, str]]:
    """Subject and text of what was mailed to somebody, the oldest first."""
    found = [message_from_bytes(path.read_bytes(), policy=SMTP) for path in sorted(venue.state.glob("mailbox/*.eml"))]
    return [(mail["Subject"], plain(mail)) for mail in found if mail["To"] == email]


def mailed(venue: Venue, email: str, subject: str) -> str:
    """The last mail of that subject, once it is there."""

    def texts() -> list[str]:
        return [text for said, text in mails(venue, email) if said == subject]

    eventually(lambda: bool(texts()), f"a mail: {subject}")
    return texts()[-1].replace("\r\n", "\n")


def token_in(text: str) -> str:
    match = TOKEN.search(text)
    assert match is not None
    return match[1]


def test_a_person_registers_verifies_loses_the_password_and_looks_after_sessions(venue: Venue, way: Way) -> None:
    email = f"people.{secrets.token_hex(4)}@example.com"
    said = way.call(f"{AUTH}.Register", {"email": email, "password": PASSWORD, "displayName": "Ada"})
    verification = token_in(mailed(venue, email, "Verify your address"))
    way.call(f"{AUTH}.VerifyEmail", {"token": verification})
    assert refused(way, "VerifyEmail", {"token": verification}) == ("INVALID_ARGUMENT", "VERIFICATION_TOKEN_INVALID")

    assert way.call(f"{AUTH}.RequestPasswordReset", {"email": email}) == said
    assert way.call(f"{AUTH}.RequestPasswordReset", {"email": "nobody@example.com"}) == said
    reset = token_in(mailed(venue, email, "Set a new password"))
    weak = {"token": reset, "newPassword": "password1"}
    assert refused(way, "ResetPassword", weak) == ("FAILED_PRECONDITION", "PASSWORD_TOO_WEAK")
    way.call(f"{AUTH}.ResetPassword", {"token": reset, "newPassword": NEW})
    spent = {"token": reset, "newPassword": NEW}
    assert refused(way, "ResetPassword", spent) == ("INVALID_ARGUMENT", "MAILED_TOKEN_INVALID")
    assert refused(way, "Login", {"email": email, "password": PASSWORD}) == WRONG

    own, other = [way.call(f"{AUTH}.Login", {"email": email, "password": NEW}) for _ in range(2)]
    token = own["accessToken"]
    page = way.call(f"{AUTH}.ListSessions", {"pageSize": 1}, token)
    rest = way.call(f"{AUTH}.ListSessions", {"pageToken": page["nextPageToken"]}, token)
    listed = page["sessions"] + rest["sessions"]
    mine = way.call(ME, {}, token)["sessionId"]
    assert [(each["current"], each["address"]) for each in listed] == [(False, "127.0.0.1"), (True, "127.0.0.1")]
    assert listed[1]["sessionId"] == mine
    assert all(each["userAgent"] and each["createTime"] and each["lastUsedTime"] for each in listed)

    way.call(f"{AUTH}.RevokeSession", {"sessionId": listed[0]["sessionId"]}, token)
    assert refused(way, "Refresh", {"refreshToken": other["refreshToken"]}) == SPENT
    assert len(way.call(f"{AUTH}.ListSessions", {}, token)["sessions"]) == 1
    missing = {"sessionId": "ses-0199c2f0-0000-7000-8000-000000000000"}
    assert refused(way, "RevokeSession", missing, token) == ("NOT_FOUND", "SESSION_NOT_FOUND")

    wrong = {"currentPassword": "wrong", "newPassword": PASSWORD}
    assert refused(way, "ChangePassword", wrong, token) == ("INVALID_ARGUMENT", "PASSWORD_WRONG")
    way.call(f"{AUTH}.ChangePassword", wrong | {"currentPassword": NEW}, token)
    mailed(venue, email, "Your password was changed")
    fresh = way.call(f"{AUTH}.Refresh", {"refreshToken": own["refreshToken"]})
    assert way.call(ME, {}, fresh["accessToken"])["sessionId"] == mine
    assert refused(way, "UnlockLogin", {"token": "vul_x"}) == ("INVALID_ARGUMENT", "MAILED_TOKEN_INVALID")
    log_in(way, email, PASSWORD)


def settings_of(venue: Venue) -> Settings:
    ports = {f"{name.lower()}_port": port for name, port in venue.ports.items()}
    return Settings.model_validate({"state_dir": venue.state, **ports})


def administer(venue: Venue, deed: Callable[[AsyncEngine], Awaitable[object]]) -> None:
    """What an administrator's server does with the tables."""

    async def done() -> None:
        engine = session.engine(settings_of(venue).database, application_name="test people", role=SERVICES)
        try:
            assert await deed(engine) is not None
        finally:
            await engine.dispose()

    asyncio.run(done())


def is_over(way: Way, token: str, account_id: str) -> bool:
    """Whether every server refuses the token: the one of people, of orders, and of market data."""
    calls = [
        (ME, {}),
        ("order.v1.OrderService.ListOrders", {"accountId": account_id}),
        ("marketdata.v1.MarketDataService.ListMarkets", {}),
    ]
    said = []
    for method, request in calls:
        try:
            way.call(method, request, token)
            said.append(("OK", ""))
        except Refused as refusal:
            said.append(refusal.said)
    return said == [NOBODY] * len(calls)


def test_s13_a_changed_role_and_a_freeze_end_tokens_and_streams_on_every_server(venue: Venue, rest: Rest) -> None:
    person = join(rest, "frozen")
    user_id = rest.call(ME, {}, person.token)["user"]["userId"]
    account = {"accountId": person.account_id}
    streams = ["order.v1.OrderService.StreamOrders", "account.v1.AccountService.StreamAccount"]

    def end(token: str, deed: Callable[[AsyncEngine], Awaitable[object]]) -> None:
        heard = [rest.listen(method, account, token) for method in streams]
        for stream in heard:
            stream.until(bool, "the first frame")
        administer(venue, deed)
        eventually(lambda: is_over(rest, token, person.account_id), "every server refuses the token")
        for stream in heard:
            frames = stream.until(lambda frames: any("goodbye" in frame for frame in frames), "a goodbye")
            assert frames[-1]["goodbye"]["reason"] == "SESSION_REVOKED"
            with suppress(OSError):  # the other end may be gone
                stream.close()

    end(person.token, lambda engine: users.set_role(engine, user_id, "SUPPORT"))
    fresh = rest.call(f"{AUTH}.Refresh", {"refreshToken": person.refresh_token})
    assert rest.call(ME, {}, fresh["accessToken"])["user"]["role"] == "ROLE_SUPPORT"
    end(fresh["accessToken"], lambda engine: users.set_status(engine, user_id, users.FROZEN))
    assert refused(rest, "Refresh", {"refreshToken": fresh["refreshToken"]}) == SPENT
    assert refused(rest, "Login", {"email": person.email, "password": PASSWORD}) == WRONG
    administer(venue, lambda engine: users.set_status(engine, user_id, users.ACTIVE))
    log_in(rest, person.email)


def test_s12_ten_refreshes_at_once_are_one_rotation(venue: Venue, rest: Rest) -> None:
    person = join(rest, "family")

    async def refresh_at_once() -> list[str]:
        async with httpx.AsyncClient(base_url=venue.url, timeout=30) as client:
            body = {"refreshToken": person.refresh_token}
            answers = await asyncio.gather(*(client.post("/v1/auth/refresh", json=body) for _ in range(10)))
            return [answer.json()["refreshToken"] for answer in answers]

    assert len(set(asyncio.run(refresh_at_once()))) == 1


def sendable(token: str) -> bool:
    """Whether a header can carry it as it is: HTTP takes blanks off the ends and refuses control characters."""
    return token.isascii() and token.isprintable() and " " not in token and bool(token)


@pytest.mark.usefixtures("untouched")
def test_s09_b07_forged_tokens_are_refused_through_the_gateway(
    venue: Venue, over_rest: RestProbe, over_grpc: GrpcProbe, victim: Victim
) -> None:
    folder = venue.state / "secrets"
    private = read_key(folder / min(key_files(folder))).private
    forger = Forger(victim.person.token, private, 7)
    unsigned = [token for token in forger.unsigned() if sendable(token)]
    tokens = {f"unsigned {number}": token for number, token in enumerate(forger.draw.sample(unsigned, 60))}
    tokens |= {name: token for name, token in forger.missigned() if sendable(token)}
    damaged = islice((token for token in forger.damaged() if sendable(token)), 100)
    tokens |= {f"damaged {number}": token for number, token in enumerate(damaged)}
    # The gateway says of a token that is good elsewhere that it is not good here.
    forbidden = ("PERMISSION_DENIED", "NOT_PERMITTED")
    for name, token in tokens.items():
        elsewhere = (name.startswith("audience") and "other" not in name) or name == "without aud"
        for probe in (over_rest, over_grpc):
            said = probe.ask(ME, {}, token)
            # Damage may make another audience of it, which is looked at before the signature.
            expected = {forbidden if elsewhere else NOBODY} | ({forbidden} if name.startswith("damaged") else set())
            assert (said.code, said.reason) in expected, (name, token)
    assert over_rest.ask(ME, {}, forger.signed({"jti": "another"})).code == "OK"


def test_s11_a_rotation_is_one_command_and_no_token_fails(venue: Venue, rest: Rest) -> None:
    person = join(rest, "rotation")

    def kids() -> list[str]:
        keys = httpx.get(f"{venue.url}/.well-known/jwks.json").json()["keys"]
        return [key["kid"] for key in keys]

    def keys(*words: str) -> Done:
        return venue.run("keys", *words)

    before = kids()
    done = keys("rotate")
    assert done.returncode == 0, done.stderr
    eventually(lambda: len(kids()) == len(before) + 1, "the new key is published")
    # It is known to everybody before it signs.
    assert kids()[0] == before[0]
    assert {"signs", "will sign"} <= {
        line.split("│")[-2].strip() for line in keys("signing").stdout.splitlines() if "│" in line
    }
    for token in (person.token, log_in(rest, person.email)):
        rest.call(ME, {}, token)


def secrets_of(venue: Venue) -> dict[str, str]:
    """Whatever is in the venue's files of secrets; the banner shows the seeded users' passwords."""
    files = [path for path in (venue.state / "secrets").iterdir() if path.is_file() and path.name != "logins.json"]
    assert {"field-keys", "pepper", "internal"} <= {path.name for path in files}
    words = {path.name: re.findall(r"[\w+/=-]{20,}", path.read_text()) for path in files}
    return {f"{name} {number}": word for name, found in words.items() for number, word in enumerate(found)}


def test_s25_nothing_secret_and_no_address_of_mail_stands_in_a_log(venue: Venue, rest: Rest) -> None:
    canary = secrets.token_hex(6)
    email, password = f"canary.{canary}@example.com", f"planted {canary} harbour"
    rest.call(f"{AUTH}.Register", {"email": email, "password": password, "displayName": "Canary"})
    planted = {"e-mail": email, "password": password, "wrong password": f"wrong {canary} harbour"}
    planted["verification token"] = token_in(mailed(venue, email, "Verify your address"))
    rest.call(f"{AUTH}.VerifyEmail", {"token": planted["verification token"]})
    refused(rest, "VerifyEmail", {"token": planted["verification token"]})
    refused(rest, "Login", {"email": email, "password": planted["wrong password"]})
    refused(rest, "Register", {"email": email, "password": canary[:6], "displayName": f"{canary}\r\nforged"})
    login = rest.call(f"{AUTH}.Login", {"email": email, "password": password})
    planted |= {"access token": login["accessToken"], "refresh token": login["refreshToken"]}
    token = login["accessToken"]
    begun = rest.call(f"{AUTH}.EnrollTotp", {}, token)
    planted |= {"TOTP secret": begun["secret"], "recovery code": begun["recoveryCodes"][0]}
    code = pyotp.TOTP(begun["secret"]).now()
    rest.call(f"{AUTH}.ConfirmTotp", {"code": code}, token)
    refused(rest, "Login", {"email": email, "password": password, "totpCode": code})
    account = rest.call("account.v1.AccountService.CreateAccount", {"type": "ACCOUNT_TYPE_DEMO", "name": "c"}, token)
    body = {"name": "bot", "scopes": ["SCOPE_READ"], "accountId": account["account"]["accountId"]}
    made = rest.call(f"{AUTH}.CreateApiKey", body, token)
    planted["API secret"] = made["secret"]
    key = f"{made['apiKey']['apiKeyId']}.{made['secret']}"
    signing = rest.call(f"{AUTH}.CreateApiKey", body | {"signing": "API_KEY_SIGNING_HMAC_SHA256"}, token)
    planted["signing secret"] = signing["secret"]
    hook = {"url": "https://hooks.example.com/venue", "eventTypes": ["EVENT_TYPE_ORDER_FILLED"]}
    planted["webhook secret"] = rest.call("webhook.v1.WebhookService.CreateEndpoint", hook, token)["secret"]
    with httpx.Client(base_url=venue.url) as client:
        assert client.get("/v1/auth/me", headers={"x-api-key": key}).status_code == 200
        for headers in (
            {"x-api-key": key[:-2]},
            {"authorization": f"Basic {key}"},
            {"authorization": f"Bearer {token}x"},
        ):
            assert client.get("/v1/auth/me", headers=headers).status_code == 401
        # Where none belongs: in an address, in a body that is no JSON, in a field of another kind.
        client.get("/v1/auth/me", params={"access_token": token})
        client.get(f"/v1/auth/sessions/{key}/{token}")
        client.post("/v1/auth/login", content=json.dumps({"email": email, "password": password})[:-1])
        client.post("/v1/auth/login", json={"email": email, "password": {"text": password}})
    rest.call(f"{AUTH}.Refresh", {"refreshToken": login["refreshToken"]})
    rest.call(f"{AUTH}.RequestPasswordReset", {"email": email})
    planted["reset token"] = token_in(mailed(venue, email, "Set a new password"))
    rest.call(f"{AUTH}.ResetPassword", {"token": planted["reset token"], "newPassword": f"{password} 2"})
    planted |= secrets_of(venue)
    logs = {path.name: path.read_text(errors="replace") for path in (venue.state / "log").iterdir() if path.is_file()}
    logs["up.log"] = venue.log.read_text(errors="replace")
    assert "api.log" in logs
    assert {(name, what) for name, text in logs.items() for what, value in planted.items() if value in text} == set()
    # Nor does a line begin where a caller wants one.
    assert not [name for name, text in logs.items() if re.search(r"^forged", text, re.MULTILINE)]


def test_logging_out_over_one_way_ends_the_session_in_another(venue: Venue, rest: Rest) -> None:
    person = join(rest, "leaver")
    native = Native(venue.target)
    native.call(f"{AUTH}.Logout", {}, person.token)
    eventually(lambda: is_over(rest, person.token, person.account_id), "every server refuses the token")
    native.close()
