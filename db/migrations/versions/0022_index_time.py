"""When the index price of a market was set."""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

# Of an index that is there already nobody knows; it is as old as this.
COLUMN = """
ALTER TABLE markets ADD COLUMN index_time timestamptz NOT NULL DEFAULT 'epoch';
UPDATE markets SET index_time = now() WHERE index_price > 0;
"""


def upgrade() -> None:
    op.execute(COLUMN)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
