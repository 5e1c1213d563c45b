"""The ledger without trades, by account and time: what wallets list."""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

# Trades and fees, which are nearly all postings, are in neither index and pay only for the look at their kind.
INDEXES = """
CREATE INDEX postings_moved_by_debit ON postings (debit_account_id, time DESC, partition DESC, sequence DESC, n DESC)
    WHERE kind NOT IN (4, 5);
CREATE INDEX postings_moved_by_credit ON postings (credit_account_id, time DESC, partition DESC, sequence DESC, n DESC)
    WHERE kind NOT IN (4, 5);
"""


def upgrade() -> None:
    op.execute(INDEXES)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
