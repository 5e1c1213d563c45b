"""Letters that are to leave, and what users want to be told by mail."""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE outgoing (
    message_id   text        NOT NULL PRIMARY KEY,
    user_id      text        NOT NULL,
    template     text        NOT NULL,
    content      bytea       NOT NULL CHECK (get_byte(content, 0) = 1),
    state        text        NOT NULL DEFAULT 'PENDING' CHECK (state IN ('PENDING', 'FAILED')),
    attempts     integer     NOT NULL DEFAULT 0,
    next_time    timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_error   text        NOT NULL DEFAULT '',
    create_time  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX outgoing_due ON outgoing (next_time) WHERE state = 'PENDING';

-- Whatever a program does: what is about security reaches everybody.
CREATE TABLE notification_preferences (
    user_id   text    NOT NULL REFERENCES users (user_id),
    category  text    NOT NULL CHECK (category IN ('SECURITY', 'FUNDING', 'INTEGRATION')),
    mail      boolean NOT NULL CHECK (mail OR category <> 'SECURITY'),
    PRIMARY KEY (user_id, category)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON outgoing, notification_preferences TO venue_services;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(TABLES)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
