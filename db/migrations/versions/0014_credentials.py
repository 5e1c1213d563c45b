"""Second factors, API keys, and the clients that users sign on to."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# When a session was authenticated last, and whether with a second factor; what a client's session is good for (NULL: everything).
SESSIONS = """
ALTER TABLE sessions
    ADD COLUMN auth_time      timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN second_factor  boolean     NOT NULL DEFAULT false,
    ADD COLUMN client_id      text,
    ADD COLUMN scopes         text[];
"""

TABLES = """
CREATE TABLE totp_factors (
    user_id        text        NOT NULL PRIMARY KEY REFERENCES users,
    secret         bytea       NOT NULL CHECK (get_byte(secret, 0) = 1),
    create_time    timestamptz NOT NULL DEFAULT now(),
    confirm_time   timestamptz,
    last_step      bigint      NOT NULL DEFAULT 0,
    failures       integer     NOT NULL DEFAULT 0,
    blocked_until  timestamptz
);

CREATE TABLE recovery_codes (
    code_hash  bytea  NOT NULL PRIMARY KEY CHECK (length(code_hash) = 32),
    user_id    text   NOT NULL REFERENCES totp_factors ON DELETE CASCADE,
    use_time   timestamptz
);
CREATE INDEX recovery_codes_by_user ON recovery_codes (user_id);

CREATE TABLE api_keys (
    api_key_id     text        NOT NULL PRIMARY KEY,
    user_id        text        NOT NULL REFERENCES users,
    name           text        NOT NULL,
    secret_hash    bytea       NOT NULL CHECK (length(secret_hash) = 32),
    scopes         text[]      NOT NULL CHECK (scopes <@ '{read,trade,withdraw}' AND cardinality(scopes) > 0),
    account_id     text,
    networks       text[]      NOT NULL DEFAULT '{}',
    create_time    timestamptz NOT NULL DEFAULT now(),
    expire_time    timestamptz,
    last_use_time  timestamptz,
    revoke_time    timestamptz
);
CREATE INDEX api_keys_by_user ON api_keys (user_id, create_time DESC, api_key_id DESC) WHERE revoke_time IS NULL;
CREATE INDEX api_keys_by_revoke_time ON api_keys (revoke_time) WHERE revoke_time IS NOT NULL;

CREATE TABLE clients (
    client_id      text        NOT NULL PRIMARY KEY,
    name           text        NOT NULL,
    redirect_uris  text[]      NOT NULL CHECK (cardinality(redirect_uris) > 0),
    scopes         text[]      NOT NULL CHECK (scopes <@ '{read,trade,withdraw,account}' AND cardinality(scopes) > 0),
    create_time    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE authorization_codes (
    code_hash         bytea       NOT NULL PRIMARY KEY CHECK (length(code_hash) = 32),
    client_id         text        NOT NULL REFERENCES clients ON DELETE CASCADE,
    session_id        text        NOT NULL REFERENCES sessions ON DELETE CASCADE,
    redirect_uri      text        NOT NULL,
    code_challenge    text        NOT NULL,
    create_time       timestamptz NOT NULL DEFAULT now(),
    expire_time       timestamptz NOT NULL,
    use_time          timestamptz,
    given_session_id  text,
    CHECK ((use_time IS NULL) = (given_session_id IS NULL))
);
CREATE INDEX authorization_codes_by_expire_time ON authorization_codes (expire_time);
CREATE INDEX authorization_codes_by_session ON authorization_codes (session_id);
"""

# A key is verified by every server, each of which runs as the services; the engine and the projector see none of it.
GRANTS = """
GRANT SELECT, INSERT, UPDATE, DELETE ON totp_factors, recovery_codes, authorization_codes TO venue_services;
GRANT SELECT, INSERT, UPDATE ON api_keys TO venue_services;
GRANT SELECT, INSERT, UPDATE, DELETE ON clients TO venue_services;
"""


def upgrade() -> None:
    for statements in (SESSIONS, TABLES, GRANTS):
        op.get_bind().exec_driver_sql(statements)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
