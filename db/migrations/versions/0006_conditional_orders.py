"""Orders that wait for a price, lists of linked orders, and the prices from outside."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

COLUMNS = """
ALTER TABLE orders
    ADD COLUMN stop_price       numeric(38,0) NOT NULL DEFAULT 0,
    ADD COLUMN trigger_source   smallint      NOT NULL DEFAULT 0,
    ADD COLUMN trigger_time     timestamptz   NOT NULL DEFAULT 'epoch',
    ADD COLUMN trailing_amount  numeric(38,0) NOT NULL DEFAULT 0,
    ADD COLUMN trailing_percent smallint      NOT NULL DEFAULT 0,
    ADD COLUMN best_price       numeric(38,0) NOT NULL DEFAULT 0,
    ADD COLUMN list_number      bigint        NOT NULL DEFAULT 0,
    ADD COLUMN list_role        smallint      NOT NULL DEFAULT 0,
    ADD COLUMN exits            text          NOT NULL DEFAULT '';
ALTER TABLE markets
    ADD COLUMN mark_price  numeric(38,0) NOT NULL DEFAULT 0,
    ADD COLUMN index_price numeric(38,0) NOT NULL DEFAULT 0;
"""
# A command may place several orders: they are listed by when they were placed, not by their numbers (db/orders.py, AGE).
INDEXES = """
DROP INDEX orders_by_account, orders_open, orders_by_label;
CREATE INDEX orders_by_account ON orders
    (partition, account_id, (number % 100000000000000000 * 4 + number / 100000000000000000) DESC);
CREATE INDEX orders_open ON orders
    (partition, account_id, (number % 100000000000000000 * 4 + number / 100000000000000000) DESC)
    WHERE status IN (1, 2, 3);
CREATE INDEX orders_by_label ON orders
    (partition, account_id, client_order_id, (number % 100000000000000000 * 4 + number / 100000000000000000) DESC)
    WHERE client_order_id <> '';
"""


def upgrade() -> None:
    for statements in (COLUMNS, INDEXES):
        op.execute(statements)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
