"""Who calls, as the audit log writes it: over the wire, and from the terminal of the machine itself."""

import getpass

from db import audit, session
from db.audit import Actor, ActorKind, Entry
from db.session import SERVICES
from servers.transport.call import Call


def actor_of(call: Call) -> Actor:
    """The caller of a call: a user with the session (or API key) it came with, or a stranger."""
    identity = call.identity
    kind = ActorKind.USER if identity.user_id else ActorKind.NOBODY
    return Actor(kind, identity.user_id, identity.session_id, call.peer, call.request_id)


def operator() -> Actor:
    """Who sits at this machine's terminal."""
    return Actor(ActorKind.OPERATOR, getpass.getuser())


async def note(database: str, entry: Entry) -> None:
    """Append the entry of a command's deed. Raises PartUnavailable."""
    engine = session.engine(database, application_name="venue audit", role=SERVICES)
    try:
        await audit.record(engine, entry)
    finally:
        await engine.dispose()
