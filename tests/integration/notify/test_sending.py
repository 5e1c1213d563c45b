"""Letters are stored, sent by the first provider that takes them, and forgotten; companies are spoken to in their own forms."""

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
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncEngine

from db import outgoing, phones
from db.outgoing import Letter
from db.sealing import INDEX, Sealer, new_entry
from db.session import SERVICES, engine
from db.transactions import transaction
from servers.domain.letters import Category, Channel, Template
from servers.notify.companies import Company, Form, Mailgun, Postmark, Resend, SendGrid, Twilio
from servers.notify.provider import MailNotTaken, Provider
from servers.notify.send_letters import LetterMeasures, Sender
from servers.notify.writing import Mail
from tests.integration.webhook.conftest import eventually

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


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
async def test_a_company_takes_a_mail_in_its_own_form(post: Post, form: Form) -> None:
    await post.company(form).send(MAIL)
    assert post.companies.took == [(form.name, MAIL.address, MAIL.subject, MAIL.text, MAIL.html)]


@pytest.mark.parametrize(("form", "wrong"), list(zip(FORMS, WRONG, strict=True)), ids=lambda form: form.name)
async def test_an_address_that_is_none_is_lasting_and_a_key_that_is_none_is_not(
    post: Post, form: Form, wrong: Form
) -> None:
    with pytest.raises(MailNotTaken) as refused:
        await post.company(form).send(Mail("nobody", "Verify", "x", "<p>x</p>"))
    assert refused.value.lasting
    for company in (post.company(wrong), post.company(form, "http://127.0.0.1:9")):
        with pytest.raises(MailNotTaken) as refused:
            await company.send(MAIL)
        assert not refused.value.lasting
        assert "key" not in str(refused.value)
    assert post.companies.took == []


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


async def test_a_letter_is_stored_sealed_sent_and_forgotten(post: Post, tables: AsyncEngine, database_url: str) -> None:
    await outgoing.add(tables, sealer(), LETTER)
    ((content,),) = await rows(database_url, "SELECT content FROM outgoing")
    assert b"vvt_1" not in bytes(content)
    assert b"ada" not in bytes(content)
    async with sending(tables, [post.company(FORMS[0])]):

        async def is_empty() -> bool:
            return not await rows(database_url, "SELECT message_id FROM outgoing")

        await eventually(is_empty)
    ((company, to, subject, text, _),) = post.companies.took
    assert (company, to, subject) == ("resend", "ada@example.com", "Verify your address")
    assert "Token: vvt_1\n" in text


async def test_a_deed_that_is_undone_sends_no_letter(tables: AsyncEngine, database_url: str) -> None:
    async with transaction(tables) as session:
        await session.begin()
        assert await outgoing.append(session, sealer(), LETTER)
        await session.rollback()
    assert await rows(database_url, "SELECT message_id FROM outgoing") == []


async def test_where_the_first_provider_fails_the_second_one_takes_it(
    post: Post, tables: AsyncEngine, database_url: str
) -> None:
    post.companies.down.add("resend")
    async with sending(tables, [post.company(FORMS[0]), post.company(FORMS[3])]) as registry:
        for _ in range(6):
            await outgoing.add(tables, sealer(), LETTER)
            await eventually(lambda: bool(post.companies.took))
        await eventually(lambda: len(post.companies.took) == 6)
        failed = registry.get_sample_value("venue_mail_letters_total", {"provider": "resend", "outcome": "failed"})
    assert {company for company, *_ in post.companies.took} == {"postmark"}
    # From the third failure on the first one is left alone; letters that were under way by then may have asked it too.
    assert failed is not None
    assert failed >= 3


async def test_a_letter_that_nobody_takes_waits_longer_each_time(
    post: Post, tables: AsyncEngine, database_url: str
) -> None:
    post.companies.down.add("resend")
    await outgoing.add(tables, sealer(), LETTER)

    async def is_put_off() -> bool:
        return await rows(database_url, "SELECT attempts FROM outgoing WHERE last_error <> ''") == [(1,)]

    async with sending(tables, [post.company(FORMS[0])]):
        await eventually(is_put_off)
    ((state, error, waits),) = await rows(
        database_url, "SELECT state, last_error, next_time > clock_timestamp() - interval '10 s' FROM outgoing"
    )
    assert (state, error, waits) == ("PENDING", "resend said 500", True)
    await rows(database_url, "UPDATE outgoing SET attempts = 14, next_time = clock_timestamp()")

    async def is_given_up() -> bool:
        return await rows(database_url, "SELECT state FROM outgoing") == [("FAILED",)]

    async with sending(tables, [post.company(FORMS[0])]):
        await eventually(is_given_up)


async def test_an_address_that_is_none_is_given_up_at_once(post: Post, tables: AsyncEngine, database_url: str) -> None:
    await outgoing.add(tables, sealer(), Letter("nobody", LETTER.template, LETTER.values))

    async def is_given_up() -> bool:
        return await rows(database_url, "SELECT state, attempts FROM outgoing") == [("FAILED", 1)]

    async with sending(tables, [post.company(FORMS[0]), post.company(FORMS[1])]):
        await eventually(is_given_up)
    assert post.companies.took == []


async def test_of_two_senders_one_takes_each_letter(post: Post, tables: AsyncEngine, database_url: str) -> None:
    for _ in range(20):
        await outgoing.add(tables, sealer(), LETTER)
    company = post.company(FORMS[0])

    async def is_empty() -> bool:
        return not await rows(database_url, "SELECT message_id FROM outgoing")

    async with sending(tables, [company]), sending(tables, [company]):
        await eventually(is_empty)
    assert len(post.companies.took) == 20


async def test_who_wants_no_mail_of_a_kind_gets_none_but_about_security(tables: AsyncEngine, database_url: str) -> None:
    async with transaction(tables) as session, session.begin():
        await outgoing.set_preferences(session, "usr-ada", {Category.FUNDING: (False, False)})
    assert await outgoing.list_preferences(tables, "usr-ada") == {
        Category.SECURITY: (True, False),
        Category.FUNDING: (False, False),
        Category.INTEGRATION: (True, False),
    }
    for template in (Template.DEPOSIT_CREDITED, Template.PASSWORD_CHANGED, Template.WEBHOOK_GONE):
        await outgoing.add(tables, sealer(), Letter("a@x.org", template, {}, "usr-ada"))
    stored = await rows(database_url, "SELECT template FROM outgoing ORDER BY create_time")
    assert stored == [("password_changed",), ("webhook_gone",)]
    with pytest.raises(psycopg.errors.CheckViolation):
        await rows(database_url, "INSERT INTO notification_preferences VALUES ('usr-ada', 'SECURITY', false)")


TWILIO = Twilio("AC1", "tw-key", "+15005550006")
NUMBER = "+46701740605"


async def test_twilio_takes_a_text_and_a_number_that_is_none_is_lasting_and_a_key_is_not(post: Post) -> None:
    await post.company(TWILIO).send(Mail(NUMBER, "Verify", "venue: a word", ""))
    assert post.companies.texts == [(NUMBER, "venue: a word")]
    for form, number, is_lasting in ((TWILIO, "nobody", True), (Twilio("AC1", "x", "+15005550006"), NUMBER, False)):
        with pytest.raises(MailNotTaken) as refused:
            await post.company(form).send(Mail(number, "Verify", "x", ""))
        assert refused.value.lasting == is_lasting


async def test_a_text_goes_beside_the_mail_to_a_confirmed_number_alone_by_whoever_takes_it(
    post: Post, tables: AsyncEngine, database_url: str
) -> None:
    values = {"amount": "5", "asset": "USD", "account_id": "live-1", "reference": "dep-1"}
    credited = Letter("ada@example.com", Template.DEPOSIT_CREDITED, values, "usr-ada")
    sealed, mark = phones.seal(sealer(), "usr-ada", NUMBER), phones.mark(sealer(), "usr-ada", "123456")
    async with transaction(tables) as session, session.begin():
        every = {Category.FUNDING: (True, True), Category.SECURITY: (True, True)}
        await outgoing.set_preferences(session, "usr-ada", every)
        assert await phones.set_number(session, "usr-ada", sealed, "605", mark) == 0

    async def tried(code: str) -> bool:
        async with transaction(tables) as session, session.begin():
            return await phones.confirm(session, "usr-ada", phones.mark(sealer(), "usr-ada", code))

    async def stored() -> list[tuple[str, str]]:
        return await rows(database_url, "SELECT channel, template FROM outgoing ORDER BY channel, template")

    await outgoing.add(tables, sealer(), credited)
    assert await stored() == [("MAIL", "deposit_credited")], "nobody has confirmed the number"
    assert [await tried(code) for code in ("000000", "123456", "123456")] == [False, True, False]
    for letter in (credited, LETTER):
        await outgoing.add(tables, sealer(), letter)
    # What holds a token goes by mail alone.
    assert await stored() == [
        ("MAIL", "deposit_credited"), ("MAIL", "deposit_credited"), ("MAIL", "verify_email"), ("SMS", "deposit_credited"),
    ]  # fmt: skip
    ((number,),) = await rows(database_url, "SELECT number FROM phone_numbers")
    assert NUMBER.encode() not in bytes(number)

    async def is_empty() -> bool:
        return await stored() == []

    away = post.company(TWILIO, "http://127.0.0.1:9")
    async with sending(tables, [post.company(FORMS[0])]), sending(tables, [away, post.company(TWILIO)], Channel.SMS):
        await eventually(is_empty)
    ((to, body),) = post.companies.texts
    assert to == NUMBER
    assert body.startswith("venue: ")
    assert "5 USD" in body
    assert len(post.companies.took) == 3


async def test_a_text_that_may_have_gone_out_goes_once_more_and_no_further(
    post: Post, tables: AsyncEngine, database_url: str
) -> None:
    post.companies.mute = True
    text = Letter(NUMBER, Template.PHONE_CODE, {"token": "123456"}, "usr-ada", Channel.SMS)
    await outgoing.add(tables, sealer(), text)
    due = "UPDATE outgoing SET next_time = clock_timestamp() WHERE state = 'PENDING' AND last_error <> ''"

    async def is_given_up() -> bool:
        await rows(database_url, due)
        return await rows(database_url, "SELECT state FROM outgoing") == [("FAILED",)]

    # Another company is not asked either: it would not know of the first.
    async with sending(tables, [post.company(TWILIO), post.company(TWILIO)], Channel.SMS):
        await eventually(is_given_up)
    assert len(post.companies.texts) == 2
    assert await rows(database_url, "SELECT attempts, unheard FROM outgoing") == [(2, 2)]
    # Whoever ended in the middle of it may have sent it, too.
    await rows(database_url, "UPDATE outgoing SET state = 'PENDING', next_time = clock_timestamp(), last_error = ''")
    async with sending(tables, [post.company(TWILIO)], Channel.SMS):
        await eventually(is_given_up)
    assert len(post.companies.texts) == 2
    # A refusal that was heard is no risk: it is tried as often as any letter.
    post.companies.mute = False
    await rows(database_url, "DELETE FROM outgoing")
    await outgoing.add(tables, sealer(), text)
    away = "UPDATE outgoing SET attempts = 9"
    await rows(database_url, away)
    nobody = post.company(TWILIO, "http://127.0.0.1:9")

    async def is_put_off() -> bool:
        return await rows(database_url, "SELECT attempts, unheard FROM outgoing WHERE last_error <> ''") == [(10, 0)]

    async with sending(tables, [nobody], Channel.SMS):
        await eventually(is_put_off)
    async with sending(tables, [post.company(TWILIO)], Channel.SMS):

        async def is_sent() -> bool:
            await rows(database_url, due)
            return not await rows(database_url, "SELECT 1 FROM outgoing")

        await eventually(is_sent)
    assert len(post.companies.texts) == 3


async def test_codes_are_few_and_guesses_fewer(tables: AsyncEngine) -> None:
    async with transaction(tables) as session, session.begin():
        outcomes = [
            await phones.set_number(session, "usr-ada", phones.seal(sealer(), "usr-ada", NUMBER), "605", bytes([n]))
            for n in range(phones.SENT_MAX + 1)
        ]
        assert outcomes[:-1] == [0] * phones.SENT_MAX
        assert 0 < outcomes[-1] <= 3600
        # Forgetting the number makes no codes free again.
        assert await phones.forget(session, "usr-ada")
        assert await phones.set_number(session, "usr-ada", b"\x01x", "605", b"") > 0
    async with transaction(tables) as session, session.begin():
        await session.execute(sql("UPDATE phone_numbers SET sent_since = now() - interval '2 hours'"))
        assert (
            await phones.set_number(session, "usr-ada", phones.seal(sealer(), "usr-ada", NUMBER), "605", b"right") == 0
        )
        guesses = [await phones.confirm(session, "usr-ada", b"wrong") for _ in range(phones.TRIES_MAX)]
        assert not any(guesses)
        assert not await phones.confirm(session, "usr-ada", b"right")
