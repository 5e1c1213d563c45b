"""Brings a database to the newest schema: all revisions in one transaction, or none."""

from datetime import UTC, datetime
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util.exc import CommandError
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from db.revision import HYPERTABLES, LOCK, PARTITIONS, SCRIPTS
from db.session import sqlalchemy_url


class SchemaUnknownError(RuntimeError):
    """The database is at a revision that this code does not have: it is newer than the code."""


def migrate(url: str, revision: str = "head", scripts: Path = SCRIPTS) -> str:
    """Migrate the database at `url` and make the coming months' table partitions. Returns the revision it is at now.

    Where the server has TimescaleDB, series become hypertables, also those of a database that had none before.

    Idempotent. Waits for nothing but another migration of the same database.
    Raises SchemaUnknownError, or what PostgreSQL refused; either way the database is as it was.
    """
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    engine = create_engine(sqlalchemy_url(url), poolclass=NullPool, connect_args={"connect_timeout": 10})
    with engine.begin() as connection:
        connection.execute(text(LOCK))
        config.attributes["connection"] = connection
        before = current(connection)
        try:
            command.upgrade(config, revision)
        except CommandError as error:
            raise SchemaUnknownError(
                f"the database is at revision {before}, which this version does not know"
            ) from error
        if connection.exec_driver_sql("SELECT to_regproc('make_hypertables') IS NOT NULL").scalar():
            connection.exec_driver_sql(HYPERTABLES)
        connection.exec_driver_sql(PARTITIONS, {"now": datetime.now(UTC)})
        return current(connection) or ""


def current(connection: Connection) -> str | None:
    """The revision a database is at, None if it was never migrated."""
    return MigrationContext.configure(connection).get_current_revision()
