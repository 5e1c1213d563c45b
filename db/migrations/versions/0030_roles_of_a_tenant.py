"""A login that may create roles, and is no superuser, takes on those it made.

From PostgreSQL 16 on whoever creates a role may grant it, and may not set it; 15 asks for membership alone.
"""

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

ROLES = """
DO $$
DECLARE
    role text;
BEGIN
    IF current_setting('server_version_num')::integer >= 160000 THEN
        FOREACH role IN ARRAY ARRAY['venue_engine', 'venue_projector', 'venue_services'] LOOP
            IF NOT pg_has_role(current_user, role, 'SET') THEN
                EXECUTE format('GRANT %I TO CURRENT_USER', role);
            END IF;
        END LOOP;
    END IF;
END $$;
"""


def upgrade() -> None:
    op.execute(ROLES)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
