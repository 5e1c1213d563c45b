"""What books were, at several depths, a partition a day: days are dropped as a whole once they are too old."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE book_snapshots (
    partition    integer       NOT NULL,
    symbol       text          NOT NULL,
    depth        integer       NOT NULL CHECK (depth > 0),
    time         timestamptz   NOT NULL,
    sequence     bigint        NOT NULL,
    book         bytea         NOT NULL,
    PRIMARY KEY (partition, symbol, depth, time)
) PARTITION BY RANGE (time);
CREATE TABLE book_snapshots_default PARTITION OF book_snapshots DEFAULT;

-- The days of `at` and after it; those that ended before `before` go.
CREATE FUNCTION turn_book_snapshots(at timestamptz, before timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    day     timestamp;
    lower   timestamptz;
    upper   timestamptz;
    child   text;
    dropped integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('venue.turn_book_snapshots'));
    FOR ahead IN 0..1 LOOP
        day := date_trunc('day', at AT TIME ZONE 'UTC') + make_interval(days => ahead);
        lower := day AT TIME ZONE 'UTC';
        upper := (day + interval '1 day') AT TIME ZONE 'UTC';
        child := 'book_snapshots' || to_char(day, '_YYYY_MM_DD');
        CONTINUE WHEN to_regclass(child) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I (LIKE book_snapshots INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', child);
        EXECUTE format(
            'WITH moved AS (DELETE FROM book_snapshots_default WHERE time >= %L AND time < %L RETURNING *) '
            'INSERT INTO %I SELECT * FROM moved', lower, upper, child);
        EXECUTE format(
            'ALTER TABLE book_snapshots ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', child, lower, upper);
    END LOOP;
    FOR child IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'book_snapshots'::regclass AND c.relname ~ '^book_snapshots_[0-9]{4}_[0-9]{2}_[0-9]{2}$'
          AND (to_timestamp(right(c.relname, 10), 'YYYY_MM_DD')::timestamp + interval '1 day') AT TIME ZONE 'UTC' <= before
        ORDER BY 1
    LOOP
        EXECUTE 'DROP TABLE ' || quote_ident(child);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;
REVOKE EXECUTE ON FUNCTION turn_book_snapshots(timestamptz, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION turn_book_snapshots(timestamptz, timestamptz) TO venue_projector;
GRANT SELECT ON book_snapshots TO venue_engine, venue_projector, venue_services;
GRANT INSERT ON book_snapshots TO venue_projector;
"""


def upgrade() -> None:
    op.execute(TABLE)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
