"""Mails are files that any mail program opens."""

import stat
from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path

import pytest

from servers.auth.mail import Mailbox


@pytest.mark.parametrize(
    "address", ["ada@example.com", "a..b@example.com", ".x@example.com", "o'neil!#$%&*+/=?^_`{|}~-@example.com", "a@localhost"]
)  # fmt: skip
async def test_a_mail_is_one_whole_file(tmp_path: Path, address: str) -> None:
    await Mailbox(tmp_path / "mailbox").send(address, "Verify your address", "Token: vvt_x\n")
    (path,) = (tmp_path / "mailbox").iterdir()
    mail = message_from_bytes(path.read_bytes(), policy=SMTP)
    assert (path.suffix, stat.S_IMODE(path.stat().st_mode)) == (".eml", 0o600)
    assert (mail["To"], mail["Subject"], mail.get_content().splitlines()) == (
        address,
        "Verify your address",
        ["Token: vvt_x"],
    )
