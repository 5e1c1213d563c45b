"""What may be let go of once it is old: a part of the journal that all readers have read, and months of account events."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# The projector alone may call them, and they cannot take what is still needed: a reader's position and an age are asked here.
RETENTION = """
CREATE FUNCTION prune_journal(part integer, before timestamptz, rows_max integer) RETURNS integer
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
        )
        ORDER BY first_sequence LIMIT rows_max
    )
    DELETE FROM journal j USING old WHERE j.partition = part AND j.first_sequence = old.first_sequence;
    GET DIAGNOSTICS pruned = ROW_COUNT;
    PERFORM set_config('venue.maintenance', 'off', true);
    RETURN pruned;
END $$;

CREATE FUNCTION drop_account_events(before timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    child   text;
    dropped integer := 0;
BEGIN
    FOR child IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'account_events'::regclass AND c.relname ~ '^account_events_[0-9]{4}_[0-9]{2}$'
          AND (to_timestamp(right(c.relname, 7), 'YYYY_MM')::timestamp + interval '1 month') AT TIME ZONE 'UTC' <= before
        ORDER BY 1
    LOOP
        EXECUTE 'DROP TABLE ' || quote_ident(child);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;
REVOKE EXECUTE ON FUNCTION prune_journal(integer, timestamptz, integer), drop_account_events(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION prune_journal(integer, timestamptz, integer), drop_account_events(timestamptz) TO venue_projector;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(RETENTION)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
