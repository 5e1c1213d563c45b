"""What leaves the venue, where it may go, and who takes it."""

from typing import Any, Self

from pydantic import model_validator
from pydantic_settings import BaseSettings


class MessageSettings(BaseSettings):
    """Part of the settings (servers/config.py), which says what the variables are called."""

    # For development: webhooks may be posted to this machine too, and without TLS there.
    webhook_loopback: bool = False

    @model_validator(mode="after")
    def _outward(self) -> Self:
        settings: Any = self
        if self.webhook_loopback and settings.default_environment != "DEMO":
            raise ValueError("VENUE_WEBHOOK_LOOPBACK: is for development, never where the default environment is LIVE")
        return self
