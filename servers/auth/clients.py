"""`venue clients`: the programs that users may sign on to."""

import re
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlsplit

import typer
import uvloop
from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from db import sign_on
from db.session import SERVICES, engine
from servers.domain.errors import VenueError
from servers.transport.auditing import operator

SCOPES: Final = ("read", "trade", "withdraw", "account")
_ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
Given = TypeVar("Given")

app = typer.Typer(help="The programs that users may sign on to.", no_args_is_help=True)
console = Console()


def refusal(text: str) -> typer.Exit:
    Console(stderr=True, soft_wrap=True).print(text, style="red", highlight=False, markup=False)
    return typer.Exit(1)


def run(settings: Any, deed: Callable[[AsyncEngine], Awaitable[Given]]) -> Given:  # noqa: ANN401  the cli's own settings
    """Raises Exit with what went wrong."""

    async def guarded() -> Given:
        database = engine(settings.database, application_name="venue clients", role=SERVICES)
        try:
            return await deed(database)
        finally:
            await database.dispose()

    try:
        return uvloop.run(guarded())
    except VenueError as error:
        raise refusal(f"{error.message} ({error.reason})") from None


@app.command()
def add(
    context: typer.Context,
    client_id: Annotated[str, typer.Argument(help="Small letters, digits and . _ - only.")],
    redirect_uri: Annotated[list[str], typer.Option(help="Where users are sent back to; may be given again.")],
    scope: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(SCOPES)}; read where none is given.")] = None,
    name: Annotated[str, typer.Option(help="What users see; the id where none is given.")] = "",
) -> None:
    """Register a client, or change the one with this id."""
    scopes = scope or ["read"]
    if not _ID.fullmatch(client_id):
        raise refusal("the client's id may hold small letters, digits and . _ - only, at most 64")
    for given in scopes:
        if given not in SCOPES:
            raise refusal(f"there is no scope {given}: give of {', '.join(SCOPES)}")
    for uri in redirect_uri:
        if wrong := what_is_wrong(uri):
            raise refusal(f"{uri} {wrong}")
    run(
        context.obj,
        lambda database: sign_on.put_client(
            database,
            client_id,
            operator(),
            name=name or client_id,
            redirect_uris=redirect_uri,
            scopes=sorted(set(scopes)),
        ),
    )
    console.print(f"registered {client_id}", highlight=False)


@app.command("list")
def list_clients(context: typer.Context) -> None:
    """List the registered clients."""
    table = Table("client", "name", "scopes", "redirect URIs")
    for row in run(context.obj, sign_on.list_clients):
        table.add_row(row.client_id, row.name, " ".join(row.scopes), "\n".join(row.redirect_uris))
    console.print(table)


@app.command()
def remove(context: typer.Context, client_id: str) -> None:
    """Take a client off the list; the sessions that it was given end."""
    if not run(context.obj, lambda database: sign_on.remove_client(database, client_id, operator())):
        raise refusal(f"there is no client {client_id}")
    console.print(f"removed {client_id}", highlight=False)


def what_is_wrong(uri: str) -> str:
    """Why a redirect URI is not taken; empty where it is. Codes go there: it is https, or this machine itself (RFC 8252, 7.3)."""
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "is no URI"
    if (
        parts.fragment
        or "#" in uri
        or parts.username is not None
        or not uri.isascii()
        or not uri.isprintable()
        or " " in uri
    ):
        return "must be without fragment, user and spaces"
    if parts.scheme == "https" and host:
        return ""
    if parts.scheme == "http" and (host == "localhost" or is_loopback(host)):
        return ""
    return "must be https, or http to this machine"


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
