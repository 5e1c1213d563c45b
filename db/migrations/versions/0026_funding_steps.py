"""Steps of withdrawals: claimed for a while, and put off where they fail; Stripe pays out, too."""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

COLUMNS = """
ALTER TABLE withdrawals
    ADD next_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    ADD attempts integer NOT NULL DEFAULT 0,
    DROP CONSTRAINT withdrawals_provider_check,
    ADD CHECK (provider IN ('MANUAL', 'SANDBOX', 'STRIPE'));
DROP INDEX withdrawals_undone;
CREATE INDEX withdrawals_undone ON withdrawals (next_time) WHERE state IN ('PREPARED', 'ACCEPTED', 'PROCESSING');
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(COLUMNS)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
