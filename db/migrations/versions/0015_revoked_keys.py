"""Every server asks which API keys were revoked, as it asks which sessions ended."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.get_bind().exec_driver_sql("GRANT SELECT (api_key_id, revoke_time) ON api_keys TO venue_engine, venue_projector")


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
