"""Tags of orders, and leases of single tags."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

COLUMNS = """
ALTER TABLE orders ADD COLUMN tag text NOT NULL DEFAULT '';
ALTER TABLE accounts ADD COLUMN tag_leases text NOT NULL DEFAULT '{}';
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(COLUMNS)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
