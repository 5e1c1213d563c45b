"""A program that is ended while it does what a letter tells of: `python -m tests.integration.auth.crashing URL KEYS`.

For each deed on its input, a line `POINT DEED ADDRESS`, a process of its own does it and ends at the place; what ended it is
printed.
"""

import asyncio
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from db import crash_points, users
from db.audit import Actor, ActorKind
from db.sealing import Sealer
from db.session import SERVICES, engine
from servers.auth.attempts import Attempts
from servers.auth.change_password import change_password
from servers.auth.desk import Desk
from servers.auth.passwords import Passwords
from servers.auth.register import register
from servers.domain.letters import Template

OLD, NEW = "quiet harbour lantern", "another harbour entirely"
URL = "http://localhost:8080"
STRANGER = Actor(ActorKind.NOBODY, address="127.0.0.1")


async def do(deed: str, email: str, database_url: str, field_keys: str) -> None:
    tables = engine(database_url, application_name="crashing", role=SERVICES)
    sealer, passwords = Sealer(lambda: field_keys), Passwords(pepper="pepper", cost=4, workers=1)
    if deed == "register":
        await register(
            tables, passwords, sealer, actor=STRANGER, email=email, password=OLD, display_name="", public_url=URL
        )
    elif deed == "change":
        user = await users.find_user_by_email(tables, email)
        assert user is not None
        actor, attempts = Actor(ActorKind.USER, name=user.user_id), Attempts(None, secret="secret")
        await change_password(tables, passwords, attempts, sealer, actor=actor, current=OLD, new=NEW)
    else:
        desk = Desk(tables, sealer, URL)
        await desk.ask(Template.PASSWORD_RESET, email, STRANGER)
        await desk.write_some()


def main() -> None:
    database_url, field_keys = sys.argv[1:]
    for line in sys.stdin:
        point, deed, email = line.split()
        child = os.fork()
        if child == 0:
            with TemporaryDirectory() as folder:
                order = Path(folder) / "crash"
                order.write_text(f"{point} 1")
                crash_points.arm(order)
            asyncio.run(do(deed, email, database_url, field_keys))
            os._exit(0)
        print(point, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if __name__ == "__main__":
    main()
