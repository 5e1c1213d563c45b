"""Webhooks: endpoints with their secrets, what is delivered to them, and how far the record of events was read for that."""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

ENDPOINTS = """
CREATE TABLE webhook_endpoints (
    endpoint_id   text        NOT NULL PRIMARY KEY,
    user_id       text        NOT NULL REFERENCES users (user_id),
    account_id    text,
    url           text        NOT NULL,
    description   text        NOT NULL,
    event_types   text[]      NOT NULL CHECK (cardinality(event_types) > 0),
    state         text        NOT NULL DEFAULT 'ENABLED' CHECK (state IN ('ENABLED', 'DISABLED', 'GONE')),
    request_id    text        NOT NULL,
    fingerprint   bytea       NOT NULL,
    create_time   timestamptz NOT NULL DEFAULT clock_timestamp(),
    update_time   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX webhook_endpoints_by_user ON webhook_endpoints (user_id, create_time DESC, endpoint_id DESC);
CREATE UNIQUE INDEX webhook_endpoints_by_request ON webhook_endpoints (user_id, request_id) WHERE request_id <> '';

-- The one that signs alone has no end; those before it sign beside it until theirs.
CREATE TABLE webhook_secrets (
    secret_id    text        NOT NULL PRIMARY KEY,
    endpoint_id  text        NOT NULL REFERENCES webhook_endpoints ON DELETE CASCADE,
    secret       bytea       NOT NULL CHECK (get_byte(secret, 0) = 1),
    create_time  timestamptz NOT NULL DEFAULT clock_timestamp(),
    expire_time  timestamptz
);
CREATE INDEX webhook_secrets_by_endpoint ON webhook_secrets (endpoint_id, create_time DESC);
CREATE UNIQUE INDEX webhook_secrets_current ON webhook_secrets (endpoint_id) WHERE expire_time IS NULL;
"""

# A message is made in the transaction that moves the cursor, so it is made once. Its place among those of an event is `part`.
DELIVERIES = """
CREATE TABLE webhook_cursors (
    partition  integer NOT NULL PRIMARY KEY,
    sequence   bigint  NOT NULL
);

CREATE TABLE webhook_replays (
    endpoint_id     text    NOT NULL REFERENCES webhook_endpoints ON DELETE CASCADE,
    account_id      text    NOT NULL,
    partition       integer NOT NULL,
    after_sequence  bigint  NOT NULL,
    PRIMARY KEY (endpoint_id, account_id)
);

CREATE TABLE webhook_deliveries (
    endpoint_id   text        NOT NULL REFERENCES webhook_endpoints ON DELETE CASCADE,
    message_id    text        NOT NULL,
    event_type    text        NOT NULL,
    account_id    text        NOT NULL,
    sequence      bigint      NOT NULL,
    part          integer     NOT NULL,
    body          text        NOT NULL,
    state         text        NOT NULL DEFAULT 'PENDING' CHECK (state IN ('PENDING', 'SUCCEEDED', 'DEAD')),
    attempts      integer     NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_time     timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_time     timestamptz,
    last_status   integer     NOT NULL DEFAULT 0,
    last_error    text        NOT NULL DEFAULT '',
    create_time   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (endpoint_id, message_id)
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, next_time, sequence, part) WHERE state = 'PENDING';
CREATE INDEX webhook_deliveries_by_age ON webhook_deliveries (endpoint_id, create_time DESC, message_id DESC);
CREATE INDEX webhook_deliveries_done ON webhook_deliveries (create_time) WHERE state <> 'PENDING';
"""

GRANTS = """
GRANT SELECT, INSERT, UPDATE, DELETE ON
    webhook_endpoints, webhook_secrets, webhook_cursors, webhook_replays, webhook_deliveries TO venue_services;
"""


def upgrade() -> None:
    for statements in (ENDPOINTS, DELIVERIES, GRANTS):
        op.get_bind().exec_driver_sql(statements)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
