"""Mail: what is sent, and the two ways it goes: into the local mailbox, or to a server over SMTP (`smtp.py`).

The local mailbox is a folder of .eml files, which any mail program can open.
"""

import asyncio
import os
import secrets
import time
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Final, Protocol

SENDER: Final = "venue <no-reply@venue.local>"


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail to one address. The text may hold a token, so it is never printed."""

    address: str = field(repr=False)
    subject: str
    text: str = field(repr=False)


class MailNotTaken(Exception):
    """The mail did not go out. `lasting`: it never will, so that trying again does not help."""

    def __init__(self, cause: str, *, lasting: bool = False) -> None:
        super().__init__(cause)
        self.lasting = lasting


class MailProvider(Protocol):
    """A way that mails go."""

    async def send(self, mail: Mail) -> None:
        """Returns once somebody else is answerable for the mail. Raises MailNotTaken."""


class Mailbox:
    """A folder of mails, readable by its owner alone. A file of it is whole or not there."""

    def __init__(self, folder: Path, sender: str = SENDER) -> None:
        self._folder = folder
        self._sender = sender

    async def send(self, mail: Mail) -> None:
        try:
            await asyncio.to_thread(self._write, message_of(mail, self._sender).as_bytes())
        except OSError as error:
            raise MailNotTaken(f"{type(error).__name__} in the mailbox folder") from error

    def _write(self, mail: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{time.time_ns()}-{secrets.token_hex(4)}"
        made = self._folder / f".{name}"
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(mail)
        made.replace(self._folder / f"{name}.eml")


def message_of(mail: Mail, sender: str) -> EmailMessage:
    """The mail as RFC 5322 has it."""
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = mail.address
    message["Subject"] = mail.subject
    message["Date"] = formatdate(usegmt=True)
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2].rstrip(">") or "venue.local")
    message.set_content(mail.text)
    return message
