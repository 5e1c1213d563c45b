"""The local mailbox: a folder of mails as .eml files, which any mail program can open, and of pages that a browser shows."""

import asyncio
import html
import os
import secrets
import time
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Final

from servers.notify.provider import MailNotTaken
from servers.notify.writing import Mail

SENDER: Final = "venue <no-reply@venue.local>"
LISTED_MAX: Final = 200
# Of a mail nothing runs and nothing is fetched.
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
PAGE: Final = """\
<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy" content="{policy}">
<style>body{{font:15px/1.5 sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}}pre{{white-space:pre-wrap}}</style>
</head><body>{body}</body></html>
"""


class Mailbox:
    """A folder of mails, readable by its owner alone. A file of it is whole or not there."""

    name = "mailbox"

    def __init__(self, folder: Path, sender: str = SENDER) -> None:
        self._folder = folder
        self._sender = sender
        self._one_at_a_time = asyncio.Lock()

    async def send(self, mail: Mail) -> None:
        try:
            async with self._one_at_a_time:
                await asyncio.to_thread(self._keep, mail)
        except OSError as error:
            raise MailNotTaken(f"{type(error).__name__} in the mailbox folder") from error

    def _keep(self, mail: Mail) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{time.time_ns()}-{secrets.token_hex(4)}"
        self._write(f"{name}.html", page_of(mail).encode())
        self._write(f"{name}.eml", message_of(mail, self._sender).as_bytes())
        self._write("index.html", self._index().encode())

    def _write(self, name: str, content: bytes) -> None:
        # Several processes may write into the folder at once.
        made = self._folder / f".{name}.{secrets.token_hex(4)}"
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        made.replace(self._folder / name)

    def _index(self) -> str:
        """The page that lists the newest mails."""
        mails = sorted(self._folder.glob("[0-9]*.html"), reverse=True)[:LISTED_MAX]
        lines = "".join(f"<li><a href='{path.name}'>{title_of(path)}</a></li>" for path in mails)
        return PAGE.format(title="Mailbox", policy=POLICY, body=f"<h1>Mailbox</h1><ol reversed>{lines}</ol>")


def title_of(page: Path) -> str:
    """The title of a page, escaped as it is there."""
    return page.read_text(encoding="utf-8").partition("<title>")[2].partition("</title>")[0]


def page_of(mail: Mail) -> str:
    """A mail as a page: its head, then its plain form."""
    head = f"{mail.address}: {mail.subject}"
    body = f"<p><a href='index.html'>all mails</a></p><h1>{html.escape(mail.subject)}</h1><p>to {html.escape(mail.address)}</p>"
    return PAGE.format(title=html.escape(head), policy=POLICY, body=f"{body}<pre>{html.escape(mail.text)}</pre>")


def message_of(mail: Mail, sender: str) -> EmailMessage:
    """The mail as RFC 5322 has it, with both its forms."""
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = mail.address
    message["Subject"] = mail.subject
    message["Date"] = formatdate(usegmt=True)
    domain = sender.rpartition("@")[2].rstrip(">") or "venue.local"
    message["Message-ID"] = f"<{mail.key}@{domain}>" if mail.key else make_msgid(domain=domain)
    message.set_content(mail.text)
    if mail.html:
        message.add_alternative(mail.html, subtype="html")
    return message
