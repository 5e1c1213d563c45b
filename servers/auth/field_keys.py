"""`venue keys`: the keys of encrypted fields. A key is changed by `add`, then `reencrypt`; then the old one may go.

The keys that tokens are signed with stand beside them, in `signing_keys_command.py`.
"""

import psycopg
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from db.audit import Action, Entry
from db.sealing import SealBroken, Sealer, count_by_key, new_entry, parse
from db.sealing import reencrypt as seal_anew
from db.session import SERVICES, open_pool
from servers.auth.signing_keys_command import rotate, signing, write_down
from servers.transport.auditing import operator

app = typer.Typer(
    help="The keys that fields are encrypted with in the database, and those that tokens are signed with.",
    no_args_is_help=True,
)
app.command("rotate")(rotate)
app.command("signing")(signing)
console = Console()


def refusal(text: str) -> typer.Exit:
    Console(stderr=True, soft_wrap=True).print(text, style="red", highlight=False, markup=False)
    return typer.Exit(1)


@app.command("list")
def list_keys(context: typer.Context) -> None:
    """List the keys by id, the one that seals first, and how many fields each has sealed."""
    settings = context.obj

    async def counted() -> dict[str, int]:
        pool = await open_pool(settings.database, application_name="venue keys", role=SERVICES)
        try:
            return await count_by_key(pool)
        finally:
            await pool.close()

    try:
        counts = uvloop.run(counted())
        known = list(parse(settings.read_field_keys()).by_id)
    except (psycopg.OperationalError, ValueError) as error:
        raise refusal(str(error).splitlines()[0]) from None
    table = Table("key", "fields", "")
    for name in [*known, *sorted(counts.keys() - known)]:
        what = "seals" if name == known[0] else "opens" if name in known else "missing"
        table.add_row(name, str(counts.get(name, 0)), what)
    console.print(table)


@app.command()
def add(context: typer.Context) -> None:
    """Put a new key before those of the state folder. Where keys are given by variable or file, print an entry to put there."""
    settings = context.obj
    entry = new_entry()
    if settings.field_keys is not None or settings.field_keys_file is not None:
        console.print(entry, highlight=False, soft_wrap=True)
        return
    settings.state.replace_secret("field-keys", f"{entry}\n{settings.read_field_keys()}")
    added = entry.partition(":")[0]
    write_down(settings.database, Entry(actor=operator(), action=Action.FIELD_KEY_ADD, object=f"field-key/{added}"))
    console.print(f"added {added}: restart the servers, then run `venue keys reencrypt`", highlight=False)


@app.command()
def reencrypt(context: typer.Context) -> None:
    """Encrypt anew what is not under the first key. Safe beside running servers, and to repeat."""
    settings = context.obj

    async def run() -> int:
        pool = await open_pool(settings.database, application_name="venue keys", role=SERVICES)
        try:
            return await seal_anew(pool, Sealer(settings.read_field_keys))
        finally:
            await pool.close()

    try:
        done = uvloop.run(run())
    except (psycopg.OperationalError, SealBroken, ValueError) as error:
        raise refusal(str(error).splitlines()[0]) from None
    write_down(settings.database, Entry(actor=operator(), action=Action.FIELD_KEYS_REENCRYPT, after={"fields": done}))
    console.print(f"{done} fields encrypted anew", highlight=False)
