"""What a user proves himself with beside the password: second factor, API keys; and the clients that may act for users."""

from sqlalchemy import ARRAY, ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.row import Big, Count, Octets, Row, TextKey, Time
from db.models.users import OctetsKey


class TotpRow(Row):
    """The second factor of a user; counts once `confirm_time` is set. `secret` is an envelope (db/sealing.py)."""

    __tablename__ = "totp_factors"

    user_id: Mapped[TextKey]
    secret: Mapped[Octets]
    create_time: Mapped[Time]
    confirm_time: Mapped[Time | None]
    last_step: Mapped[Big]
    failures: Mapped[Count]
    blocked_until: Mapped[Time | None]


class RecoveryCodeRow(Row):
    """A recovery code, as its SHA-256."""

    __tablename__ = "recovery_codes"

    code_hash: Mapped[OctetsKey]
    user_id: Mapped[str] = mapped_column(ForeignKey("totp_factors.user_id"))
    use_time: Mapped[Time | None]


class ApiKeyRow(Row):
    """An API key; `scopes` as tokens call them ("read"), `networks` in CIDR notation.

    Of its secret the SHA-256 is kept. One that signs (`signing` other than NONE) has its secret in an envelope (db/sealing.py),
    or its public key.
    """

    __tablename__ = "api_keys"

    api_key_id: Mapped[TextKey]
    user_id: Mapped[str] = mapped_column(ForeignKey("users.user_id"))
    name: Mapped[str]
    secret_hash: Mapped[Octets | None]
    signing: Mapped[str]
    secret: Mapped[Octets | None]
    public_key: Mapped[Octets | None]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    account_id: Mapped[str | None]
    networks: Mapped[list[str]] = mapped_column(ARRAY(Text))
    create_time: Mapped[Time]
    expire_time: Mapped[Time | None]
    last_use_time: Mapped[Time | None]
    revoke_time: Mapped[Time | None]


class ClientRow(Row):
    """A program that users may sign on to; `scopes` is the most that its tokens are good for."""

    __tablename__ = "clients"

    client_id: Mapped[TextKey]
    name: Mapped[str]
    redirect_uris: Mapped[list[str]] = mapped_column(ARRAY(Text))
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    create_time: Mapped[Time]


class AuthorizationCodeRow(Row):
    """An authorization code, as its SHA-256; once used, `given_session_id` is the session that it gave."""

    __tablename__ = "authorization_codes"

    code_hash: Mapped[OctetsKey]
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.client_id"))
    session_id: Mapped[str] = mapped_column(ForeignKey("sessions.session_id"))
    redirect_uri: Mapped[str]
    code_challenge: Mapped[str]
    create_time: Mapped[Time]
    expire_time: Mapped[Time]
    use_time: Mapped[Time | None]
    given_session_id: Mapped[str | None]
