"""Positions and limits."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# Positions count from the first trade under these rules on: what was traded before is in the ledger.
TABLES = """
CREATE TABLE positions (
    partition        integer       NOT NULL,
    account_id       text          NOT NULL,
    symbol           text          NOT NULL,
    lots             numeric(38,0) NOT NULL,
    cost             numeric(38,0) NOT NULL,
    realized         numeric(38,0) NOT NULL,
    day              integer       NOT NULL,
    day_start        numeric(38,0) NOT NULL,
    update_sequence  bigint        NOT NULL,
    PRIMARY KEY (partition, account_id, symbol),
    CONSTRAINT cost_of_what_is_held CHECK (sign(cost) = sign(lots))
) WITH (fillfactor = 50);

CREATE TABLE limits (
    partition        integer       NOT NULL,
    account_id       text          NOT NULL,
    tier             text          NOT NULL,
    symbol           text          NOT NULL,
    quantity_max     numeric(38,0) NOT NULL CHECK (quantity_max >= -1),
    notional_max     numeric(38,0) NOT NULL CHECK (notional_max >= -1),
    open_orders_max  integer       NOT NULL CHECK (open_orders_max >= -1),
    position_max     numeric(38,0) NOT NULL CHECK (position_max >= -1),
    daily_loss_max   numeric(38,0) NOT NULL CHECK (daily_loss_max >= -1),
    price_band       bigint        NOT NULL CHECK (price_band >= -1),
    symbols_allowed  text          NOT NULL,
    PRIMARY KEY (partition, account_id, tier, symbol),
    CONSTRAINT limits_of_one CHECK (account_id = '' OR tier = '')
);

ALTER TABLE markets
    ADD COLUMN day       integer       NOT NULL DEFAULT 0,
    ADD COLUMN day_ticks numeric(38,0) NOT NULL DEFAULT 0;

GRANT SELECT ON positions, limits TO venue_engine, venue_projector, venue_services;
GRANT INSERT, UPDATE, DELETE ON positions, limits TO venue_projector;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(TABLES)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
