"""Passwords that are changed and reset, sessions that are listed, places that a user is known at, and what ends access tokens."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# Access tokens carry the version of the time they were signed at; one that is lower than the user's is not good any more.
TABLES = """
ALTER TABLE users
    ADD COLUMN access_version      integer NOT NULL DEFAULT 0,
    ADD COLUMN access_change_time  timestamptz;
CREATE INDEX users_by_access_change_time ON users (access_change_time) WHERE access_change_time IS NOT NULL;

ALTER TABLE sessions
    ADD COLUMN user_agent  text NOT NULL DEFAULT '',
    ADD COLUMN use_time    timestamptz NOT NULL DEFAULT now();
UPDATE sessions SET use_time = create_time;

-- Tokens that are mailed for one purpose; those that verify an address have a table of their own.
CREATE TABLE mailed_tokens (
    token_hash   bytea       NOT NULL PRIMARY KEY CHECK (length(token_hash) = 32),
    purpose      text        NOT NULL CHECK (purpose IN ('PASSWORD_RESET', 'UNLOCK')),
    user_id      text        NOT NULL REFERENCES users,
    create_time  timestamptz NOT NULL DEFAULT now(),
    expire_time  timestamptz NOT NULL,
    use_time     timestamptz
);
CREATE INDEX mailed_tokens_by_user ON mailed_tokens (user_id, purpose, create_time);
CREATE INDEX mailed_tokens_by_expire_time ON mailed_tokens (expire_time);

-- Network addresses that a user has proved to be at: guesses made elsewhere do not stand between them.
CREATE TABLE login_places (
    user_id   text        NOT NULL REFERENCES users,
    address   text        NOT NULL,
    use_time  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, address)
);
CREATE INDEX login_places_by_use_time ON login_places (use_time);
"""

GRANTS = """
GRANT SELECT, INSERT, UPDATE, DELETE ON mailed_tokens, login_places TO venue_services;
GRANT SELECT (user_id, access_version, access_change_time) ON users TO venue_engine, venue_projector;
"""


def upgrade() -> None:
    for statements in (TABLES, GRANTS):
        op.get_bind().exec_driver_sql(statements)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
