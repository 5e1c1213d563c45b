"""What leaves the venue, where it may go, and who takes it."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings


class MessageSettings(BaseSettings):
    """Part of the settings (servers/config.py), which says what the variables are called."""

    # Mails go into the mailbox folder, or to this server: smtps://user:password@host:port, smtp+starttls://..., or smtp:// to
    # this machine alone.
    smtp_url: SecretStr | None = None
    mail_sender: str = "venue <no-reply@venue.local>"
    # Who takes mails, in order of preference: a later one takes what an earlier one does not (docs/mail.md). Unset: the server of
    # smtp_url, or the mailbox folder without one.
    mail_providers: list[Literal["mailbox", "smtp", "resend", "sendgrid", "mailgun", "postmark"]] = []
    # The keys of the companies among them, and where they are asked, if elsewhere than at home.
    mail_keys: dict[Literal["resend", "sendgrid", "mailgun", "postmark"], SecretStr] = {}
    mail_urls: dict[
        Literal["resend", "sendgrid", "mailgun", "postmark", "twilio"], Annotated[str, Field(pattern=r"^https?://")]
    ] = {}
    # Who takes text messages, in order of preference. Unset: the mailbox folder where DEMO is the default, and nobody elsewhere.
    sms_providers: list[Literal["mailbox", "twilio"]] = []
    # How Twilio knows us, and what it sends by: {"account": "AC...", "token": "...", "sender": "+1..." or "MG..."}.
    twilio: dict[Literal["account", "token", "sender"], SecretStr] = {}
    mailgun_domain: str = ""
    # For development: webhooks may be posted to this machine too, and without TLS there.
    webhook_loopback: bool = False

    @model_validator(mode="after")
    def _mailed(self) -> Self:
        for name in self.mail_providers:
            if name == "smtp" and self.smtp_url is None:
                raise ValueError("VENUE_SMTP_URL: is needed for the provider smtp")
            if name not in {"mailbox", "smtp"} and name not in self.mail_keys:
                raise ValueError(f"VENUE_MAIL_KEYS: has no key for the provider {name}")
            if name == "mailgun" and not self.mailgun_domain:
                raise ValueError("VENUE_MAILGUN_DOMAIN: is needed for the provider mailgun")
        return self

    @model_validator(mode="after")
    def _texted(self) -> Self:
        if ("twilio" in self.sms_providers) != (set(self.twilio) == {"account", "token", "sender"}):
            raise ValueError("VENUE_TWILIO: account, token and sender come with the provider twilio")
        return self

    @model_validator(mode="after")
    def _outward(self) -> Self:
        settings: Any = self
        if self.webhook_loopback and settings.default_environment != "DEMO":
            raise ValueError("VENUE_WEBHOOK_LOOPBACK: is for development, never where the default environment is LIVE")
        return self

    @property
    def mailers(self) -> list[str]:
        """Who takes mails, in order of preference."""
        return list(dict.fromkeys(self.mail_providers)) or ["mailbox" if self.smtp_url is None else "smtp"]

    @property
    def texters(self) -> list[str]:
        """Who takes text messages, in order of preference."""
        settings: Any = self
        own = ["mailbox"] if settings.default_environment == "DEMO" else []
        return list(dict.fromkeys(self.sms_providers)) or own

    @property
    def shown_mailbox(self) -> Path:
        """The folder of mails that a browser of this machine may read; a venue with real users has none."""
        settings: Any = self
        is_shown = settings.default_environment == "DEMO" and "mailbox" in self.mailers
        root: Path = settings.state.root
        return root / ("mailbox" if is_shown else "no-mailbox")
