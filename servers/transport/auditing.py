"""Who calls, as the audit log writes it."""

from db.audit import Actor, ActorKind
from servers.transport.call import Call


def actor_of(call: Call) -> Actor:
    """The caller of a call: a user with the session (or API key) it came with, or a stranger."""
    identity = call.identity
    kind = ActorKind.USER if identity.user_id else ActorKind.NOBODY
    return Actor(kind, identity.user_id, identity.session_id, call.peer, call.request_id)
