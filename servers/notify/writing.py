"""Letters become mails: a plain and an HTML form of each, from the templates beside this file.

A template's plain form begins with its subject. What is put into the HTML form is escaped; a value that a template asks for and
was not given is an error, so that no mail has a hole.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from servers.domain.letters import Template

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES: Final = Path(__file__).parent / "templates"
# What a preview shows in the place of values.
SAMPLES: Final[Mapping[str, str]] = {
    "subject": "A word from the venue",
    "text": "Something has happened.\nAll is well.",
    "url": "https://venue.example",
    "token": "vvt_3f9a0c",
    "name": "trading bot",
    "scopes": "read, trade",
    "endpoint_id": "whe-6f1b",
    "endpoint_url": "https://hooks.example.com/venue",
    "amount": "1500.00",
    "asset": "USD",
    "account_id": "live-1a2b",
    "reference": "dep-77c1",
    "destination": "DE02 ... 2051",
    "reason": "the document could not be read",
    "level": "FULL",
}
# What a text message holds at most, in characters: two parts of one.
SMS_MAX: Final = 300


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail to one address. `key`: the same for the same letter, by which a provider may know a repetition."""

    address: str = field(repr=False)
    subject: str
    text: str = field(repr=False)
    html: str = field(repr=False)
    key: str = ""


@cache
def _environment() -> "Environment":
    from jinja2 import (  # only who writes letters pays for it
        Environment,
        FileSystemLoader,
        StrictUndefined,
        select_autoescape,
    )

    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def write_sms(number: str, template: Template, values: Mapping[str, str], key: str = "") -> Mail:
    """The text message of a letter: its subject, and the first lines of its plain form.

    Raises jinja2.UndefinedError where a value is missing.
    """
    mail = write(number, template, values, key)
    first = " ".join(mail.text.partition("\n\n")[0].split())
    text = f"venue: {mail.subject}. {first}"
    return Mail(number, mail.subject, text if len(text) <= SMS_MAX else text[: SMS_MAX - 3] + "...", "", key)


def write(address: str, template: Template, values: Mapping[str, str], key: str = "") -> Mail:
    """Raises jinja2.UndefinedError where a value is missing."""
    plain = _environment().get_template(f"{template.value}.txt").render(values)
    subject, _, text = plain.partition("\n\n")
    # A subject is one line, whatever a value holds.
    subject = " ".join(subject.removeprefix("Subject: ").split())
    html = _environment().get_template(f"{template.value}.html").render({**values, "subject": subject})
    return Mail(address, subject, text, html, key)
