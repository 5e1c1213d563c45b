"""Migrations: from nothing to the newest schema, all or none, and the schema is what the code thinks it is."""

import shutil
import threading
from dataclasses import fields
from pathlib import Path

import psycopg
import pytest
import sqlalchemy
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import ProgrammingError

from db.migrate import SchemaUnknownError, migrate
from db.models import Row
from db.revision import SCRIPTS, kept, newest
from db.session import sqlalchemy_url
from servers.domain import model

FAILING = """
from alembic import op

revision = "9999"
down_revision = "{head}"
branch_labels = None
depends_on = None


def upgrade():
    op.execute("CREATE TABLE half_done (n integer)")
    op.execute("SELECT no_such_function()")


def downgrade():
    raise NotImplementedError
"""
STATE = {
    model.Asset: "assets",
    model.Market: "markets",
    model.Fees: "fees",
    model.Account: "accounts",
    model.Balance: "balances",
    model.Position: "positions",
    model.Limits: "limits",
    model.Order: "orders",
    model.TradingSession: "trading_sessions",
    model.Transfer: "transfers",
    model.Request: "requests",
    model.Clockwork: "machine",
}


def tables(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return {name for (name,) in found}


def head(scripts: Path = SCRIPTS) -> str:
    config = Config()
    config.set_main_option("script_location", str(scripts))
    return ScriptDirectory.from_config(config).get_current_head() or ""


def test_an_empty_database_gets_every_table_once(empty_database_url: str) -> None:
    assert migrate(empty_database_url) == head()
    made = tables(empty_database_url)
    assert set(Row.metadata.tables) < made
    assert migrate(empty_database_url) == head()
    assert tables(empty_database_url) == made


def test_account_events_of_before_stay_under_their_new_key(empty_database_url: str) -> None:
    migrate(empty_database_url, "0033")
    events = """
        SELECT partition, account_id, sequence, n, payload, time, tableoid::regclass::text FROM account_events ORDER BY sequence
    """
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("SELECT ensure_partitions('2026-11-05')")
        connection.execute("""
            INSERT INTO account_events (partition, sequence, n, account_id, previous_sequence, type, payload, time)
            VALUES (2, 7, 0, 'demo-a', 0, 1, 'x', '2026-11-05'), (2, 7, 1, 'demo-b', 3, 1, 'y', '2026-11-05'),
                   (2, 9, 0, 'demo-a', 7, 1, 'z', '2026-12-01'), (2, 11, 0, 'demo-a', 9, 1, '', '2031-01-01')
        """)
        before = connection.execute(events).fetchall()
    assert {row[-1] for row in before} == {f"account_events_{part}" for part in ("2026_11", "2026_12", "default")}
    migrate(empty_database_url)
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute(events).fetchall() == before
        keys = connection.execute(
            "SELECT tablename, indexdef FROM pg_indexes WHERE tablename LIKE 'account\\_events%'"
        ).fetchall()
    assert sorted(table for table, _ in keys) == sorted({table for table, _ in keys}), "one index each"
    assert all(key.endswith('(partition, account_id, sequence, n, "time")') for _, key in keys)


def test_two_that_migrate_at_once_both_succeed(empty_database_url: str) -> None:
    done: list[str] = []
    threads = [threading.Thread(target=lambda: done.append(migrate(empty_database_url))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert done == [head(), head()]


@pytest.mark.parametrize("begun", [False, True])
def test_a_migration_that_fails_leaves_nothing(empty_database_url: str, tmp_path: Path, begun: bool) -> None:
    if begun:
        migrate(empty_database_url)
    before = tables(empty_database_url)
    scripts = shutil.copytree(SCRIPTS, tmp_path / "migrations")
    (scripts / "versions" / "9999_failing.py").write_text(FAILING.format(head=head()))
    with pytest.raises(ProgrammingError, match="no_such_function"):
        migrate(empty_database_url, scripts=scripts)
    assert tables(empty_database_url) == before


def test_a_database_newer_than_the_code_is_left_alone(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '8888'")
    with pytest.raises(SchemaUnknownError, match="8888"):
        migrate(database_url)


def test_there_is_no_way_back(database_url: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    engine = sqlalchemy.create_engine(sqlalchemy_url(database_url))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        with pytest.raises(NotImplementedError, match="only go forward"):
            command.downgrade(config, "-1")
    engine.dispose()


def test_an_owner_who_may_make_roles_but_is_no_superuser_can_migrate(postgres: str, empty_database_url: str) -> None:
    name = empty_database_url.rpartition("/")[2]
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN CREATEROLE PASSWORD 'owner'")
        connection.execute(f"ALTER SCHEMA public OWNER TO {name}")
        for role in ("venue_engine", "venue_projector", "venue_services"):
            connection.execute(f"GRANT {role} TO {name}")
    address = empty_database_url.rpartition("@")[2]
    assert migrate(f"postgresql://{name}:owner@{address}") == head()


def test_models_and_tables_are_the_same(database_url: str) -> None:
    engine = sqlalchemy.create_engine(sqlalchemy_url(database_url))
    known = set(Row.metadata.tables)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                # Indexes stand in the migrations alone; monthly partitions are no models.
                "include_object": lambda _thing, name, kind, _reflected, _other: (
                    name in known if kind == "table" else kind == "column"
                ),
            },
        )
        assert compare_metadata(context, Row.metadata) == []
    engine.dispose()


@pytest.mark.parametrize(("kind", "table"), STATE.items(), ids=STATE.values())
def test_every_stored_field_of_the_rules_has_its_column(kind: type, table: str) -> None:
    stored = {entry.metadata.get("as", entry.name) for entry in fields(kind) if entry.metadata["kept"] == "stored"}
    assert set(Row.metadata.tables[table].columns.keys()) == stored | {"partition"}


def test_every_kind_of_thing_the_rules_hold_has_a_table() -> None:
    declared = {
        thing
        for thing in vars(model).values()
        if isinstance(thing, type) and thing.__module__ == model.__name__ and hasattr(thing, "__dataclass_fields__")
    }
    assert declared == set(STATE)


def test_whether_there_is_nothing_to_do_is_known_without_alembic(empty_database_url: str) -> None:
    assert newest() == head()
    assert kept(empty_database_url) is None
    migrate(empty_database_url, "0001")
    assert kept(empty_database_url) is None
    migrate(empty_database_url)
    made = tables(empty_database_url)
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(f"DROP TABLE {max(name for name in made if name.startswith('trades_2'))}")
    assert kept(empty_database_url) == head()
    assert tables(empty_database_url) == made
