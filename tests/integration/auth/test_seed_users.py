"""The first users exist once, and can log in with what the banner shows."""

import asyncio
import json
import stat
from pathlib import Path

from servers.auth.seed_users import seed_users
from tests.integration.auth.conftest import Auth
from venue.option.v1 import access_pb2


async def test_seeding_again_changes_nothing(auth: Auth, tmp_path: Path) -> None:
    logins = tmp_path / "secrets" / "logins.json"
    first = await seed_users(auth.engine, auth.passwords, logins)
    assert await seed_users(auth.engine, auth.passwords, logins) == first
    assert stat.S_IMODE(logins.stat().st_mode) == 0o600
    assert json.loads(logins.read_text()) == {login.email: login.password for login in first}
    users = [(await auth.login(login.email, login.password)).user for login in first]
    assert [(user.user_id, user.email, user.role, user.email_verified) for user in users] == [
        (first[0].user_id, "demo@venue.local", access_pb2.ROLE_USER, True),
        (first[1].user_id, "maker@venue.local", access_pb2.ROLE_MARKET_MAKER, True),
        (first[2].user_id, "admin@venue.local", access_pb2.ROLE_ADMIN, True),
        (first[3].user_id, "checker@venue.local", access_pb2.ROLE_ADMIN, True),
    ]
    assert len({login.password for login in first}) == 4


async def test_two_processes_that_seed_at_once_agree(auth: Auth, tmp_path: Path) -> None:
    logins = tmp_path / "secrets" / "logins.json"
    seeded = await asyncio.gather(*(seed_users(auth.engine, auth.passwords, logins) for _ in range(4)))
    for login in seeded[0]:
        await auth.login(login.email, login.password)
    assert all(one == seeded[0] for one in seeded)


async def test_a_start_that_was_cut_off_is_completed(auth: Auth, tmp_path: Path) -> None:
    logins = tmp_path / "secrets" / "logins.json"
    await seed_users(auth.engine, auth.passwords, logins)
    await auth.rows("DELETE FROM users WHERE email = 'admin@venue.local'")
    seeded = await seed_users(auth.engine, auth.passwords, logins)
    await auth.login("admin@venue.local", seeded[2].password)


async def test_users_whose_passwords_were_lost_get_new_ones(auth: Auth, tmp_path: Path) -> None:
    old = await seed_users(auth.engine, auth.passwords, tmp_path / "old.json")
    new = await seed_users(auth.engine, auth.passwords, tmp_path / "new.json")
    assert [login.user_id for login in old] == [login.user_id for login in new]
    for login in new:
        await auth.login(login.email, login.password)
    assert await auth.refused(auth.login(old[0].email, old[0].password)) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")


async def test_a_user_who_came_later_is_added_to_the_others(auth: Auth, tmp_path: Path) -> None:
    logins = tmp_path / "secrets" / "logins.json"
    first = await seed_users(auth.engine, auth.passwords, logins)
    known = json.loads(logins.read_text())
    del known["checker@venue.local"]
    logins.write_text(json.dumps(known))
    again = await seed_users(auth.engine, auth.passwords, logins)
    assert again[:3] == first[:3]
    await auth.login("checker@venue.local", again[3].password)
