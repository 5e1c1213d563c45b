"""Mails to users about what happened to their credentials (OWASP ASVS 6.3.7).

It has happened by then: a mail that is not taken changes nothing.
"""

from typing import Final

import structlog

from db.models.users import UserRow
from servers.auth.mail import Mail
from servers.auth.outbox import Outbox
from servers.domain.errors import Overloaded

NOT_YOU: Final = "If it was not you, change your password and revoke your sessions and API keys at once."

log = structlog.get_logger()


def notify(outbox: Outbox, user: UserRow, subject: str, text: str) -> None:
    try:
        outbox.post(Mail(user.email, subject, f"{text}\n\n{NOT_YOU}\n"))
    except Overloaded:
        log.error("mail not taken", user_id=user.user_id, subject=subject)
