"""Mail and text messages through companies that take them over HTTP: Resend, SendGrid, Mailgun, Postmark; Twilio.

Each is a request in the company's own form. What is said of the address (no such mailbox, suppressed) is lasting; all else, a key
that does not hold included, is the company's, and another one may do better.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parseaddr
from http import HTTPStatus
from typing import Any, Final, Protocol

import httpx

from servers.notify.provider import MailNotTaken
from servers.notify.writing import Mail

DEADLINE_S: Final = 15.0
URLS: Final[Mapping[str, str]] = {
    "resend": "https://api.resend.com",
    "sendgrid": "https://api.sendgrid.com",
    "mailgun": "https://api.mailgun.net",
    "postmark": "https://api.postmarkapp.com",
    "twilio": "https://api.twilio.com",
}
# Before these nothing was said to anybody.
UNSAID: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
# Somebody before the company says that it does not know, or the company itself.
UNHEARD: Final = frozenset({HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT})
# Postmark's codes for an address that is none, or that is suppressed.
POSTMARK_ADDRESSES: Final = frozenset({300, 406})
# Twilio's codes for a number that is none, that has said that it wants no more, or that takes no text messages.
TWILIO_NUMBERS: Final = frozenset({21211, 21217, 21610, 21614})


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: a path, headers, and a body as JSON or as a form."""

    path: str
    headers: Mapping[str, str] = field(repr=False)
    json: Mapping[str, Any] | None = field(default=None, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    auth: tuple[str, str] | None = field(default=None, repr=False)


class Form(Protocol):
    """A company's form."""

    @property
    def name(self) -> str: ...

    def ask(self, mail: Mail, sender: str) -> Asked: ...

    def is_lasting(self, response: httpx.Response) -> bool:
        """Whether a refusal is about the address."""


class Company:
    """Sends through a company."""

    def __init__(
        self, form: Form, url: str, sender: str, client: httpx.AsyncClient, *, deadline_s: float = DEADLINE_S
    ) -> None:
        self.name = form.name
        self._deadline_s = deadline_s
        self._form, self._url, self._sender, self._client = form, url.rstrip("/"), sender, client

    async def send(self, mail: Mail) -> None:
        """Raises MailNotTaken."""
        asked = self._form.ask(mail, self._sender)
        try:
            # The client's own time-out is for each word by itself.
            async with asyncio.timeout(self._deadline_s):
                response = await self._client.post(
                    self._url + asked.path,
                    headers=dict(asked.headers),
                    json=asked.json,
                    data=asked.form,
                    auth=httpx.USE_CLIENT_DEFAULT if asked.auth is None else asked.auth,
                    timeout=self._deadline_s,
                )
        except TimeoutError:
            raise MailNotTaken(f"{self.name}: no answer in time", unheard=True) from None
        except httpx.HTTPError as error:
            raise MailNotTaken(f"{self.name}: {type(error).__name__}", unheard=not isinstance(error, UNSAID)) from None
        if not response.is_success:
            unheard = response.status_code in UNHEARD
            lasting = self._form.is_lasting(response)
            raise MailNotTaken(f"{self.name} said {response.status_code}", lasting=lasting, unheard=unheard)


def _json(response: httpx.Response) -> Mapping[str, Any]:
    try:
        found = response.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class Resend:
    key: str = field(repr=False)
    name: str = "resend"

    def ask(self, mail: Mail, sender: str) -> Asked:
        body = {"from": sender, "to": [mail.address], "subject": mail.subject, "text": mail.text, "html": mail.html}
        headers = {"authorization": f"Bearer {self.key}"} | ({"idempotency-key": mail.key} if mail.key else {})
        return Asked("/emails", headers, json=body)

    def is_lasting(self, response: httpx.Response) -> bool:
        told = _json(response)
        return told.get("name") == "validation_error" and "`to`" in str(told.get("message"))


@dataclass(frozen=True, slots=True)
class SendGrid:
    key: str = field(repr=False)
    name: str = "sendgrid"

    def ask(self, mail: Mail, sender: str) -> Asked:
        shown, address = parseaddr(sender)
        body = {
            "personalizations": [{"to": [{"email": mail.address}], "custom_args": {"letter": mail.key}}],
            "from": {"email": address, "name": shown},
            "subject": mail.subject,
            "content": [{"type": "text/plain", "value": mail.text}, {"type": "text/html", "value": mail.html}],
        }
        return Asked("/v3/mail/send", {"authorization": f"Bearer {self.key}"}, json=body)

    def is_lasting(self, response: httpx.Response) -> bool:
        errors = _json(response).get("errors") or []
        return response.status_code == HTTPStatus.BAD_REQUEST and any(
            str(each.get("field", "")).startswith("personalizations") and ".to" in str(each["field"]) for each in errors
        )


@dataclass(frozen=True, slots=True)
class Mailgun:
    key: str = field(repr=False)
    domain: str
    name: str = "mailgun"

    def ask(self, mail: Mail, sender: str) -> Asked:
        form = {
            "from": sender,
            "to": mail.address,
            "subject": mail.subject,
            "text": mail.text,
            "html": mail.html,
            "v:letter": mail.key,
        }
        return Asked(f"/v3/{self.domain}/messages", {}, form=form, auth=("api", self.key))

    def is_lasting(self, response: httpx.Response) -> bool:
        said = str(_json(response).get("message"))
        return response.status_code == HTTPStatus.BAD_REQUEST and "'to' parameter" in said


@dataclass(frozen=True, slots=True)
class Postmark:
    key: str = field(repr=False)
    name: str = "postmark"

    def ask(self, mail: Mail, sender: str) -> Asked:
        body = {
            "From": sender,
            "To": mail.address,
            "Subject": mail.subject,
            "TextBody": mail.text,
            "HtmlBody": mail.html,
            "MessageStream": "outbound",
            "Metadata": {"letter": mail.key},
        }
        return Asked("/email", {"x-postmark-server-token": self.key, "accept": "application/json"}, json=body)

    def is_lasting(self, response: httpx.Response) -> bool:
        return _json(response).get("ErrorCode") in POSTMARK_ADDRESSES


@dataclass(frozen=True, slots=True)
class Twilio:
    """`sender` is a number of ours, or a messaging service (MG...). It knows no keys by which it would know a repetition."""

    account: str
    token: str = field(repr=False)
    sender: str
    name: str = "twilio"

    def ask(self, mail: Mail, sender: str) -> Asked:
        del sender
        by = "MessagingServiceSid" if self.sender.startswith("MG") else "From"
        form = {"To": mail.address, by: self.sender, "Body": mail.text}
        path = f"/2010-04-01/Accounts/{self.account}/Messages.json"
        return Asked(path, {}, form=form, auth=(self.account, self.token))

    def is_lasting(self, response: httpx.Response) -> bool:
        return response.status_code == HTTPStatus.BAD_REQUEST and _json(response).get("code") in TWILIO_NUMBERS
