"""What an order shows and hides, and the last place that was given in a queue."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Places that were given before are those of commands: none is greater than the sequence, and so the next one.
COLUMNS = """
ALTER TABLE orders
    ADD COLUMN display_quantity numeric(38,0) NOT NULL DEFAULT 0,
    ADD COLUMN hidden_lots      numeric(38,0) NOT NULL DEFAULT 0;
ALTER TABLE machine ADD COLUMN place bigint NOT NULL DEFAULT 0;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(COLUMNS)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
