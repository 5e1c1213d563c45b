"""The journal is kept as far back as requests are remembered: the answer of a repeated request stands in its row."""

from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

KEEP = """
CREATE OR REPLACE FUNCTION prune_journal(part integer, before timestamptz, rows_max integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    pruned integer;
BEGIN
    PERFORM set_config('venue.maintenance', 'on', true);
    WITH old AS (
        SELECT first_sequence FROM journal
        WHERE partition = part AND create_time < before AND last_sequence < (
            SELECT min(sequence) FROM projections WHERE partition = part
            HAVING count(*) FILTER (WHERE reader = 'tables') = 1
        ) AND last_sequence < coalesce((SELECT min(sequence) FROM requests WHERE partition = part), 9223372036854775807)
        ORDER BY first_sequence LIMIT rows_max
    )
    DELETE FROM journal j USING old WHERE j.partition = part AND j.first_sequence = old.first_sequence;
    GET DIAGNOSTICS pruned = ROW_COUNT;
    PERFORM set_config('venue.maintenance', 'off', true);
    RETURN pruned;
END $$;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(KEEP)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
