"""Mails: whole files in the mailbox, tried again where they were not taken, given up in the end."""

import asyncio
import stat
from collections.abc import Sequence
from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path

import pytest

from servers.auth.mail import Mail, Mailbox, MailNotTaken
from servers.auth.outbox import TRIES, WAITING_MAX, Outbox
from servers.domain.errors import Overloaded, PartUnavailable

MAIL = Mail("ada@example.com", "Verify your address", "Token: vvt_x\n")


class Scripted:
    """A provider that does what it was told, in turn."""

    def __init__(self, outcomes: Sequence[Exception | None]) -> None:
        self.outcomes = list(outcomes)
        self.sent: list[Mail] = []

    async def send(self, mail: Mail) -> None:
        outcome = self.outcomes.pop(0)
        if outcome is not None:
            raise outcome
        self.sent.append(mail)


@pytest.mark.parametrize("address", ["ada@example.com", "O'Neil+{x}@example.com"])
async def test_a_mail_is_a_file_for_its_owner_alone(tmp_path: Path, address: str) -> None:
    await Mailbox(tmp_path / "mailbox").send(Mail(address, "Verify your address", "Token: vvt_x\n"))
    (path,) = (tmp_path / "mailbox").iterdir()
    mail = message_from_bytes(path.read_bytes(), policy=SMTP)
    assert (mail["To"], mail["Subject"]) == (address, "Verify your address")
    assert mail.get_content().replace("\r\n", "\n") == "Token: vvt_x\n"
    assert (stat.S_IMODE(path.stat().st_mode), path.suffix) == (0o600, ".eml")


async def test_a_mailbox_that_cannot_be_written_did_not_take_the_mail(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MailNotTaken):
        await Mailbox(tmp_path / "file").send(MAIL)


async def test_a_mail_that_was_not_taken_is_tried_again() -> None:
    provider = Scripted([MailNotTaken("away"), PartUnavailable("x"), None])
    outbox = Outbox(provider, first_wait_s=0.001)
    async with outbox.sending():
        outbox.post(MAIL)
        await outbox.empty()
    assert provider.sent == [MAIL]


async def test_a_mail_that_never_will_be_taken_is_not() -> None:
    provider = Scripted([MailNotTaken("no such mailbox", lasting=True), None])
    outbox = Outbox(provider, first_wait_s=0.001)
    async with outbox.sending():
        outbox.post(MAIL)
        await outbox.empty()
    assert (provider.sent, len(provider.outcomes)) == ([], 1)


async def test_it_is_given_up_in_the_end_and_the_next_one_goes() -> None:
    provider = Scripted([MailNotTaken("away")] * TRIES + [None])
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
