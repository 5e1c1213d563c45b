"""Alerts: what people of the venue have to look at, and who did."""

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE alerts (
    alert_id      text        NOT NULL PRIMARY KEY,
    kind          text        NOT NULL,
    severity      text        NOT NULL CHECK (severity IN ('INFO', 'WARNING', 'CRITICAL')),
    subject       text        NOT NULL,
    user_id       text        NOT NULL,
    message       text        NOT NULL,
    details       jsonb       NOT NULL,
    state         text        NOT NULL DEFAULT 'OPEN' CHECK (state IN ('OPEN', 'ACKNOWLEDGED', 'CLOSED')),
    raised        integer     NOT NULL DEFAULT 1 CHECK (raised > 0),
    acknowledger  text        REFERENCES users (user_id),
    closer        text        REFERENCES users (user_id),
    note          text        NOT NULL DEFAULT '',
    create_time   timestamptz NOT NULL DEFAULT clock_timestamp(),
    update_time   timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Whatever a program does: somebody looked, and nobody closes what is about himself.
    CHECK ((state = 'CLOSED') = (closer IS NOT NULL)),
    CHECK (state <> 'ACKNOWLEDGED' OR acknowledger IS NOT NULL),
    CHECK (closer <> user_id)
);
CREATE UNIQUE INDEX alerts_once ON alerts (kind, subject) WHERE state <> 'CLOSED';
CREATE INDEX alerts_by_age ON alerts (create_time DESC, alert_id DESC);
CREATE INDEX alerts_by_user ON alerts (user_id, kind) WHERE state <> 'CLOSED';
GRANT SELECT, INSERT, UPDATE ON alerts TO venue_services;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(TABLE)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
