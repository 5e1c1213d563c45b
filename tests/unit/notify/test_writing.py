"""Letters as mails: every kind has both forms, whole and escaped; the mailbox keeps them as files and pages."""

import asyncio
import re
import stat
from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from typer.testing import CliRunner

from servers.domain.letters import CATEGORIES, Category, Template, category_of
from servers.notify.command import app
from servers.notify.mailbox import Mailbox
from servers.notify.provider import OPENS_AFTER, Breaker, MailNotTaken
from servers.notify.writing import SAMPLES, TEMPLATES, Mail, write

MAIL = Mail("ada@example.com", "Verify your address", "Token: vvt_x\n", "<p>Token: vvt_x</p>\n")


@pytest.mark.parametrize("template", Template)
def test_a_letter_says_the_same_in_both_forms(template: Template) -> None:
    mail = write("ada@example.com", template, SAMPLES)
    assert mail.subject
    assert mail.text.strip()
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", mail.html.partition("<h1")[2].partition(">")[2])).strip()
    for told in re.findall(r"\w+", mail.text):
        assert told in words, told
    assert "{{" not in mail.text + mail.html


def test_there_is_a_file_for_every_letter_and_no_other() -> None:
    names = {path.name for path in TEMPLATES.iterdir()}
    assert names == {"layout.html"} | {f"{each.value}.{form}" for each in Template for form in ("txt", "html")}


def test_a_value_is_never_markup_and_no_subject_has_two_lines() -> None:
    mail = write("ada@example.com", Template.API_KEY_MADE, {"name": "<script>x</script>", "scopes": "read"})
    assert "<script>" not in mail.html
    assert "&lt;script&gt;" in mail.html
    assert "<script>" in mail.text
    notice = write("ada@example.com", Template.NOTICE, {"subject": "a\r\nBcc: eve@example.com", "text": "x"})
    assert notice.subject == "a Bcc: eve@example.com"


def test_a_letter_without_a_value_is_not_written() -> None:
    with pytest.raises(UndefinedError):
        write("ada@example.com", Template.VERIFY_EMAIL, {"url": "x"})


def test_what_is_about_security_is_for_everybody() -> None:
    security = {template for template in Template if category_of(template) is Category.SECURITY}
    assert security == set(Template) - set(CATEGORIES)
    assert {Template.PASSWORD_CHANGED, Template.LOGIN_GUESSED, Template.WITHDRAWAL_REQUESTED} < security


@pytest.mark.parametrize("address", ["ada@example.com", "O'Neil+{x}@example.com"])
async def test_a_mail_is_a_file_for_its_owner_alone(tmp_path: Path, address: str) -> None:
    await Mailbox(tmp_path / "mailbox").send(Mail(address, "Verify your address", "Token: vvt_x\n", "<p>x</p>\n"))
    (path,) = (tmp_path / "mailbox").glob("*.eml")
    mail = message_from_bytes(path.read_bytes(), policy=SMTP)
    assert (mail["To"], mail["Subject"]) == (address, "Verify your address")
    part = mail.get_body(("plain",))
    assert part is not None
    assert part.get_content().replace("\r\n", "\n") == "Token: vvt_x\n"
    assert {stat.S_IMODE(each.stat().st_mode) for each in (tmp_path / "mailbox").iterdir()} == {0o600}


async def test_a_browser_shows_the_newest_mail_first_and_runs_nothing_of_it(tmp_path: Path) -> None:
    mailbox = Mailbox(tmp_path)
    await mailbox.send(MAIL)
    await mailbox.send(Mail("<b>@example.com", "<script>1</script>", "<img src=x>", "<script>2</script>"))
    index = (tmp_path / "index.html").read_text()
    assert index.index("&lt;script&gt;1") < index.index("ada@example.com: Verify your address")
    for page in sorted(tmp_path.glob("*.html")):  # noqa: ASYNC240  nothing else runs
        assert "<script" not in page.read_text()
        assert "<img" not in page.read_text()
        assert "default-src 'none'" in page.read_text()


async def test_processes_that_write_at_once_lose_no_mail(tmp_path: Path) -> None:
    await asyncio.gather(*(Mailbox(tmp_path).send(MAIL) for _ in range(20)))
    names = [path.name for path in tmp_path.iterdir()]  # noqa: ASYNC240  nothing else runs
    assert len([name for name in names if name.endswith(".eml")]) == 20
    assert not [name for name in names if name.startswith(".")]


async def test_a_mailbox_that_cannot_be_written_did_not_take_the_mail(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MailNotTaken):
        await Mailbox(tmp_path / "file").send(MAIL)


def test_a_provider_that_fails_is_left_alone_for_a_while() -> None:
    breaker = Breaker()
    for _ in range(OPENS_AFTER - 1):
        breaker.failed()
        assert not breaker.is_open
    breaker.failed()
    assert breaker.is_open
    breaker.worked()
    assert not breaker.is_open


def test_neither_address_nor_token_is_printed() -> None:
    assert "ada" not in repr(MAIL)
    assert "vvt" not in repr(MAIL)


def test_letters_are_previewed() -> None:
    listed = CliRunner().invoke(app, ["preview"])
    assert listed.output.split() == [each.value for each in Template]
    plain = CliRunner().invoke(app, ["preview", "verify_email"])
    assert plain.output.startswith("Subject: Verify your address\n\nSomebody, hopefully you")
    assert SAMPLES["token"] in plain.output
    pages = CliRunner().invoke(app, ["preview", "deposit_credited", "--html"])
    assert pages.output.startswith("<!doctype html>")
