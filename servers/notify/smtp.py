"""Mail to a server that takes it further, over SMTP (RFC 5321): with TLS, or in the clear to this machine alone."""

import asyncio
import smtplib
import socket
import ssl
from contextlib import suppress
from typing import Final
from urllib.parse import unquote, urlsplit

from servers.notify.mailbox import message_of
from servers.notify.provider import MailNotTaken
from servers.notify.writing import Mail

# For each word of the server's, and for all of them; whoever takes a letter has longer than that.
TIMEOUT_S: Final = 15.0
WHOLE_S: Final = 60.0
PORTS: Final = {"smtps": 465, "smtp+starttls": 587, "smtp": 25}
# Nobody listens between this machine and itself.
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class Smtp:
    """Hands each mail to the server at `address`: `smtps://user:password@host:port` (TLS from the first byte),
    `smtp+starttls://...` (TLS before anything is said) or, to this machine alone, `smtp://...`.

    Raises ValueError for any other address.
    """

    name = "smtp"

    def __init__(
        self, address: str, sender: str, *, trust: ssl.SSLContext | None = None, whole_s: float = WHOLE_S
    ) -> None:
        parts = urlsplit(address)
        if parts.scheme not in PORTS or not parts.hostname:
            raise ValueError("is not smtps://, smtp+starttls:// or smtp:// with a host")
        if parts.scheme == "smtp" and parts.hostname not in LOOPBACK:
            raise ValueError("smtp:// is in the clear: only to this machine; take smtps:// or smtp+starttls://")
        self._scheme = parts.scheme
        self._host = parts.hostname
        self._port = parts.port or PORTS[parts.scheme]
        self._login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        self._sender = sender
        self._whole_s = whole_s
        self._trust = trust or ssl.create_default_context()

    async def send(self, mail: Mail) -> None:
        """Raises MailNotTaken."""
        try:
            async with asyncio.timeout(self._whole_s):
                await asyncio.to_thread(self._send, mail)
        except TimeoutError:
            # The thread ends by itself, at the latest when the server has been silent for a while.
            raise MailNotTaken("no end in time", unheard=True) from None

    def _send(self, mail: Mail) -> None:
        try:
            server = self._connect()
            try:
                server.send_message(message_of(mail, self._sender))
            finally:
                with suppress(smtplib.SMTPException, OSError):
                    server.quit()
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            raise MailNotTaken(f"recipient refused: {codes}", lasting=all(code >= 500 for code in codes)) from None
        except smtplib.SMTPResponseException as error:
            raise MailNotTaken(f"server said {error.smtp_code}", lasting=error.smtp_code >= 500) from None
        except (smtplib.SMTPException, OSError) as error:
            raise MailNotTaken(type(error).__name__) from None

    def _connect(self) -> smtplib.SMTP:
        # Told to the server; left out, the library asks the name service for it, which may take long to know nothing.
        name = socket.gethostname()
        server = (
            smtplib.SMTP_SSL(self._host, self._port, name, timeout=TIMEOUT_S, context=self._trust)
            if self._scheme == "smtps"
            else smtplib.SMTP(self._host, self._port, name, timeout=TIMEOUT_S)
        )
        try:
            if self._scheme == "smtp+starttls":
                server.starttls(context=self._trust)
            if self._login is not None:
                server.login(*self._login)
        except (smtplib.SMTPException, OSError):
            server.close()
            raise
        return server
