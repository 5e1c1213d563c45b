"""Trading sessions whose loss cancels their orders."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SESSIONS = """
CREATE TABLE trading_sessions (
    partition     integer     NOT NULL,
    account_id    text        NOT NULL,
    session_id    text        NOT NULL,
    open_sequence bigint      NOT NULL,
    cancel_time   timestamptz NOT NULL,
    PRIMARY KEY (partition, account_id, session_id)
);
GRANT SELECT ON trading_sessions TO venue_engine, venue_projector, venue_services;
GRANT INSERT, UPDATE, DELETE ON trading_sessions TO venue_projector;
ALTER TABLE orders ADD COLUMN session_id text NOT NULL DEFAULT '';
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(SESSIONS)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
