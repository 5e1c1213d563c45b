"""One index of account events for two: they are found by their account alone, so their key begins with it."""

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

# An order that trades writes two of these rows, and every index of a table is one more entry a row.
KEY = """
ALTER TABLE account_events
    DROP CONSTRAINT account_events_pkey,
    ADD PRIMARY KEY (partition, account_id, sequence, n, time);
DROP INDEX account_events_by_account;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(KEY)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
