"""Money that comes in: deposits, what companies said of them, what was given back, and bonuses."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

# Amounts count units of 1e-18.
TABLES = """
CREATE TABLE deposits (
    deposit_id          text           NOT NULL PRIMARY KEY,
    user_id             text           NOT NULL REFERENCES users (user_id),
    account_id          text           NOT NULL,
    asset               text           NOT NULL,
    amount              numeric(38, 0) NOT NULL CHECK (amount > 0),
    provider            text           NOT NULL CHECK (provider IN ('STRIPE', 'MANUAL', 'SANDBOX')),
    state               text           NOT NULL DEFAULT 'PENDING'
                        CHECK (state IN ('PENDING', 'PROCESSING', 'PAID', 'SUCCEEDED', 'FAILED', 'EXPIRED')),
    request_id          text           NOT NULL,
    fingerprint         bytea          NOT NULL,
    transfer_id         text           NOT NULL UNIQUE,
    session_id          text           NOT NULL DEFAULT '',
    payment_id          text           NOT NULL DEFAULT '',
    checkout_url        text           NOT NULL DEFAULT '',
    payment_reference   text           NOT NULL DEFAULT '',
    failure             text           NOT NULL DEFAULT '',
    create_time         timestamptz    NOT NULL DEFAULT clock_timestamp(),
    update_time         timestamptz    NOT NULL DEFAULT clock_timestamp(),
    expire_time         timestamptz    NOT NULL,
    CHECK ((failure <> '') = (state = 'FAILED'))
);
CREATE UNIQUE INDEX deposits_by_request ON deposits (user_id, request_id) WHERE request_id <> '';
CREATE UNIQUE INDEX deposits_by_payment ON deposits (payment_id) WHERE payment_id <> '';
CREATE UNIQUE INDEX deposits_by_reference ON deposits (payment_reference) WHERE payment_reference <> '';
CREATE INDEX deposits_by_user ON deposits (user_id, create_time DESC, deposit_id DESC);
CREATE INDEX deposits_by_age ON deposits (create_time DESC, deposit_id DESC);
CREATE INDEX deposits_paid ON deposits (update_time) WHERE state = 'PAID';
CREATE INDEX deposits_open ON deposits (expire_time) WHERE state = 'PENDING';

-- Every event of a company counts once.
CREATE TABLE provider_events (
    provider      text        NOT NULL,
    event_id      text        NOT NULL,
    type          text        NOT NULL,
    deposit_id    text        NOT NULL,
    receive_time  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (provider, event_id)
);
CREATE INDEX provider_events_by_deposit ON provider_events (deposit_id, receive_time);

-- What a deposit was given back of, or is disputed: held first, then taken or released, as it is decided.
CREATE TABLE reversals (
    reversal_id    text           NOT NULL PRIMARY KEY,
    deposit_id     text           NOT NULL REFERENCES deposits (deposit_id),
    kind           text           NOT NULL CHECK (kind IN ('REFUND', 'DISPUTE')),
    amount         numeric(38, 0) NOT NULL CHECK (amount > 0),
    state          text           NOT NULL DEFAULT 'OPEN' CHECK (state IN ('OPEN', 'HELD', 'TAKEN', 'RELEASED')),
    decision       text           NOT NULL CHECK (decision IN ('', 'TAKE', 'RELEASE')),
    transfer_id    text           NOT NULL UNIQUE,
    try_time       timestamptz    NOT NULL DEFAULT clock_timestamp(),
    create_time    timestamptz    NOT NULL DEFAULT clock_timestamp(),
    update_time    timestamptz    NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX reversals_by_deposit ON reversals (deposit_id, create_time);
CREATE INDEX reversals_undone ON reversals (try_time) WHERE state IN ('OPEN', 'HELD');

-- One a user, for ever.
CREATE TABLE signup_bonuses (
    user_id      text           NOT NULL PRIMARY KEY REFERENCES users (user_id),
    deposit_id   text           NOT NULL REFERENCES deposits (deposit_id),
    asset        text           NOT NULL,
    amount       numeric(38, 0) NOT NULL CHECK (amount > 0),
    transfer_id  text           NOT NULL UNIQUE,
    state        text           NOT NULL DEFAULT 'PAYING' CHECK (state IN ('PAYING', 'PAID')),
    create_time  timestamptz    NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX signup_bonuses_unpaid ON signup_bonuses (create_time) WHERE state = 'PAYING';
"""

GRANTS = "GRANT SELECT, INSERT, UPDATE ON deposits, provider_events, reversals, signup_bonuses TO venue_services;"


def upgrade() -> None:
    for statements in (TABLES, GRANTS):
        op.get_bind().exec_driver_sql(statements)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
