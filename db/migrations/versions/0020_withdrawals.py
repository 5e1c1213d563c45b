"""Money that goes out: beneficiaries, sealed, and withdrawals."""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

# Amounts count units of 1e-18; `value` is what counts against limits, in US dollars.
TABLES = """
CREATE TABLE beneficiaries (
    beneficiary_id  text        NOT NULL PRIMARY KEY,
    user_id         text        NOT NULL REFERENCES users (user_id),
    label           text        NOT NULL,
    number_end      text        NOT NULL,
    details         bytea       NOT NULL CHECK (get_byte(details, 0) = 1),
    request_id      text        NOT NULL,
    fingerprint     bytea       NOT NULL,
    create_time     timestamptz NOT NULL DEFAULT clock_timestamp(),
    active_time     timestamptz NOT NULL,
    remove_time     timestamptz
);
CREATE UNIQUE INDEX beneficiaries_by_request ON beneficiaries (user_id, request_id) WHERE request_id <> '';
CREATE INDEX beneficiaries_by_user ON beneficiaries (user_id, create_time DESC, beneficiary_id DESC) WHERE remove_time IS NULL;

CREATE TABLE withdrawals (
    withdrawal_id   text           NOT NULL PRIMARY KEY,
    user_id         text           NOT NULL REFERENCES users (user_id),
    account_id      text           NOT NULL,
    asset           text           NOT NULL,
    amount          numeric(38, 0) NOT NULL CHECK (amount > 0),
    value           numeric(38, 0) NOT NULL CHECK (value > 0),
    beneficiary_id  text           NOT NULL REFERENCES beneficiaries (beneficiary_id),
    provider        text           NOT NULL CHECK (provider IN ('MANUAL', 'SANDBOX')),
    state           text           NOT NULL DEFAULT 'PREPARED' CHECK (state IN
                    ('PREPARED', 'ACCEPTED', 'PROCESSING', 'SUCCEEDED', 'REJECTED', 'FAILED', 'CANCELLED')),
    outcome         text           NOT NULL DEFAULT '' CHECK (outcome IN ('', 'SUCCEEDED', 'REJECTED', 'FAILED', 'CANCELLED')),
    failure         text           NOT NULL DEFAULT '',
    risk_score      smallint       NOT NULL CHECK (risk_score BETWEEN 0 AND 100),
    findings        text[]         NOT NULL,
    needs_approval  boolean        NOT NULL,
    approved        boolean        NOT NULL DEFAULT false,
    payout_id       text           NOT NULL DEFAULT '',
    transfer_id     text           NOT NULL UNIQUE,
    request_id      text           NOT NULL,
    fingerprint     bytea          NOT NULL,
    create_time     timestamptz    NOT NULL DEFAULT clock_timestamp(),
    update_time     timestamptz    NOT NULL DEFAULT clock_timestamp(),
    -- Whatever a program does: nothing is paid out that people have to approve and have not.
    CHECK (approved OR NOT needs_approval OR state NOT IN ('PROCESSING', 'SUCCEEDED')),
    CHECK (state IN ('PREPARED', 'ACCEPTED', 'PROCESSING') OR state = outcome)
);
CREATE UNIQUE INDEX withdrawals_by_request ON withdrawals (user_id, request_id) WHERE request_id <> '';
CREATE INDEX withdrawals_by_user ON withdrawals (user_id, create_time DESC, withdrawal_id DESC);
CREATE INDEX withdrawals_by_age ON withdrawals (create_time DESC, withdrawal_id DESC);
CREATE INDEX withdrawals_undone ON withdrawals (update_time) WHERE state IN ('PREPARED', 'ACCEPTED', 'PROCESSING');
"""

GRANTS = "GRANT SELECT, INSERT, UPDATE ON beneficiaries, withdrawals TO venue_services;"


def upgrade() -> None:
    for statements in (TABLES, GRANTS):
        op.get_bind().exec_driver_sql(statements)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
