"""The audit log: append-only, each entry's hash over the one before it."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE audit_entries (
    sequence    bigint      NOT NULL PRIMARY KEY CHECK (sequence >= 1),
    time        timestamptz NOT NULL,
    actor_kind  text        NOT NULL CHECK (actor_kind IN ('USER', 'OPERATOR', 'SYSTEM', 'NOBODY')),
    actor       text        NOT NULL,
    credential  text        NOT NULL,
    address     text        NOT NULL,
    request_id  text        NOT NULL,
    action      text        NOT NULL CHECK (action ~ '^[A-Z][A-Z_]*$'),
    object      text        NOT NULL,
    -- json and not jsonb: the text that was hashed stays as it is.
    before      json,
    after       json,
    outcome     text        NOT NULL CHECK (outcome ~ '^[A-Z][A-Z_]*$'),
    hash        bytea       NOT NULL CHECK (length(hash) = 32)
);
CREATE INDEX audit_entries_by_actor ON audit_entries (actor, sequence DESC);
CREATE INDEX audit_entries_by_action ON audit_entries (action, sequence DESC);
CREATE INDEX audit_entries_by_object ON audit_entries (object, sequence DESC);
CREATE INDEX audit_entries_by_time ON audit_entries (time);
"""

# Sequence, time and hash are given here, to one transaction after another, whatever the statement says: nobody who may only
# insert can write a past. db/audit_chain.py computes the same.
CHAIN = """
CREATE FUNCTION audit_field(value text) RETURNS bytea LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS $$
    SELECT CASE WHEN value IS NULL THEN int4send(-1)
                ELSE int4send(length(convert_to(value, 'UTF8'))) || convert_to(value, 'UTF8') END
$$;

CREATE FUNCTION chain_audit_entry() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    head audit_entries;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('venue.audit'));
    SELECT * INTO head FROM audit_entries ORDER BY sequence DESC LIMIT 1;
    NEW.sequence := coalesce(head.sequence, 0) + 1;
    NEW.time := greatest(clock_timestamp(), head.time);
    NEW.hash := sha256(
        coalesce(head.hash, decode(repeat('00', 32), 'hex'))
        || audit_field(NEW.sequence::text)
        || audit_field((extract(epoch FROM NEW.time) * 1000000)::bigint::text)
        || audit_field(NEW.actor_kind) || audit_field(NEW.actor) || audit_field(NEW.credential)
        || audit_field(NEW.address) || audit_field(NEW.request_id) || audit_field(NEW.action)
        || audit_field(NEW.object) || audit_field(NEW.before::text) || audit_field(NEW.after::text)
        || audit_field(NEW.outcome)
    );
    RETURN NEW;
END $$;
CREATE TRIGGER chained BEFORE INSERT ON audit_entries FOR EACH ROW EXECUTE FUNCTION chain_audit_entry();

CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER append_only_whole BEFORE TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
"""

GRANTS = """
GRANT SELECT, INSERT ON audit_entries TO venue_services;
"""


def upgrade() -> None:
    for statements in (TABLE, CHAIN, GRANTS):
        op.get_bind().exec_driver_sql(statements)


def downgrade() -> None:
    raise NotImplementedError(
        "Migrations only go forward: restore a backup, or write a new revision that undoes this one."
    )
