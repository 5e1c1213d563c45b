"""Mails to users about what happened to their credentials (OWASP ASVS 6.3.7).

It has happened by then: a mail that cannot be written changes nothing.
"""

from typing import Final

import structlog

from db.models.users import UserRow
from servers.auth.mail import Mailbox

NOT_YOU: Final = "If it was not you, change your password and revoke your sessions and API keys at once."

log = structlog.get_logger()


async def notify(mailbox: Mailbox, user: UserRow, subject: str, text: str) -> None:
    try:
        await mailbox.send(user.email, subject, f"{text}\n\n{NOT_YOU}\n")
    except OSError as error:
        log.error("mail not written", user_id=user.user_id, subject=subject, cause=str(error))
