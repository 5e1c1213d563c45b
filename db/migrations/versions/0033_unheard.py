"""Letters of which nobody heard whether they went out, and deposits on their way that are looked at when their time is over."""

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

COLUMNS = """
ALTER TABLE outgoing ADD unheard integer NOT NULL DEFAULT 0;
DROP INDEX deposits_open;
CREATE INDEX deposits_open ON deposits (expire_time) WHERE state IN ('PENDING', 'PROCESSING');
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(COLUMNS)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
