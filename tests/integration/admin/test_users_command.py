"""`venue users` as an operator calls it: it needs no second person, and leaves its name (ADM-1)."""

import asyncio
import json

from psycopg import connect
from typer.testing import CliRunner, Result

from servers.admin.users_command import app
from servers.config import Settings
from tests.integration.admin.conftest import add_people, user_id


def test_an_operator_finds_freezes_and_promotes(database_url: str) -> None:
    asyncio.run(add_people(database_url))
    settings = Settings.model_validate({"database_url": database_url})

    def venue_users(*arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments), obj=settings, env={"COLUMNS": "220"})

    listed = venue_users("list", "ulla@").stdout
    assert "usr-ulla" in listed
    assert "usr-vera" not in listed
    assert venue_users("list", "--role", "compliance").stdout.count("usr-") == 1
    assert "MARKET_MAKER" in venue_users("role", "ULLA@example.com", "market-maker").stdout
    assert "FROZEN" in venue_users("freeze", user_id("ulla")).stdout
    assert "ACTIVE" in venue_users("unfreeze", user_id("ulla")).stdout
    refused = venue_users("freeze", "nobody@example.com")
    assert (refused.exit_code, refused.stderr) == (1, "there is no user nobody@example.com\n")
    with connect(database_url) as connection:
        entries = connection.execute(
            "SELECT actor_kind, action, object, before, after FROM audit_entries ORDER BY sequence"
        ).fetchall()
        (ended,) = connection.execute("SELECT revoke_reason FROM sessions WHERE session_id = 'ses-ulla'").fetchall()
    told = [(kind, action, about, json.dumps([before, after])) for kind, action, about, before, after in entries]
    about = f"user/{user_id('ulla')}"
    assert told == [
        ("OPERATOR", "USER_ROLE_SET", about, '[{"role": "USER"}, {"role": "MARKET_MAKER"}]'),
        ("OPERATOR", "USER_FREEZE", about, '[{"status": "ACTIVE"}, {"status": "FROZEN"}]'),
        ("OPERATOR", "USER_UNFREEZE", about, '[{"status": "FROZEN"}, {"status": "ACTIVE"}]'),
    ]
    assert ended == ("FROZEN",)
