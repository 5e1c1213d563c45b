"""Deeds that two people must want."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE pending_actions (
    pending_action_id text        NOT NULL PRIMARY KEY,
    kind              text        NOT NULL,
    payload           jsonb       NOT NULL,
    subject           text        NOT NULL,
    proposer          text        NOT NULL REFERENCES users (user_id),
    request_id        text        NOT NULL,
    fingerprint       bytea       NOT NULL,
    reason            text        NOT NULL,
    state             text        NOT NULL DEFAULT 'PROPOSED'
                      CHECK (state IN ('PROPOSED', 'APPROVED', 'REJECTED', 'EXPIRED', 'EXECUTED', 'FAILED')),
    create_time       timestamptz NOT NULL DEFAULT clock_timestamp(),
    expire_time       timestamptz NOT NULL,
    decider           text        REFERENCES users (user_id),
    decide_time       timestamptz,
    decision_reason   text        NOT NULL DEFAULT '',
    finish_time       timestamptz,
    failure           text        NOT NULL DEFAULT '',
    -- Whatever a program does: nobody approves what he proposed himself, and nothing is done that nobody approved.
    CHECK (state IN ('PROPOSED', 'REJECTED', 'EXPIRED') OR (decider IS NOT NULL AND decider <> proposer)),
    CHECK ((decider IS NULL) = (decide_time IS NULL)),
    CHECK ((finish_time IS NOT NULL) = (state IN ('EXECUTED', 'FAILED', 'EXPIRED'))),
    CHECK ((failure <> '') = (state = 'FAILED'))
);
CREATE UNIQUE INDEX pending_actions_by_request ON pending_actions (proposer, request_id) WHERE request_id <> '';
CREATE INDEX pending_actions_by_age ON pending_actions (create_time DESC, pending_action_id DESC);
CREATE INDEX pending_actions_undone ON pending_actions (state, expire_time) WHERE state IN ('PROPOSED', 'APPROVED');
CREATE INDEX pending_actions_by_subject ON pending_actions (subject, finish_time) WHERE state = 'EXECUTED';
GRANT SELECT, INSERT, UPDATE ON pending_actions TO venue_services;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(TABLE)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
