"""Lines of orders that replaced each other, and the leases of accounts."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# What was written before, or by a writer of before, has no parent and no lease.
COLUMNS = """
ALTER TABLE orders
    ADD COLUMN parent_number bigint NOT NULL DEFAULT 0,
    ADD COLUMN root_number   bigint NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN lease_time timestamptz NOT NULL DEFAULT 'epoch';
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(COLUMNS)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
