"""A user logs in: e-mail and password, and the second factor where there is one, for tokens.

Unknown, frozen and unverified users and wrong passwords cost one hash each and get the same answer.
"""

from contextlib import suppress
from dataclasses import dataclass, field, replace

from sqlalchemy.ext.asyncio import AsyncEngine

from db import audit, login_places, user_sessions, users
from db.models.users import UserRow
from servers.auth.attempts import Attempt, Attempts, network_of
from servers.auth.errors import CredentialsInvalid
from servers.auth.identifiers import new_id
from servers.auth.passwords import Passwords
from servers.auth.second_factor import SecondFactor
from servers.auth.tokens import AccessTokens, Grant, RefreshTokens, token_hash
from servers.auth.unlock_login import Alarm
from servers.domain.errors import Overloaded, VenueError
from servers.transport.refusals import RateLimited


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What somebody gives to log in."""

    email: str
    password: str = field(repr=False)
    totp_code: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What a log-in passes through, and what a deployment decided about it."""

    engine: AsyncEngine
    passwords: Passwords
    attempts: Attempts
    alarm: Alarm
    factor: SecondFactor
    access: AccessTokens
    requires_verified: bool
    session_life_s: float


async def log_in(door: Door, given: Given, *, actor: audit.Actor, user_agent: str) -> Grant:
    """Open a session from the actor's address.

    Raises CredentialsInvalid, TotpRequired, TotpInvalid, RateLimited, Overloaded.
    """
    door.passwords.check_room()
    user = await users.find_user_by_email(door.engine, given.email)
    attempt = await _begin(door, user, given, actor)
    try:
        matches = await door.passwords.matches(given.password, None if user is None else user.password_hash)
    except Overloaded:
        await door.attempts.undo(attempt)
        raise
    try:
        if user is None or not matches or user.status != users.ACTIVE:
            raise CredentialsInvalid
        if door.requires_verified and not user.email_verified:
            raise CredentialsInvalid
        await door.attempts.succeed(attempt)
        proved = await door.factor.prove_at_login(user.user_id, given.totp_code, actor)
    except VenueError as refused:
        await _note_refusal(door, user, actor, refused)
        raise
    grant = await _open(door, user, actor, user_agent, second_factor=proved)
    if door.passwords.is_outdated(user.password_hash):
        with suppress(Overloaded):  # the next log-in is as good
            renewed = await door.passwords.hash(given.password)
            await users.replace_password_hash(door.engine, user.user_id, user.password_hash, renewed)
    return grant


async def _begin(door: Door, user: UserRow | None, given: Given, actor: audit.Actor) -> Attempt:
    """Raises RateLimited; the owner hears of it where others guess."""
    place, user_id = network_of(actor.address), "" if user is None else user.user_id
    known = await login_places.is_known(door.engine, user_id, place)
    try:
        return await door.attempts.begin(users.email_key(given.email), place, known=known)
    except RateLimited:
        # Who shows a good code has the factor in hand: its password is looked at however many others guess.
        if not known and await door.factor.shows(user_id, given.totp_code):
            return await door.attempts.begin(users.email_key(given.email), place, known=True)
        if not known:
            await door.alarm.ring(given.email, actor)
        raise


async def _note_refusal(door: Door, user: UserRow | None, actor: audit.Actor, refused: VenueError) -> None:
    found = "" if user is None else f"user/{user.user_id}"
    entry = audit.Entry(actor=actor, action=audit.Action.LOGIN, object=found, outcome=refused.reason)
    await audit.record(door.engine, entry)


async def _open(door: Door, user: UserRow, actor: audit.Actor, user_agent: str, *, second_factor: bool) -> Grant:
    """Raises CredentialsInvalid where the user was changed while the password was looked at."""
    refresh_token = RefreshTokens.first()
    session_id = new_id("ses")
    owner = replace(actor, kind=audit.ActorKind.USER, name=user.user_id, credential=session_id)
    session = await user_sessions.open_session(
        door.engine,
        user,
        session_id=session_id,
        address=actor.address,
        place=network_of(actor.address),
        user_agent=user_agent,
        refresh_hash=token_hash(refresh_token),
        life_s=door.session_life_s,
        second_factor=second_factor,
        entry=audit.Entry(actor=owner, action=audit.Action.LOGIN, object=f"user/{user.user_id}"),
    )
    if session is None:
        raise CredentialsInvalid
    return door.access.grant(user, session, refresh_token)
