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
    context: typer.Context,
    target: Annotated[str, typer.Option(help="HOST or HOST:PORT; else the gateway that is configured.")] = "",
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
    secure = Secure(ca.read_bytes() if ca else None) if tls or ca else None
    if not target:
        # As the venue's other commands find it, with its certificate where it has one.
        target, trust = context.obj.gateway_url.partition("//")[2], context.obj.trust
        if secure is None and trust is not None:
            secure = Secure(trust.certificate, trust.name)
    host, _, port = target.rpartition(":") if ":" in target else (target, "", "443" if secure else "8080")
    if not host or not port.isdigit():
        raise typer.BadParameter(f"{target} is not HOST or HOST:PORT", param_hint="--target")
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
    """TLS, with the authority to trust (PEM; None: the system's) and the name in the certificate where it is not the target's."""

    authority: bytes | None
    name: str = ""

    def context(self) -> ssl.SSLContext:
        made = ssl.create_default_context(cadata=self.authority.decode() if self.authority else None)
        # What is trusted may be the certificate itself, whoever signed it.
        made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return made

    def channel(self, target: str) -> grpc.aio.Channel:
        options = [("grpc.ssl_target_name_override", self.name)] if self.name else []
        return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(self.authority), options=options)


class Named(httpx.AsyncHTTPTransport):
    """HTTP over TLS to whoever has a certificate of that name."""

    def __init__(self, secure: Secure) -> None:
        super().__init__(verify=secure.context())
        self._name = secure.name

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._name:
            request.extensions["sni_hostname"] = self._name
        return await super().handle_async_request(request)


async def visited(target: str, symbol: str, secure: Secure | None, person: tuple[str, str]) -> list[Result]:
    """The results. Raises Exit with a line where nothing can be asked."""
    if secure is None:
        channel, url, transport = grpc.aio.insecure_channel(target), f"http://{target}", None
    else:
        channel, url, transport = secure.channel(target), f"https://{target}", Named(secure)
    async with channel, httpx.AsyncClient(base_url=url, transport=transport, timeout=CALL_S) as rest:
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
