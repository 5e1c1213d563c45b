"""Letters that were asked for by an address of mail and have yet to be written, in the same table."""

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

CHANNELS = """
ALTER TABLE outgoing
    DROP CONSTRAINT outgoing_channel_check,
    ADD CONSTRAINT outgoing_channel_check CHECK (channel IN ('MAIL', 'SMS', 'ASKED'));
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(CHANNELS)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
