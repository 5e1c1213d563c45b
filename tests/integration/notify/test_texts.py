"""Text messages: taken by Twilio, to confirmed numbers alone, and twice at most where nobody hears of them."""

import pytest
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncEngine

from db import outgoing, phones
from db.outgoing import Letter
from db.transactions import transaction
from servers.domain.letters import Category, Channel, Template
from servers.notify.companies import Twilio
from servers.notify.provider import MailNotTaken
from servers.notify.writing import Mail
from tests.integration.notify.conftest import FORMS, LETTER, NUMBER, TWILIO, Post, rows, sealer, sending
from tests.integration.webhook.conftest import eventually


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
