"""Users, their sessions, and the tokens that were given to them. Of a token only its SHA-256 is kept."""

from typing import Annotated

from sqlalchemy import ARRAY, ForeignKey, LargeBinary, Text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.row import Count, Octets, Row, TextKey, Time

OctetsKey = Annotated[bytes, mapped_column(LargeBinary, primary_key=True)]


class UserRow(Row):
    """A person or bot that may log in. `email` is as registered; `email_key` is unique, see `db.users.email_key`.

    Access tokens signed at a lower `access_version` are not good any more; it rose last at `access_change_time`.
    """

    __tablename__ = "users"

    user_id: Mapped[TextKey]
    email: Mapped[str]
    email_key: Mapped[str]
    password_hash: Mapped[str]
    display_name: Mapped[str]
    role: Mapped[str]
    email_verified: Mapped[bool]
    status: Mapped[str]
    create_time: Mapped[Time]
    access_version: Mapped[Count]
    access_change_time: Mapped[Time | None]


class SessionRow(Row):
    """A log-in and all tokens that come from it; over when `revoke_time` is set or `expire_time` has come.

    `use_time` is when tokens of it were last given, by the log-in or a refresh.
    `auth_time` is when it was last authenticated with all that the user has, `second_factor` whether that was two factors. One
    that was given to a client names it, and the `scopes` that it is held to.
    """

    __tablename__ = "sessions"

    session_id: Mapped[TextKey]
    user_id: Mapped[str] = mapped_column(ForeignKey("users.user_id"))
    address: Mapped[str]
    create_time: Mapped[Time]
    expire_time: Mapped[Time]
    revoke_time: Mapped[Time | None]
    revoke_reason: Mapped[str | None]
    user_agent: Mapped[str]
    use_time: Mapped[Time]
    auth_time: Mapped[Time]
    second_factor: Mapped[bool]
    client_id: Mapped[str | None]
    scopes: Mapped[list[str] | None] = mapped_column(ARRAY(Text))


class RefreshTokenRow(Row):
    """A refresh token; once used, `successor_nonce` and the token itself give its successor again."""

    __tablename__ = "refresh_tokens"

    token_hash: Mapped[OctetsKey]
    session_id: Mapped[str] = mapped_column(ForeignKey("sessions.session_id"))
    create_time: Mapped[Time]
    use_time: Mapped[Time | None]
    successor_nonce: Mapped[Octets | None]


class VerificationTokenRow(Row):
    """A token that was mailed to an address to show that it is the user's."""

    __tablename__ = "verification_tokens"

    token_hash: Mapped[OctetsKey]
    user_id: Mapped[str] = mapped_column(ForeignKey("users.user_id"))
    create_time: Mapped[Time]
    expire_time: Mapped[Time]
    use_time: Mapped[Time | None]


class MailedTokenRow(Row):
    """A token that was mailed to a user for one purpose, PASSWORD_RESET or UNLOCK."""

    __tablename__ = "mailed_tokens"

    token_hash: Mapped[OctetsKey]
    purpose: Mapped[str]
    user_id: Mapped[str] = mapped_column(ForeignKey("users.user_id"))
    create_time: Mapped[Time]
    expire_time: Mapped[Time]
    use_time: Mapped[Time | None]


class LoginPlaceRow(Row):
    """A network address that a user has proved to be at, last at `use_time`."""

    __tablename__ = "login_places"

    user_id: Mapped[TextKey] = mapped_column(ForeignKey("users.user_id"))
    address: Mapped[TextKey]
    use_time: Mapped[Time]
