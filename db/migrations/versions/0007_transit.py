"""Transfers between partitions: whom they are for, refusals that hold, and accounts that stand for other partitions."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

CHANGES = """
ALTER TABLE transfers
    ADD COLUMN receiver_account_id text NOT NULL DEFAULT '',
    DROP CONSTRAINT transfers_amount_check,
    ADD CONSTRAINT transfers_amount_check CHECK (amount > 0 OR (amount = 0 AND state = 3));
ALTER TABLE balances
    DROP CONSTRAINT available_not_negative,
    ADD CONSTRAINT available_not_negative
        CHECK (available >= 0 OR starts_with(account_id, 'venue:') OR starts_with(account_id, 'transit:'));
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(CHANGES)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
