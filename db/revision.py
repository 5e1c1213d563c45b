"""Whether a database has the newest schema, asked without loading what migrates it: most starts find nothing to do."""

from datetime import UTC, datetime
from pathlib import Path

import psycopg

SCRIPTS = Path(__file__).resolve().parent / "migrations"
# Two processes that start together must not both run the first revision.
LOCK = "SELECT pg_advisory_xact_lock(hashtext('venue.migrate'))"
# Does nothing on a server without TimescaleDB, and nothing twice.
HYPERTABLES = "SELECT make_hypertables()"
PARTITIONS = "SELECT ensure_partitions(%(now)s)"


def newest(scripts: Path = SCRIPTS) -> str:
    """The last revision of the code: their files begin with their numbers."""
    return max(path.name for path in (scripts / "versions").glob("[0-9]*.py")).partition("_")[0]


def kept(url: str) -> str | None:
    """Make the coming months' table partitions of a database that is at the newest revision, and return that.

    Returns None, and has done nothing, where it is at another or was never migrated.
    Raises psycopg.OperationalError where there is no such database.
    """
    with psycopg.connect(url, connect_timeout=10) as connection:
        connection.execute(LOCK)
        found = connection.execute("SELECT to_regclass('alembic_version') IS NOT NULL").fetchone()
        if found is None or not found[0]:
            return None
        rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        if [row[0] for row in rows] != [newest()]:
            return None
        connection.execute(HYPERTABLES)
        connection.execute(PARTITIONS, {"now": datetime.now(UTC)})
        return newest()
