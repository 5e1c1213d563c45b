"""Text messages: phone numbers, sealed and confirmed by a code, and letters that go to them."""

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

# A number that is forgotten leaves its row: how many codes were sent counts on.
TABLES = """
CREATE TABLE phone_numbers (
    user_id      text        NOT NULL PRIMARY KEY REFERENCES users (user_id),
    number       bytea       CHECK (get_byte(number, 0) = 1),
    number_end   text        NOT NULL,
    confirmed    boolean     NOT NULL DEFAULT false CHECK (NOT confirmed OR number IS NOT NULL),
    code_mark    bytea,
    code_until   timestamptz,
    tries        integer     NOT NULL DEFAULT 0,
    sent         integer     NOT NULL DEFAULT 0,
    sent_since   timestamptz NOT NULL DEFAULT clock_timestamp()
);
ALTER TABLE outgoing ADD channel text NOT NULL DEFAULT 'MAIL' CHECK (channel IN ('MAIL', 'SMS'));
DROP INDEX outgoing_due;
CREATE INDEX outgoing_due ON outgoing (channel, next_time) WHERE state = 'PENDING';
ALTER TABLE notification_preferences ADD sms boolean NOT NULL DEFAULT false;
GRANT SELECT, INSERT, UPDATE ON phone_numbers TO venue_services;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(TABLES)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
