"""Letters are stored, sent by the first provider that takes them, and forgotten; companies are spoken to in their own forms."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import httpx
import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from db import outgoing
from db.outgoing import Letter
from db.transactions import transaction
from servers.domain.letters import Category, Template
from servers.notify.companies import Company, Form
from servers.notify.provider import MailNotTaken
from servers.notify.smtp import Smtp
from servers.notify.writing import Mail
from tests.integration.notify.conftest import FORMS, LETTER, MAIL, SENDER, WRONG, Post, rows, sealer, sending
from tests.integration.webhook.conftest import eventually


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


@asynccontextmanager
async def dripping(first: bytes, then: bytes) -> AsyncIterator[str]:
    """A server that goes on talking for ever, a word at a time; its address."""
    talking: set[asyncio.Task[None]] = set()

    async def drip(writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(first)
            while not writer.is_closing():
                writer.write(then)
                await asyncio.sleep(0.05)
        finally:
            writer.transport.abort()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        talking.add(asyncio.create_task(drip(writer)))

    async with await asyncio.start_server(begin, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for task in talking:
        task.cancel()
    await asyncio.gather(*talking, return_exceptions=True)


async def test_whoever_goes_on_talking_is_left_at_the_deadline() -> None:
    """Each word comes in time; only all of them together do not."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
        company = await stack.enter_async_context(dripping(b"HTTP/1.1 200 OK\r\n", b"x-more: word\r\n"))
        server = await stack.enter_async_context(dripping(b"220-one\r\n", b"220-more\r\n"))
        for provider in (
            Company(FORMS[0], f"http://{company}", SENDER, client, deadline_s=0.5),
            Smtp(f"smtp://{server}", SENDER, whole_s=0.5),
        ):
            async with asyncio.timeout(20):
                with pytest.raises(MailNotTaken) as refused:
                    await provider.send(MAIL)
            assert (refused.value.unheard, refused.value.lasting) == (True, False)


async def test_a_letter_whose_seal_is_broken_holds_no_other_one_up(
    post: Post, tables: AsyncEngine, database_url: str
) -> None:
    for _ in range(3):
        await outgoing.add(tables, sealer(), LETTER)
    await rows(
        database_url,
        "UPDATE outgoing SET content = set_byte(content, length(content) - 1, get_byte(content, length(content) - 1) # 1)"
        " WHERE message_id = (SELECT max(message_id) FROM outgoing)",
    )

    async def is_left() -> bool:
        left = await rows(database_url, "SELECT state, next_time > now() + interval '10 minutes' FROM outgoing")
        return left == [("PENDING", True)]

    async with sending(tables, [post.company(FORMS[0])]):
        await eventually(is_left)
    assert len(post.companies.took) == 2


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
