"""Letters to users about what happened to their credentials (OWASP ASVS 6.3.7).

It has happened by then: a letter that is not taken changes nothing.
"""

from collections.abc import Mapping

import structlog

from db.models.users import UserRow
from db.outgoing import Letter
from servers.auth.outbox import Outbox
from servers.domain.errors import Overloaded
from servers.domain.letters import Template

log = structlog.get_logger()


def notify(outbox: Outbox, user: UserRow, template: Template, values: Mapping[str, str] | None = None) -> None:
    try:
        outbox.post(Letter(user.email, template, values or {}, user.user_id))
    except Overloaded:
        log.error("letter not taken", user_id=user.user_id, template=template.value)
