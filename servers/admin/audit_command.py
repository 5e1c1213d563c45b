"""`venue audit`: reads, exports and verifies the audit log, from the machine that has the state folder."""

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import psycopg
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from db import audit, session
from db.audit import Action, Entry, Search
from db.audit_chain import FIELDS, Head, Link, Verdict, verify
from db.session import SERVICES
from servers.admin.anchors import Anchors, BadAnchorError, read_anchors, read_key
from servers.domain.errors import VenueError
from servers.transport.auditing import operator

app = typer.Typer(help="Read, export and verify the audit log.", no_args_is_help=True)
console = Console()
Given = TypeVar("Given")
NAME: Final = "venue audit"


def run(deed: Callable[[], Awaitable[Given]]) -> Given:
    """Raises Exit with what went wrong."""

    async def guarded() -> Given:
        return await deed()

    try:
        return uvloop.run(guarded())
    except VenueError as error:
        raise refusal(f"{error.message} ({error.reason})") from None
    except psycopg.Error as error:
        raise refusal(f"PostgreSQL: {str(error).splitlines()[0]}") from None


def refusal(text: str) -> typer.Exit:
    Console(stderr=True, soft_wrap=True).print(text, style="red", highlight=False, markup=False)
    return typer.Exit(1)


@app.command("list")
def list_entries(
    context: typer.Context,
    actor: Annotated[str, typer.Option(help="A user's id, an operator's login name, a part of the venue.")] = "",
    action: Annotated[str, typer.Option(help="As USER_FREEZE.")] = "",
    object: Annotated[str, typer.Option(help="As user/usr-...")] = "",  # noqa: A002  the field's own name
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
) -> None:
    """Show entries, newest first."""

    async def read() -> list[Any]:
        engine = session.engine(context.obj.database, application_name=NAME, role=SERVICES)
        try:
            return list(
                await audit.list_entries(engine, Search(actor=actor, action=action, object=object), limit=limit)
            )
        finally:
            await engine.dispose()

    table = Table("sequence", "time (UTC)", "actor", "action", "object", "before", "after", "outcome")
    for row in run(read):
        changed = [json.dumps(value, sort_keys=True) if value is not None else "" for value in (row.before, row.after)]
        moment = row.time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
        who = row.actor or row.actor_kind.lower()
        table.add_row(str(row.sequence), moment, who, row.action, row.object, *changed, row.outcome)
    console.print(table)


@asynccontextmanager
async def connected(settings: Any) -> AsyncIterator[session.Connection]:  # noqa: ANN401  settings are the cli's
    connection = await session.connect(settings.database, application_name=NAME, role=SERVICES)
    try:
        yield connection
    finally:
        await connection.close()


@app.command()
def export(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="Where to; the terminal where it is not given.")] = None,
) -> None:
    """Write all entries as lines of JSON, with their hashes: `verify --export` checks them anywhere. Leaves an entry itself."""

    async def write() -> Head:
        settings = context.obj
        engine = session.engine(settings.database, application_name=NAME, role=SERVICES)
        try:
            await audit.record(engine, Entry(actor=operator(), action=Action.AUDIT_EXPORT))
        finally:
            await engine.dispose()
        last = Head(0, b"")
        output = file.open("w", encoding="utf-8") if file is not None else sys.stdout
        try:
            async with connected(settings) as connection:
                async for link in audit.links(connection):
                    line = dict(zip(FIELDS, link.fields, strict=True)) | {"hash": link.hash.hex()}
                    output.write(json.dumps(line) + "\n")
                    last = Head(link.sequence, link.hash)
        finally:
            if file is not None:
                output.close()
        return last

    last = run(write)
    Anchors(context.obj.state.root).append(last)
    Console(stderr=True).print(f"{last.sequence} entries, the last one {last.hash.hex()}", highlight=False)


async def exported(file: Path) -> AsyncIterator[Link]:
    """Raises ValueError or KeyError where the file is no export."""
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            said = json.loads(line)
            yield Link(int(said["sequence"]), tuple(said[name] for name in FIELDS), bytes.fromhex(said["hash"]))


@app.command("verify")
def verify_log(
    context: typer.Context,
    anchors: Annotated[Path | None, typer.Option(help="Heads that were kept; else those of the state folder.")] = None,
    key: Annotated[Path | None, typer.Option(help="The public key they were signed with; else the venue's.")] = None,
    export: Annotated[Path | None, typer.Option(help="Verify an exported file instead of the database.")] = None,
) -> None:
    """Go through the whole chain and the anchors; name the first entry that is not what it was, and exit with 1."""
    own = Anchors(context.obj.state.root)
    heads: list[Head] = []
    file = anchors or own.file
    try:
        if anchors is not None or own.file.exists():
            heads = read_anchors(file.read_text(encoding="utf-8").splitlines(), read_key(key or own.public_key))
    except (BadAnchorError, OSError) as error:
        raise refusal(f"{file}: {error}") from None

    async def go_through() -> Verdict:
        if export is not None:
            return await verify(exported(export), heads)
        async with connected(context.obj) as connection:
            return await verify(audit.links(connection), heads)

    try:
        verdict = run(go_through)
    except (ValueError, KeyError, OSError) as error:
        raise refusal(f"{export} is no export of the audit log: {error}") from None
    if verdict.broken is not None:
        raise refusal(f"entry {verdict.broken.sequence} {verdict.broken.what}")
    console.print(
        f"{verdict.entries} entries and {verdict.anchors} anchors are good; the last entry is {verdict.head.hash.hex()}",
        highlight=False,
        soft_wrap=True,
    )
