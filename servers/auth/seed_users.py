"""The first users of an embedded venue, with passwords drawn at the first start and kept in `logins.json` (0600).

The file is written before the users, so a start that was cut off is completed by the next one. A user whose password the file
does not know gets a new one: with the state folder the pepper was lost too, and no old password works without it.
"""

import fcntl
import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from db import users
from servers.auth.identifiers import new_id
from servers.auth.passwords import Passwords

SEEDS: Final = (
    ("demo@venue.local", "Demo", "USER"),
    ("maker@venue.local", "Market maker", "MARKET_MAKER"),
    ("admin@venue.local", "Administrator", "ADMIN"),
    # What an administrator proposes, another one approves.
    ("checker@venue.local", "Second administrator", "ADMIN"),
)
PASSWORD_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class Login:
    user_id: str
    email: str
    password: str = field(repr=False)


async def seed_users(engine: AsyncEngine, passwords: Passwords, logins: Path) -> list[Login]:
    """Create the users that are missing, verified. `logins` maps e-mail to password. Returns all of them."""
    known, drawn = draw_missing(logins)
    seeded = []
    for email, name, role in SEEDS:
        user = await users.find_user_by_email(engine, email)
        if user is None or email not in known:
            new = users.NewUser(
                user_id=new_id("usr"),
                email=email,
                password_hash=await passwords.hash(drawn[email]),
                display_name=name,
                role=role,
                email_verified=True,
            )
            user = await users.put_user(engine, new)
        seeded.append(Login(user.user_id, email, drawn[email]))
    return seeded


def read(logins: Path) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads(logins.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found


def draw_missing(logins: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Draw passwords for those whom the file does not know, and add them to it. Returns what it knew, and what it knows now."""
    logins.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with logins.with_name(f".{logins.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of two processes at once the second reads what the first has drawn
        known = read(logins)
        drawn = known | {email: secrets.token_urlsafe(PASSWORD_BYTES) for email, _, _ in SEEDS if email not in known}
        if drawn != known:
            write(logins, drawn)
    return known, drawn


def write(logins: Path, drawn: dict[str, str]) -> None:
    made = logins.with_name(f".{logins.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(drawn, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    made.replace(logins)
