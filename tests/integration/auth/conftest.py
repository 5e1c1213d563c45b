"""AuthService behind its guard on a real PostgreSQL, called over gRPC."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from email import message_from_bytes
from email.policy import SMTP
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncEngine

from db import outgoing, revocations
from db.key_lookups import find_key, touch_keys
from db.nonces import Nonces
from db.sealing import INDEX, Sealer, api_key_secret, new_entry
from db.session import SERVICES, Pool, engine, open_pool
from servers.auth.attempts import Attempts
from servers.auth.credential_servicer import Elsewhere
from servers.auth.desk import Desk
from servers.auth.keys import SigningKeys
from servers.auth.passwords import Passwords
from servers.auth.quota import Quotas
from servers.auth.servicer import AuthRules, AuthServicer
from servers.auth.tokens import RefreshTokens
from servers.domain.errors import AccountNotFound
from servers.notify.mailbox import Mailbox
from servers.notify.writing import write
from servers.transport.api_keys import ApiKeys
from servers.transport.call import Call
from servers.transport.errors import from_call
from servers.transport.guard import Guard
from servers.transport.identity import TokenVerifier
from servers.transport.limits import Limits
from servers.transport.paging import PageTokens
from servers.transport.replays import Replays
from servers.transport.server import build_server
from servers.transport.telemetry import Metrics
from venue.auth.v1 import auth_pb2, auth_pb2_grpc

FIELD_KEYS = f"{new_entry('test')} {new_entry(INDEX)}"
PASSWORD = "quiet harbour lantern"
TOKEN = re.compile(r"^Token: (\S+)$", re.MULTILINE)


@dataclass(kw_only=True)
class Auth:
    """A running server, a client of it, and what a test wants to look at behind it."""

    stub: "auth_pb2_grpc.AuthServiceAsyncStub"
    database_url: str
    engine: AsyncEngine
    passwords: Passwords
    keys: SigningKeys
    verifier: TokenVerifier
    desk: Desk
    sealer: Sealer
    api_keys: ApiKeys
    mailbox: Path

    async def refused(self, call: Awaitable[Any]) -> tuple[str, str]:
        """Code and reason of a call that must fail."""
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call
        error = from_call(failed.value)
        return error.code, error.reason

    async def register(self, email: str, password: str = PASSWORD, name: str = "") -> auth_pb2.RegisterResponse:
        request = auth_pb2.RegisterRequest(email=email, password=password, display_name=name)
        answer = await self.stub.Register(request)
        await self.deliver()
        return answer

    async def deliver(self) -> None:
        """Have what was asked for written, and put what is stored into the mailbox: the work of `api`, then of `notify`."""
        while await self.desk.write_some():
            pass
        mailbox = Mailbox(self.mailbox)
        while taken := await outgoing.take(self.engine, self.sealer, 1):
            letter = taken[0].letter
            assert letter is not None
            await mailbox.send(write(letter.address, letter.template, letter.values, taken[0].message_id))
            await outgoing.forget(self.engine, taken[0].message_id)

    async def login(self, email: str, password: str = PASSWORD) -> auth_pb2.LoginResponse:
        return await self.stub.Login(auth_pb2.LoginRequest(email=email, password=password))

    async def refresh(self, token: str) -> auth_pb2.RefreshResponse:
        return await self.stub.Refresh(auth_pb2.RefreshRequest(refresh_token=token))

    async def verify(self, token: str) -> auth_pb2.VerifyEmailResponse:
        return await self.stub.VerifyEmail(auth_pb2.VerifyEmailRequest(token=token))

    async def who_am_i(self, access_token: str) -> auth_pb2.WhoAmIResponse:
        return await self.stub.WhoAmI(auth_pb2.WhoAmIRequest(), metadata=bearer(access_token))

    def mails(self) -> list[tuple[str, str, str]]:
        """Address, subject and text of each mail, the oldest first."""
        found = [message_from_bytes(path.read_bytes(), policy=SMTP) for path in sorted(self.mailbox.glob("*.eml"))]
        return [(mail["To"], mail["Subject"], plain(mail)) for mail in found]

    def mailed_token(self) -> str:
        match = TOKEN.search(self.mails()[-1][2])
        assert match is not None
        return match[1]

    async def rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Run a statement beside the service, as the owner of the database."""
        async with await psycopg.AsyncConnection.connect(self.database_url, autocommit=True) as connection:
            cursor = await connection.execute(query, arguments)
            return await cursor.fetchall() if cursor.description else []


def plain(mail: Any) -> str:
    """The plain form of a mail."""
    text: str = mail.get_body(("plain",)).get_content()
    return text.replace("\r\n", "\n")


def bearer(access_token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {access_token}"),)


def known_keys(verifier: TokenVerifier, pool: Pool, sealer: Sealer, nonces: Nonces | None) -> ApiKeys:
    return ApiKeys(
        verifier,
        partial(find_key, pool),
        partial(touch_keys, pool),
        opened=lambda key_id, envelope: sealer.open(api_key_secret(key_id), envelope),
        replays=Replays(nonces),
    )


Open = Callable[..., Awaitable[Auth]]
ACCOUNT = "demo-1"


async def owned(account_id: str, _call: Call) -> None:
    """As the engine says it: everybody here owns the one account."""
    if account_id != ACCOUNT:
        raise AccountNotFound(account_id)


@pytest.fixture
async def open_auth(database_url: str, tmp_path: Path) -> AsyncIterator[Open]:
    """Starts a server with other rules, or another one on the same state."""
    async with AsyncExitStack() as stack:

        async def start(
            cost: int = 4, workers: int = 2, queue_max: int = 64, attempts: Any = None, nonces: Any = None, **rules: Any
        ) -> Auth:
            tables = engine(database_url, application_name="auth", role=SERVICES)
            stack.push_async_callback(tables.dispose)
            pool = await open_pool(database_url, application_name="auth", role=SERVICES)
            stack.push_async_callback(pool.close)
            passwords = Passwords(pepper="pepper", cost=cost, workers=workers, queue_max=queue_max)
            stack.callback(passwords.close)
            keys = SigningKeys(tmp_path / "secrets")

            async def key_set() -> dict[str, list[dict[str, str]]]:
                return {"keys": keys.jwks()}

            verifier = TokenVerifier(key_set, lambda: revocations.revocations(pool, timedelta(minutes=16)))
            await verifier.start()
            stack.push_async_callback(verifier.stop)
            sealer = Sealer(lambda: FIELD_KEYS)
            servicer = AuthServicer(
                engine=tables,
                passwords=passwords,
                keys=keys,
                refresh_tokens=RefreshTokens(secret="secret"),
                sealer=sealer,
                attempts=attempts or Attempts(None, secret="secret"),
                elsewhere=Elsewhere(owned, Quotas({}, "")),
                page_tokens=PageTokens(b"key"),
                rules=replace(AuthRules(public_url="http://localhost:8080"), **rules),
            )
            api_keys = known_keys(verifier, pool, sealer, nonces)
            guard = Guard(verifier, Limits(), Metrics(CollectorRegistry()), api_keys=api_keys)
            server = build_server([(auth_pb2.DESCRIPTOR.services_by_name["AuthService"], servicer)], guard)
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            stack.push_async_callback(server.stop, 0.5)
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
            return Auth(
                stub=auth_pb2_grpc.AuthServiceStub(channel),
                database_url=database_url,
                engine=tables,
                passwords=passwords,
                keys=keys,
                verifier=verifier,
                desk=servicer.desk,
                sealer=sealer,
                api_keys=api_keys,
                mailbox=tmp_path / "mailbox",
            )

        yield start


@pytest.fixture
async def auth(open_auth: Open) -> Auth:
    return await open_auth()
