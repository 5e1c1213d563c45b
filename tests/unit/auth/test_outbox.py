"""Letters on their way to whoever stores them: tried again where they were not taken, given up in the end."""

import asyncio
from collections.abc import Sequence

import pytest

from db.outgoing import Letter
from servers.auth.mail import LetterNotTaken
from servers.auth.outbox import TRIES, WAITING_MAX, Outbox
from servers.domain.errors import Overloaded, PartUnavailable
from servers.domain.letters import Template

MAIL = Letter("ada@example.com", Template.VERIFY_EMAIL, {"token": "vvt_x"})


class Scripted:
    """A provider that does what it was told, in turn."""

    def __init__(self, outcomes: Sequence[Exception | None]) -> None:
        self.outcomes = list(outcomes)
        self.sent: list[Letter] = []

    async def send(self, mail: Letter) -> None:
        outcome = self.outcomes.pop(0)
        if outcome is not None:
            raise outcome
        self.sent.append(mail)


async def test_a_mail_that_was_not_taken_is_tried_again() -> None:
    provider = Scripted([LetterNotTaken("away"), PartUnavailable("x"), None])
    outbox = Outbox(provider, first_wait_s=0.001)
    async with outbox.sending():
        outbox.post(MAIL)
        await outbox.empty()
    assert provider.sent == [MAIL]


async def test_it_is_given_up_in_the_end_and_the_next_one_goes() -> None:
    provider = Scripted([LetterNotTaken("away")] * TRIES + [None])
    outbox = Outbox(provider, first_wait_s=0.0001)
    async with outbox.sending():
        outbox.post(MAIL)
        await outbox.empty()
        outbox.post(MAIL)
        await outbox.empty()
    assert provider.sent == [MAIL]


async def test_what_waits_is_bounded() -> None:
    outbox = Outbox(Scripted([]))
    for _ in range(WAITING_MAX):
        outbox.check_room()
        outbox.post(MAIL)
    for full in (outbox.check_room, lambda: outbox.post(MAIL)):
        with pytest.raises(Overloaded):
            full()


async def test_what_waits_at_the_end_is_sent() -> None:
    provider = Scripted([None] * 20)
    outbox = Outbox(provider)
    async with outbox.sending():
        for _ in range(20):
            outbox.post(MAIL)
        await asyncio.sleep(0)
    assert len(provider.sent) == 20


def test_neither_address_nor_token_is_printed() -> None:
    assert "ada" not in repr(MAIL)
    assert "vvt" not in repr(MAIL)
