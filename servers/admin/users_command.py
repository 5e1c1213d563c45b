"""`venue users`: finds, freezes and gives roles to users, from the machine that has the database.

Who has the machine needs no second person: this is how the first administrator is made, and the last one replaced. Each deed is
in the audit log under the operator's login name.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db import audit, people, session, user_sessions, users
from db.audit import Action, Entry
from db.models.users import UserRow
from db.people import UserSearch
from db.session import SERVICES
from db.transactions import transaction
from servers.admin.audit_command import refusal, run
from servers.transport.auditing import operator

NAME: Final = "venue users"
LISTED_MAX: Final = 500
app = typer.Typer(help="Find users, freeze them and let them in again, and give them roles.", no_args_is_help=True)
console = Console()


class RoleName(StrEnum):
    user = "user"
    market_maker = "market-maker"
    support = "support"
    compliance = "compliance"
    admin = "admin"


Who = Annotated[str, typer.Argument(help="The user's id, or the whole e-mail address.")]


@asynccontextmanager
async def tables(settings: Any) -> AsyncIterator[AsyncEngine]:  # noqa: ANN401  settings are the cli's
    engine = session.engine(settings.database, application_name=NAME, role=SERVICES)
    try:
        yield engine
    finally:
        await engine.dispose()


async def user_of(engine: AsyncEngine, who: str) -> UserRow:
    """Raises Exit where there is none."""
    found = await users.find_user_by_email(engine, who) if "@" in who else await users.find_user(engine, who)
    if found is None:
        raise refusal(f"there is no user {who}")
    return found


def show(rows: list[UserRow]) -> None:
    table = Table("id", "e-mail", "name", "role", "status", "verified", "registered (UTC)")
    for row in rows:
        moment = f"{row.create_time:%Y-%m-%d %H:%M}"
        verified = "yes" if row.email_verified else "no"
        table.add_row(row.user_id, row.email, row.display_name, row.role, row.status, verified, moment)
    console.print(table)


@app.command("list")
def list_users(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="A part of the e-mail address, the id or the name.")] = "",
    role: Annotated[RoleName | None, typer.Option(help="Only users of this role.")] = None,
) -> None:
    """Show users, the last registered first."""

    async def read() -> list[UserRow]:
        async with tables(context.obj) as engine:
            search = UserSearch(text=text, role=role.name.upper() if role else "")
            return list(await people.list_users(engine, search, limit=LISTED_MAX))

    show(run(read))


def change(context: typer.Context, who: str, action: Action, **changes: str) -> None:
    """Change a user's role or status, with the entry that says so, and show the user."""

    async def changed() -> UserRow:
        async with tables(context.obj) as engine:
            user = await user_of(engine, who)
            async with transaction(engine) as opened, opened.begin():
                await write(opened, user.user_id, action, changes)
            return await user_of(engine, user.user_id)

    show([run(changed)])


async def write(opened: AsyncSession, user_id: str, action: Action, changes: dict[str, str]) -> None:
    before = await users.change_access_within(opened, user_id, **changes)
    assert before is not None, "users are never deleted"
    if changes.get("status") == users.FROZEN:
        await user_sessions.end_within(opened, user_id, user_sessions.FROZEN)
    entry = Entry(
        actor=operator(),
        action=action,
        object=f"user/{user_id}",
        before={name: getattr(before, name) for name in changes},
        after=changes,
    )
    await audit.append(opened, entry)


@app.command()
def role(context: typer.Context, who: Who, role: RoleName) -> None:
    """Give a user a role; tokens of the old one end within 5 s."""
    change(context, who, Action.USER_ROLE_SET, role=role.name.upper())


@app.command()
def freeze(context: typer.Context, who: Who) -> None:
    """Keep a user out, at once."""
    change(context, who, Action.USER_FREEZE, status=users.FROZEN)


@app.command()
def unfreeze(context: typer.Context, who: Who) -> None:
    """Let a frozen user in again."""
    change(context, who, Action.USER_UNFREEZE, status=users.ACTIVE)
