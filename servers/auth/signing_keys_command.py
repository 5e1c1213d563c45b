"""`venue keys rotate` and `venue keys signing`: the keys that access tokens are signed with."""

import getpass
from datetime import UTC, datetime

import typer
import uvloop
from rich.console import Console
from rich.table import Table

from db import audit, session
from db.session import SERVICES
from servers.auth.keys import CLOCKS_S, RotationUnderWay, SigningKey, SigningKeys
from servers.domain.errors import PartUnavailable

console = Console()


def signing_keys(settings: object) -> SigningKeys:
    folder, life_s = settings.state.root / "secrets", settings.access_ttl_s  # type: ignore[attr-defined]
    return SigningKeys(folder, retire_s=life_s + CLOCKS_S)


def moment(second: float) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if second else "the first start"


def rotate(context: typer.Context) -> None:
    """Add a key for signing tokens. It signs in two minutes, when everybody knows it; the old one is known until its last token
    is over. Running servers see it by themselves.
    """
    keys = signing_keys(context.obj)
    try:
        added = keys.rotate()
    except RotationUnderWay as error:
        Console(stderr=True).print(f"{error}: it will at {moment(error.signs_from)}", style="red", highlight=False)
        raise typer.Exit(1) from None
    try:
        uvloop.run(note(context.obj.database, added))
    except PartUnavailable:
        # Who must replace a key at once should not have to wait for a database.
        Console(stderr=True).print("the audit log is away: the rotation is not in it", style="red", highlight=False)
    console.print(f"added {added.kid}: signs from {moment(keys.signs_from(added))}", highlight=False, soft_wrap=True)


async def note(database: str, added: SigningKey) -> None:
    """Raises PartUnavailable."""
    engine = session.engine(database, application_name="venue keys", role=SERVICES)
    entry = audit.Entry(
        actor=audit.Actor(audit.ActorKind.OPERATOR, getpass.getuser()),
        action=audit.Action.KEY_ROTATE,
        object=f"signing-key/{added.kid}",
    )
    try:
        await audit.record(engine, entry)
    finally:
        await engine.dispose()


def signing(context: typer.Context) -> None:
    """List the keys that tokens are signed with and believed by, the one that signs first."""
    keys = signing_keys(context.obj)
    table = Table("key", "signs from", "")
    current, *others = keys.published()
    for key in (current, *others):
        what = "signs" if key is current else "will sign" if key.created > current.created else "is believed"
        table.add_row(key.kid, moment(keys.signs_from(key)), what)
    console.print(table)
