"""Users, sessions and their tokens, written by the services."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE users (
    user_id         text        NOT NULL PRIMARY KEY,
    email           text        NOT NULL,
    email_key       text        NOT NULL UNIQUE,
    password_hash   text        NOT NULL,
    display_name    text        NOT NULL DEFAULT '',
    role            text        NOT NULL DEFAULT 'USER'
                    CHECK (role IN ('USER', 'MARKET_MAKER', 'SUPPORT', 'COMPLIANCE', 'ADMIN')),
    email_verified  boolean     NOT NULL DEFAULT false,
    status          text        NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE', 'FROZEN')),
    create_time     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE sessions (
    session_id     text        NOT NULL PRIMARY KEY,
    user_id        text        NOT NULL REFERENCES users,
    address        text        NOT NULL DEFAULT '',
    create_time    timestamptz NOT NULL DEFAULT now(),
    expire_time    timestamptz NOT NULL,
    revoke_time    timestamptz,
    revoke_reason  text,
    CHECK ((revoke_time IS NULL) = (revoke_reason IS NULL))
);
CREATE INDEX sessions_by_user ON sessions (user_id, create_time DESC);
CREATE INDEX sessions_by_revoke_time ON sessions (revoke_time) WHERE revoke_time IS NOT NULL;
CREATE INDEX sessions_by_expire_time ON sessions (expire_time);

CREATE TABLE refresh_tokens (
    token_hash       bytea       NOT NULL PRIMARY KEY CHECK (length(token_hash) = 32),
    session_id       text        NOT NULL REFERENCES sessions ON DELETE CASCADE,
    create_time      timestamptz NOT NULL DEFAULT now(),
    use_time         timestamptz,
    successor_nonce  bytea,
    CHECK ((use_time IS NULL) = (successor_nonce IS NULL))
);
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);
-- A session has one token that is good: a second rotation of the same one cannot be stored.
CREATE UNIQUE INDEX refresh_tokens_unused ON refresh_tokens (session_id) WHERE use_time IS NULL;

CREATE TABLE verification_tokens (
    token_hash   bytea       NOT NULL PRIMARY KEY CHECK (length(token_hash) = 32),
    user_id      text        NOT NULL REFERENCES users,
    create_time  timestamptz NOT NULL DEFAULT now(),
    expire_time  timestamptz NOT NULL,
    use_time     timestamptz
);
CREATE INDEX verification_tokens_by_user ON verification_tokens (user_id);
CREATE INDEX verification_tokens_by_expire_time ON verification_tokens (expire_time);
"""

# Every server asks which sessions were ended; nobody but the services reads anything else of a person.
GRANTS = """
GRANT SELECT, INSERT, UPDATE ON users TO venue_services;
GRANT SELECT, INSERT, UPDATE, DELETE ON sessions, refresh_tokens, verification_tokens TO venue_services;
GRANT SELECT (session_id, revoke_time) ON sessions TO venue_engine, venue_projector;
"""


def upgrade() -> None:
    for statements in (TABLES, GRANTS):
        op.get_bind().exec_driver_sql(statements)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
