"""Mail: written as .eml files into the local mailbox folder, where any mail program can open them."""

import asyncio
import os
import secrets
import time
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from pathlib import Path
from typing import Final

SENDER: Final = "venue <no-reply@venue.local>"


class Mailbox:
    """A folder of mails, readable by its owner alone. A file of it is whole or not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, address: str, subject: str, text: str) -> None:
        """Raises OSError where the folder cannot be written."""
        mail = EmailMessage(policy=SMTP)
        mail["From"] = SENDER
        mail["To"] = address
        mail["Subject"] = subject
        mail["Date"] = formatdate(usegmt=True)
        mail.set_content(text)
        await asyncio.to_thread(self._write, mail.as_bytes())

    def _write(self, mail: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{time.time_ns()}-{secrets.token_hex(4)}"
        made = self._folder / f".{name}"
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(mail)
        made.replace(self._folder / f"{name}.eml")
