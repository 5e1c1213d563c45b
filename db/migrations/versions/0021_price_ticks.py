"""What sources told, an hour a partition, dropped after a day; and hypertables where the server has TimescaleDB."""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE price_ticks (
    pair    text          NOT NULL,
    time    timestamptz   NOT NULL,
    source  text          NOT NULL,
    price   numeric(38,0) NOT NULL CHECK (price > 0),
    age_ms  bigint        NOT NULL CHECK (age_ms >= 0),
    PRIMARY KEY (pair, time, source)
) PARTITION BY RANGE (time);
CREATE TABLE price_ticks_default PARTITION OF price_ticks DEFAULT;
GRANT SELECT ON price_ticks TO venue_engine, venue_projector, venue_services;
GRANT INSERT ON price_ticks TO venue_services;
"""

# The hours of `at` and after it are made; those that ended before `before` go, and what lies in no hour's partition by row.
TURN = """
CREATE FUNCTION turn_price_ticks(at timestamptz, before timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    hour    timestamp;
    lower   timestamptz;
    upper   timestamptz;
    child   text;
    dropped integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('venue.turn_price_ticks'));
    IF (SELECT relkind FROM pg_class WHERE oid = 'price_ticks'::regclass) <> 'p' THEN
        SELECT count(*) INTO dropped FROM drop_chunks('price_ticks'::regclass, before);
        RETURN dropped;
    END IF;
    FOR ahead IN 0..2 LOOP
        hour := date_trunc('hour', at AT TIME ZONE 'UTC') + make_interval(hours => ahead);
        lower := hour AT TIME ZONE 'UTC';
        upper := (hour + interval '1 hour') AT TIME ZONE 'UTC';
        child := 'price_ticks' || to_char(hour, '_YYYY_MM_DD_HH24');
        CONTINUE WHEN to_regclass(child) IS NOT NULL;
        -- Nobody may put a row into the default partition between its rows' move and the attachment.
        LOCK TABLE ONLY price_ticks IN SHARE ROW EXCLUSIVE MODE;
        EXECUTE format('CREATE TABLE %I (LIKE price_ticks INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', child);
        EXECUTE format(
            'WITH moved AS (DELETE FROM price_ticks_default WHERE time >= %L AND time < %L RETURNING *) '
            'INSERT INTO %I SELECT * FROM moved', lower, upper, child);
        EXECUTE format(
            'ALTER TABLE price_ticks ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', child, lower, upper);
    END LOOP;
    FOR child IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'price_ticks'::regclass AND c.relname ~ '^price_ticks_[0-9]{4}_[0-9]{2}_[0-9]{2}_[0-9]{2}$'
          AND (to_timestamp(right(c.relname, 13), 'YYYY_MM_DD_HH24')::timestamp + interval '1 hour') AT TIME ZONE 'UTC'
              <= before
        ORDER BY 1
    LOOP
        EXECUTE 'DROP TABLE ' || quote_ident(child);
        dropped := dropped + 1;
    END LOOP;
    DELETE FROM price_ticks_default WHERE time < before;
    RETURN dropped;
END $$;
REVOKE EXECUTE ON FUNCTION turn_price_ticks(timestamptz, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION turn_price_ticks(timestamptz, timestamptz) TO venue_projector;
"""

# Who is no superuser can neither see what the server has loaded nor make the extension; he uses one that is there.
HYPERTABLES = """
CREATE FUNCTION has_timescaledb() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN true
        WHEN NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN false
        WHEN NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb') THEN false
        ELSE current_setting('shared_preload_libraries') ~ '\\mtimescaledb\\M'
    END
$$;

-- Tables partitioned by time that are none yet become hypertables, with their rows; how many. The ledger and account events
-- stay partitions: they are the record, and months of them are let go by name.
CREATE FUNCTION make_hypertables() RETURNS integer LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    parent text;
    key    text;
    chunk  interval;
    old    text;
    who    text;
    what   text;
    made   integer := 0;
BEGIN
    IF NOT has_timescaledb() THEN
        RETURN 0;
    END IF;
    CREATE EXTENSION IF NOT EXISTS timescaledb;
    FOR parent, key, chunk IN
        VALUES ('trades', 'time', interval '7 days'), ('candles', 'open_time', interval '7 days'),
               ('price_ticks', 'time', interval '1 hour')
    LOOP
        CONTINUE WHEN (SELECT relkind FROM pg_class WHERE oid = parent::regclass) <> 'p';
        old := parent || '_partitioned';
        EXECUTE format('ALTER TABLE %I RENAME TO %I', parent, old);
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', parent, old);
        PERFORM create_hypertable(parent::regclass, key::name, chunk_time_interval => chunk);
        EXECUTE format('INSERT INTO %I SELECT * FROM %I', parent, old);
        FOR who, what IN
            SELECT a.grantee::regrole::text, a.privilege_type FROM pg_class c, aclexplode(c.relacl) a
            WHERE c.oid = old::regclass AND a.grantee <> c.relowner
        LOOP
            EXECUTE format('GRANT %s ON %I TO %s', what, parent, who);
        END LOOP;
        EXECUTE format('DROP TABLE %I', old);
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
REVOKE EXECUTE ON FUNCTION make_hypertables() FROM PUBLIC;
"""

# As it was, but for tables that are hypertables, which make their own ranges.
MONTHS = """
CREATE OR REPLACE FUNCTION ensure_partitions(at timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    parent text;
    key    text;
    child  text;
    month  timestamp;
    lower  timestamptz;
    upper  timestamptz;
    made   integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('venue.ensure_partitions'));
    FOR parent, key IN
        VALUES ('trades', 'time'), ('postings', 'time'), ('account_events', 'time'), ('candles', 'open_time')
    LOOP
        CONTINUE WHEN (SELECT relkind FROM pg_class WHERE oid = parent::regclass) <> 'p';
        FOR ahead IN 0..2 LOOP
            month := date_trunc('month', at AT TIME ZONE 'UTC') + make_interval(months => ahead);
            lower := month AT TIME ZONE 'UTC';
            upper := (month + interval '1 month') AT TIME ZONE 'UTC';
            child := parent || to_char(month, '_YYYY_MM');
            CONTINUE WHEN to_regclass(child) IS NOT NULL;
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', child, parent);
            EXECUTE format(
                'WITH moved AS (DELETE FROM %I WHERE %I >= %L AND %I < %L RETURNING *) '
                'INSERT INTO %I SELECT * FROM moved',
                parent || '_default', key, lower, key, upper, child);
            EXECUTE format(
                'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, child, lower, upper);
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;
"""


def upgrade() -> None:
    for statements in (TABLE, TURN, HYPERTABLES, MONTHS):
        op.execute(statements)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
