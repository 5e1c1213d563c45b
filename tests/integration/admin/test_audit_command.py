"""`venue audit` as an operator calls it: reads, exports, and verifies the database, a file and the anchors (ADM-2, S23)."""

import asyncio
import json
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner, Result

from db import audit
from db.audit import Action, Actor, ActorKind, Entry
from db.session import SERVICES, engine
from servers.admin.audit_command import app
from servers.config import Settings


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings.model_validate({"database_url": database_url, "state_dir": str(tmp_path / "state")})


def venue_audit(settings: Settings, *arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), obj=settings, env={"COLUMNS": "200"})


def filled(url: str) -> None:
    async def fill() -> None:
        opened = engine(url, application_name="test", role=SERVICES)
        for n in range(5):
            actor = Actor(ActorKind.USER, f"usr-{n % 2}")
            await audit.record(opened, Entry(actor=actor, action=Action.USER_FREEZE, object=f"user/{n}"))
        await opened.dispose()

    asyncio.run(fill())


def vandalize(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("ALTER TABLE audit_entries DISABLE TRIGGER USER")
        connection.execute(statement)
        connection.execute("ALTER TABLE audit_entries ENABLE TRIGGER USER")


def test_s23_the_log_is_exported_and_verified_and_what_was_done_to_it_is_named(
    settings: Settings, database_url: str, tmp_path: Path
) -> None:
    filled(database_url)
    listed = venue_audit(settings, "list", "--actor", "usr-1").stdout
    assert "user/1" in listed
    assert "user/2" not in listed
    file = tmp_path / "audit.jsonl"
    assert venue_audit(settings, "export", str(file)).exit_code == 0
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["action"] for line in lines] == ["USER_FREEZE"] * 5 + ["AUDIT_EXPORT"]
    assert lines[-1]["actor_kind"] == "OPERATOR"
    good = venue_audit(settings, "verify")
    assert (good.exit_code, good.stdout.partition(";")[0]) == (0, "6 entries and 1 anchors are good")
    assert venue_audit(settings, "verify", "--export", str(file)).exit_code == 0

    file.write_text(
        "".join(json.dumps(line | ({"object": "user/9"} if n == 2 else {})) + "\n" for n, line in enumerate(lines))
    )
    forged = venue_audit(settings, "verify", "--export", str(file))
    assert (forged.exit_code, forged.stderr.partition(" is")[0]) == (1, "entry 3")
    vandalize(database_url, "DELETE FROM audit_entries WHERE sequence > 4")
    cut = venue_audit(settings, "verify")
    assert (cut.exit_code, cut.stderr) == (1, "entry 5 is missing: entry 6 was the head once\n")
    vandalize(database_url, "UPDATE audit_entries SET actor = 'usr-9' WHERE sequence = 2")
    assert venue_audit(settings, "verify").stderr.startswith("entry 2 is not what was appended")


def test_s23_anchors_of_another_venue_and_files_of_something_else_are_refused(
    settings: Settings, database_url: str, tmp_path: Path
) -> None:
    filled(database_url)
    venue_audit(settings, "export", str(tmp_path / "audit.jsonl"))
    stranger = Settings.model_validate({"database_url": database_url, "state_dir": str(tmp_path / "other")})
    venue_audit(stranger, "export", str(tmp_path / "other.jsonl"))
    anchors = tmp_path / "other" / "audit" / "anchors.jsonl"
    refused = venue_audit(settings, "verify", "--anchors", str(anchors))
    assert refused.exit_code == 1
    assert "anchor 1 was not signed with this key" in refused.stderr
    key = tmp_path / "other" / "audit" / "anchor-key.pem"
    assert venue_audit(settings, "verify", "--anchors", str(anchors), "--key", str(key)).exit_code == 0
    assert venue_audit(settings, "verify", "--anchors", str(tmp_path / "nothing")).exit_code == 1
    assert "is no export" in venue_audit(settings, "verify", "--export", str(key)).stderr
