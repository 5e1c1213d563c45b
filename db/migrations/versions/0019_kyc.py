"""Who somebody is: submissions, sealed, and what screening found."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE kyc_submissions (
    kyc_submission_id  text        NOT NULL PRIMARY KEY,
    user_id            text        NOT NULL REFERENCES users (user_id),
    level              smallint    NOT NULL CHECK (level IN (1, 2)),
    details            bytea       NOT NULL CHECK (get_byte(details, 0) = 1),
    risk_score         smallint    NOT NULL CHECK (risk_score BETWEEN 0 AND 100),
    findings           text[]      NOT NULL,
    request_id         text        NOT NULL,
    fingerprint        bytea       NOT NULL,
    state              text        NOT NULL DEFAULT 'PENDING' CHECK (state IN ('PENDING', 'APPROVED', 'REJECTED')),
    create_time        timestamptz NOT NULL DEFAULT clock_timestamp(),
    decider            text        REFERENCES users (user_id),
    decide_time        timestamptz,
    decision_reason    text        NOT NULL DEFAULT '',
    -- Nobody looks at what he submitted himself.
    CHECK (decider <> user_id),
    CHECK ((state = 'PENDING') = (decider IS NULL)),
    CHECK ((decider IS NULL) = (decide_time IS NULL))
);
CREATE UNIQUE INDEX kyc_submissions_waiting ON kyc_submissions (user_id) WHERE state = 'PENDING';
CREATE UNIQUE INDEX kyc_submissions_by_request ON kyc_submissions (user_id, request_id) WHERE request_id <> '';
CREATE INDEX kyc_submissions_by_user ON kyc_submissions (user_id, create_time DESC);
CREATE INDEX kyc_submissions_by_age ON kyc_submissions (create_time, kyc_submission_id);
GRANT SELECT, INSERT, UPDATE ON kyc_submissions TO venue_services;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(TABLE)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
