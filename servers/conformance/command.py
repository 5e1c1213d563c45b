"""The command `venue conformance`: the list of checks against any deployment, as a table."""

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import grpc
import httpx
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from servers.conformance.kit import CHECKS, Result, run
from servers.conformance.visit import CALL_S, Broken, Visit

console = Console(soft_wrap=True)


def command(
    target: Annotated[str, typer.Option(help="HOST or HOST:PORT of the gateway.")] = "localhost:8080",
    symbol: Annotated[str, typer.Option(help="A demo market with a lot and a tick.")] = "ETH-USD",
    tls: Annotated[bool, typer.Option("--tls", help="Speak TLS.")] = False,  # noqa: FBT002
    ca: Annotated[
        Path | None, typer.Option(help="Trust this authority (PEM) in place of the system's; implies --tls.")
    ] = None,
    user: Annotated[str, typer.Option(help="An existing user, where registration is closed.")] = "",
    password: Annotated[str, typer.Option(envvar="VENUE_PASSWORD", help="The user's password.")] = "",
) -> None:
    """Check that a deployment keeps the contract. Registers a user with a demo account there. Exit code 1: it does not."""
    if bool(user) != bool(password):
        raise typer.BadParameter("--user and --password go together")
    host, _, port = target.rpartition(":") if ":" in target else (target, "", "443" if tls or ca else "8080")
    if not host or not port.isdigit():
        raise typer.BadParameter(f"{target} is not HOST or HOST:PORT", param_hint="--target")
    secure = Secure(ca.read_bytes() if ca else None) if tls or ca else None
    results = asyncio.run(visited(f"{host}:{port}", symbol, secure, (user, password)))
    table = Table("area", "the contract", "kept", box=None, padding=(0, 1))
    for check, why in results:
        table.add_row(check.area, check.says, f"[red]no: {escape(why)}[/red]" if why else "[green]yes[/green]")
    console.print(table)
    broken = sum(bool(result.why) for result in results)
    console.print(f"{len(results) - broken} of {len(CHECKS)} kept at {host}:{port}", highlight=False)
    if broken or len(results) < len(CHECKS):
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class Secure:
    """TLS, with the authority to trust (PEM); None: the system's."""

    authority: bytes | None


async def visited(target: str, symbol: str, secure: Secure | None, person: tuple[str, str]) -> list[Result]:
    """The results. Raises Exit with a line where nothing can be asked."""
    trust = ssl.create_default_context(cadata=secure.authority.decode() if secure and secure.authority else None)
    if secure is None:
        channel, url = grpc.aio.insecure_channel(target), f"http://{target}"
    else:
        channel = grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(secure.authority))
        url = f"https://{target}"
    async with channel, httpx.AsyncClient(base_url=url, verify=trust, timeout=CALL_S) as rest:
        visit = Visit(rest, channel, symbol)
        if person[0]:
            visit.email, visit.password, visit.registers = *person, False
        try:
            return [result async for result in run(visit)]
        except (Broken, httpx.HTTPError) as error:
            console.print(
                f"nothing can be asked at {target}: {type(error).__name__}: {error}", highlight=False, markup=False
            )
            raise typer.Exit(1) from None
