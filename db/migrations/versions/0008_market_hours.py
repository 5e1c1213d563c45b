"""Trading hours of markets, and what their auctions would come to."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

COLUMNS = """
ALTER TABLE markets
    ADD COLUMN hours           text          NOT NULL DEFAULT '',
    ADD COLUMN next_state_time timestamptz   NOT NULL DEFAULT 'epoch',
    ADD COLUMN auction_ticks   numeric(38,0) NOT NULL DEFAULT 0,
    ADD COLUMN auction_lots    numeric(38,0) NOT NULL DEFAULT 0;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(COLUMNS)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
