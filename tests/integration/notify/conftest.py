"""Companies that take mails and text messages, as they are asked over HTTP; and the tables that letters wait in."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import httpx
import psycopg
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncEngine

from db.outgoing import Letter
from db.sealing import INDEX, Sealer, new_entry
from db.session import SERVICES, engine
from servers.domain.letters import Channel, Template
from servers.notify.companies import Company, Form, Mailgun, Postmark, Resend, SendGrid, Twilio
from servers.notify.provider import Provider
from servers.notify.send_letters import LetterMeasures, Sender
from servers.notify.writing import Mail

KEYS = f"{new_entry('test')} {new_entry(INDEX)}"
SENDER = "venue <no-reply@venue.example>"
LETTER = Letter("ada@example.com", Template.VERIFY_EMAIL, {"url": "https://x", "token": "vvt_1"}, "usr-ada")
MAIL = Mail("ada@example.com", "Verify", "Token: ü\n", "<p>Token: ü</p>\n", "ltr-1")


class Companies:
    """The four companies as their references describe them: what is asked for, what is refused and how."""

    def __init__(self) -> None:
        self.took: list[tuple[str, str, str, str, str]] = []
        self.down: set[str] = set()
        self.texts: list[tuple[str, str]] = []
        # Text messages are taken, and nobody hears of it.
        self.mute = False

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_post("/emails", self.resend)
        application.router.add_post("/v3/mail/send", self.sendgrid)
        application.router.add_post("/v3/mg.venue.example/messages", self.mailgun)
        application.router.add_post("/email", self.postmark)
        application.router.add_post("/2010-04-01/Accounts/AC1/Messages.json", self.twilio)
        return application

    def _take(self, company: str, sender: str, to: str, subject: str, text: str, html: str) -> None:
        assert html.startswith(("<p>", "<!doctype html>"))
        assert "no-reply@venue.example" in sender
        self.took.append((company, to, subject, text, html))

    async def resend(self, request: web.Request) -> web.Response:
        if "resend" in self.down:
            return web.json_response({"statusCode": 500, "name": "application_error", "message": "x"}, status=500)
        if request.headers.get("authorization") != "Bearer re_key":
            return web.json_response({"statusCode": 403, "name": "invalid_api_key", "message": "API key"}, status=403)
        body = await request.json()
        if "@" not in body["to"][0]:
            told = {"statusCode": 422, "name": "validation_error", "message": "Invalid `to` field."}
            return web.json_response(told, status=422)
        assert request.headers["idempotency-key"].startswith("ltr-")
        self._take("resend", body["from"], body["to"][0], body["subject"], body["text"], body["html"])
        return web.json_response({"id": "49a3"})

    async def sendgrid(self, request: web.Request) -> web.Response:
        if request.headers.get("authorization") != "Bearer SG.key":
            return web.json_response({"errors": [{"message": "unauthorized", "field": None}]}, status=401)
        body = await request.json()
        to = body["personalizations"][0]["to"][0]["email"]
        if "@" not in to:
            told = {"message": "Does not contain a valid address.", "field": "personalizations.0.to.0.email"}
            return web.json_response({"errors": [told]}, status=400)
        plain, html = body["content"]
        assert (plain["type"], html["type"]) == ("text/plain", "text/html")
        self._take("sendgrid", body["from"]["email"], to, body["subject"], plain["value"], html["value"])
        return web.Response(status=202)

    async def mailgun(self, request: web.Request) -> web.Response:
        if request.headers.get("authorization") != "Basic " + base64.b64encode(b"api:mg-key").decode():
            return web.Response(status=401, text="Forbidden")
        form = await request.post()
        to = str(form["to"])
        if "@" not in to:
            told = {"message": "'to' parameter is not a valid address. please check documentation"}
            return web.json_response(told, status=400)
        self._take("mailgun", str(form["from"]), to, str(form["subject"]), str(form["text"]), str(form["html"]))
        return web.json_response({"id": "<2@mg.venue.example>", "message": "Queued. Thank you."})

    async def postmark(self, request: web.Request) -> web.Response:
        if request.headers.get("x-postmark-server-token") != "pm-key":
            return web.json_response({"ErrorCode": 10, "Message": "Bad or missing Server API token."}, status=401)
        body = json.loads(await request.text())
        if "@" not in body["To"]:
            return web.json_response({"ErrorCode": 300, "Message": "Invalid 'To' address"}, status=422)
        self._take("postmark", body["From"], body["To"], body["Subject"], body["TextBody"], body["HtmlBody"])
        return web.json_response({"To": body["To"], "ErrorCode": 0, "Message": "OK", "MessageID": "b7bc"})

    async def twilio(self, request: web.Request) -> web.Response:
        if "twilio" in self.down:
            return web.json_response({"code": 20500, "message": "Internal", "status": 500}, status=500)
        if request.headers.get("authorization") != "Basic " + base64.b64encode(b"AC1:tw-key").decode():
            return web.json_response({"code": 20003, "message": "Authenticate", "status": 401}, status=401)
        form = await request.post()
        to = str(form["To"])
        if not to.startswith("+"):
            told = {"code": 21211, "message": f"Invalid 'To' Phone Number: {to}", "status": 400}
            return web.json_response(told, status=400)
        assert (str(form["From"]), len(str(form["Body"])) <= 300) == ("+15005550006", True)
        self.texts.append((to, str(form["Body"])))
        if self.mute:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"sid": "SM1", "status": "queued", "to": to}, status=201)


FORMS: list[Form] = [Resend("re_key"), SendGrid("SG.key"), Mailgun("mg-key", "mg.venue.example"), Postmark("pm-key")]
WRONG: list[Form] = [Resend("x"), SendGrid("x"), Mailgun("x", "mg.venue.example"), Postmark("x")]


class Post:
    """Companies that run, and a client of them."""

    def __init__(self, companies: Companies, url: str, client: httpx.AsyncClient) -> None:
        self.companies, self.url, self.client = companies, url, client

    def company(self, form: Form, url: str = "") -> Company:
        return Company(form, url or self.url, SENDER, self.client)


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    async with AsyncExitStack() as stack:
        companies = Companies()
        runner = web.AppRunner(companies.application())
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
        yield Post(companies, f"http://127.0.0.1:{runner.addresses[0][1]}", client)


@pytest.fixture
async def tables(database_url: str) -> AsyncIterator[AsyncEngine]:
    made = engine(database_url, application_name="test", role=SERVICES)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(
            "INSERT INTO users (user_id, email, email_key, password_hash) VALUES ('usr-ada', 'a@x.org', 'a@x.org', 'x')"
        )
    yield made
    await made.dispose()


def sealer() -> Sealer:
    return Sealer(lambda: KEYS)


@asynccontextmanager
async def sending(
    tables: AsyncEngine, providers: Sequence[Provider], channel: Channel = Channel.MAIL
) -> AsyncIterator[CollectorRegistry]:
    registry = CollectorRegistry()
    task = asyncio.create_task(Sender(tables, sealer(), providers, LetterMeasures(registry), channel).run())
    try:
        yield registry
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def rows(database_url: str, statement: str) -> list[Any]:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        cursor = await connection.execute(statement.encode())
        return await cursor.fetchall() if cursor.description else []


TWILIO = Twilio("AC1", "tw-key", "+15005550006")
NUMBER = "+46701740605"
