"""A database of somebody else's: the venue's login is no superuser there, and what roles may do holds all the same."""

import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from db import audit
from db.audit import Action, Actor, ActorKind, Entry
from db.migrate import migrate
from db.session import ENGINE, PROJECTOR, SERVICES, connect, engine
from servers.embedded import postgres as embedded_postgres
from servers.embedded.addresses import postgres_url
from tests.servers import IN_A_HURRY, READY_S, free_port, wait_until


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[str]:
    """The address of an empty database whose owner may create roles, and is nothing more, in a cluster that knows no venue."""
    password, port = secrets.token_urlsafe(16), free_port()
    embedded_postgres.initialize(tmp_path / "pg", password)
    command = embedded_postgres.command(tmp_path / "pg", port, tmp_path / "postgres.pid", IN_A_HURRY)
    with (tmp_path / "postgres.log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    address = postgres_url(password, port, "postgres")
    try:
        wait_until(lambda: embedded_postgres.accepts(address), process, tmp_path / "postgres.log")
        with psycopg.connect(address, autocommit=True) as operator:
            operator.execute("CREATE ROLE tenant LOGIN CREATEROLE PASSWORD 'tenant'")
            operator.execute("CREATE DATABASE venue_of_tenant OWNER tenant")
        parts = urlsplit(address)
        yield f"{parts.scheme}://tenant:tenant@{parts.hostname}:{parts.port}/venue_of_tenant"
    finally:
        process.send_signal(2)
        process.wait(READY_S)


async def test_s23_on_somebody_elses_database_too_no_role_can_do_more_than_insert(elsewhere: str) -> None:
    migrate(elsewhere)
    services = engine(elsewhere, application_name="test", role=SERVICES)
    await audit.record(services, Entry(actor=Actor(ActorKind.SYSTEM), action=Action.ADMIN_READ))
    await services.dispose()
    for role in (SERVICES, ENGINE, PROJECTOR):
        mine = await connect(elsewhere, application_name="test", role=role)
        for statement in (
            "UPDATE audit_entries SET outcome = 'OK'",
            "DELETE FROM audit_entries",
            "TRUNCATE audit_entries",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await mine.execute(statement)
        await mine.close()
    owner = await connect(elsewhere, application_name="test")
    with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
        await owner.execute("DELETE FROM audit_entries")
    await owner.close()
