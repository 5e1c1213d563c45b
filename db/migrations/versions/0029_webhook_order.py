"""Messages to webhooks in order of their account: found by it, and tried for so long since a moment."""

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

ORDER = """
ALTER TABLE webhook_deliveries ADD since timestamptz NOT NULL DEFAULT clock_timestamp();
DROP INDEX webhook_deliveries_due;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, account_id, sequence, part, message_id)
    WHERE state = 'PENDING';
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(ORDER)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
