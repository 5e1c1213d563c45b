"""`venue keys rotate` and `venue keys signing`: the keys that access tokens are signed with."""

from datetime import UTC, datetime

import typer
import uvloop
from rich.console import Console
from rich.table import Table

from db.audit import Action, Entry
from servers.auth.keys import CLOCKS_S, RotationUnderWay, SigningKey, SigningKeys
from servers.domain.errors import PartUnavailable
from servers.transport.auditing import note, operator

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
    write_down(context.obj.database, entry_of(added))
    console.print(f"added {added.kid}: signs from {moment(keys.signs_from(added))}", highlight=False, soft_wrap=True)


def entry_of(added: SigningKey) -> Entry:
    return Entry(actor=operator(), action=Action.KEY_ROTATE, object=f"signing-key/{added.kid}")


def write_down(database: str, entry: Entry) -> None:
    """Append the entry of what is done, or say that the log lacks it: who must replace a key at once waits for no database."""
    try:
        uvloop.run(note(database, entry))
    except PartUnavailable:
        lacking = f"the audit log is away: {entry.action.value} is not in it"
        Console(stderr=True).print(lacking, style="red", highlight=False)


def signing(context: typer.Context) -> None:
    """List the keys that tokens are signed with and believed by, the one that signs first."""
    keys = signing_keys(context.obj)
    table = Table("key", "signs from", "")
    current, *others = keys.published()
    for key in (current, *others):
        what = "signs" if key is current else "will sign" if key.created > current.created else "is believed"
        table.add_row(key.kid, moment(keys.signs_from(key)), what)
    console.print(table)
