"""The `venue` command. Commands of rooms are imported only when they are called, so `venue up` starts at once.

A room offers a command as `servers/<room>/command.py` with a function `command` (or, for a group, a Typer object `app`).
Settings reach it as `context.obj` of its `typer.Context`.
"""

import importlib
import importlib.util
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer
from rich.console import Console

import servers
from servers.config import PROCESSES, BadSettingsError, Settings
from servers.embedded.errors import StartError

if TYPE_CHECKING:
    from servers.embedded import inspection

CHECKOUT = Path(servers.__file__).resolve().parent.parent
# Name of the command -> where it lives.
ROOMS = {
    "replay": "servers.replay.command",
    "bench": "servers.bench.command",
    "trade": "servers.trade.command",
    "limits": "servers.risk.command",
    "account": "servers.admin.account_command",
    "market": "servers.admin.command",
    "audit": "servers.admin.audit_command",
    "ledger": "servers.admin.ledger_command",
    "users": "servers.admin.users_command",
    "keys": "servers.auth.field_keys",
    "clients": "servers.auth.clients",
    "feed": "servers.feed.command",
    "mail": "servers.notify.command",
    "conformance": "servers.conformance.command",
}

app = typer.Typer(
    name="venue",
    help="A trading exchange in a box.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console()


@app.callback()
def read_settings(context: typer.Context) -> None:
    """Raises Exit with one line for each variable that is wrong."""
    try:
        context.obj = Settings.load()
    except BadSettingsError as error:
        raise refusal(str(error)) from None


def refusal(text: str) -> typer.Exit:
    Console(stderr=True, soft_wrap=True).print(text, style="red", highlight=False, markup=False)
    return typer.Exit(1)


@app.command()
def up(
    context: typer.Context,
    detach: Annotated[bool, typer.Option("--detach", help="Return once everything answers.")] = False,
) -> None:
    """Start PostgreSQL, Valkey, Envoy and every server, and show where they are."""
    from servers.embedded import launch
    from servers.embedded.plan import Embedding, Listening

    settings: Settings = context.obj
    try:
        trust, papers = settings.certificate, settings.papers()
    except StartError as error:
        raise refusal(str(error)) from None
    processes = {name: Listening(settings.port(name), settings.metrics_port(name)) for name in running(settings)}
    for number, name in enumerate(marketdata_processes(settings)):
        port, metrics_port = settings.marketdata_ports[number]
        peers = [one for at, one in enumerate(settings.marketdata_addresses) if at != number]
        values = {"port": str(port), "metrics_port": str(metrics_port), "others": json.dumps(peers), "more": "[]"}
        told = {f"VENUE_MARKETDATA_{key.upper()}": value for key, value in values.items()}
        instance = {"VENUE_INSTANCE": name.removeprefix("marketdata")}
        processes[name] = Listening(port, metrics_port, told | instance)
    embedding = Embedding(
        state=settings.state,
        host=settings.host,
        ports=ports(settings),
        database=settings.database,
        redis=settings.redis,
        own_postgres=settings.database_url is None,
        own_valkey=settings.redis_url is None,
        envoy_binary=settings.envoy_bin,
        processes=processes,
        gateway_url=settings.gateway_url,
        admin_url=settings.admin_url,
        trust=trust,
        papers=papers,
    )

    def configure() -> None:
        configure_gateway(settings)

    def bring_up_to_date() -> None:
        try:
            migrated(settings.database)
        except BadDatabaseError as error:
            raise StartError(str(error)) from None

    try:
        launch.up(embedding, console, configure, bring_up_to_date, detach=detach)
    except StartError as error:
        raise refusal(str(error)) from None


def running(settings: Settings) -> list[str]:
    switched = {"bot": settings.bot_enabled, "feed": settings.feeds}
    return [name for name in PROCESSES if switched.get(name, True)]


def marketdata_processes(settings: Settings) -> list[str]:
    """The processes that serve market data: `marketdata`, and `marketdata-2` and so on where there are more."""
    return ["marketdata", *(f"marketdata-{number}" for number in range(2, len(settings.marketdata_more) + 2))]


def ports(settings: Settings) -> dict[str, int]:
    """Every port a start listens on, by the variable that moves it."""
    names = ["gateway_port", "admin_port", "envoy_admin_port"]
    names += ["postgres_port"] if settings.database_url is None else []
    names += ["redis_port"] if settings.redis_url is None else []
    names += [f"{name}_port" for name in running(settings) if settings.port(name) is not None]
    names += [f"{name}_metrics_port" for name in running(settings)]
    found = {f"VENUE_{name.upper()}": int(getattr(settings, name)) for name in names}
    for at, (port, metrics_port) in enumerate(settings.marketdata_more):
        found |= {f"VENUE_MARKETDATA_MORE[{at}][0]": port, f"VENUE_MARKETDATA_MORE[{at}][1]": metrics_port}
    return found


def clusters(settings: Settings) -> dict[str, list[str]]:
    """Where the gateway finds the servers of each kind, as host:port."""
    return {
        "order": [f"{settings.host}:{settings.order_port}", *settings.order_others],
        "api": [f"{settings.host}:{settings.api_port}"],
        "marketdata": settings.marketdata_addresses,
    }


def configure_gateway(settings: Settings) -> None:
    """Raises StartError with Envoy's own words where it refuses."""
    from servers.embedded import endpoints, envoy

    for cluster, addresses in clusters(settings).items():
        endpoints.write(settings.state.endpoints, cluster, addresses)
    template = CHECKOUT / "gateway" / "envoy.yaml"
    envoy.configure(template, gateway_values(settings), settings.state, settings.envoy_bin)


def page() -> Path:
    """The folder with the built terminal; where it was not built, the plain page's."""
    web = CHECKOUT / "gateway" / "web"
    return web / "dist" if (web / "dist" / "index.html").is_file() else web / "public"


def gateway_values(settings: Settings) -> dict[str, str | int]:
    """What the gateway's template asks for."""
    from servers.embedded.envoy import origins, principals, sockets

    # A page of the public port may talk to administration.
    address = urlsplit(settings.gateway_url)
    pages = [f"{address.scheme}://{host}:{settings.gateway_port}" for host in (address.hostname, "localhost")]
    return {
        "GATEWAY_PORT": settings.gateway_port,
        "ADMIN_PORT": settings.envoy_admin_port,
        "ENDPOINTS": str(settings.state.endpoints),
        "DESCRIPTOR": str(CHECKOUT / "gen" / "venue.binpb"),
        "OPENAPI": str(CHECKOUT / "gen" / "openapi"),
        "MAILBOX": str(settings.shown_mailbox),
        "WEB_ROOT": str((settings.web_root or page()).resolve()),
        # Into the log of the process, which its supervisor rotates.
        "ACCESS_LOG": "/dev/stdout",
        "STRICT_JSON": str(CHECKOUT / "gateway" / "strict_json.lua"),
        "BODY_DIGEST": str(CHECKOUT / "gateway" / "body_digest.lua"),
        "CORS_ORIGINS": origins(settings.cors_origins),
        "ADMINISTRATION_PORT": settings.admin_port,
        "ADMINISTRATION_ALLOWLIST": principals(settings.admin_allowlist),
        "ADMINISTRATION_CORS_ORIGINS": origins([*settings.cors_origins, *pages]),
        "GATEWAY_HOST": settings.gateway_host,
        "SELF_HOST": address.hostname or "",
        "TRUSTED_HOPS": settings.trusted_hops,
        "ANONYMOUS_PER_MINUTE": settings.anonymous_rate,
        "LOGINS_PER_SECOND": settings.login_rate,
        "LOGINS_AT_ONCE": 4 * settings.login_rate,
        "GATEWAY_KEY": settings.state.secret("gateway"),
        **sockets(settings.certificate, settings.identity("envoy")),
    }


@app.command()
def down(context: typer.Context) -> None:
    """End the venue that runs on this state folder."""
    from servers.embedded import launch

    try:
        was_there = launch.down(context.obj.state, console)
    except StartError as error:
        raise refusal(str(error)) from None
    console.print("stopped" if was_there else "nothing is running")


@app.command()
def restart(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="order, api, marketdata, envoy, replica, bot, feed or notify.")],
) -> None:
    """Start a process of the running venue anew, while calls go on. Takes the variables that `venue up` was given."""
    from servers.embedded import rolling

    settings: Settings = context.obj
    served = {"order": settings.order_port, "api": settings.api_port}
    served |= {known: settings.marketdata_ports[at][0] for at, known in enumerate(marketdata_processes(settings))}
    try:
        if name == "envoy":
            configure_gateway(settings)
            rolling.restart_gateway(settings.state, console, settings.gateway_port)
        elif name in served:
            kind = name.partition("-")[0]
            server = rolling.Rolling(
                state=settings.state,
                name=name,
                host=settings.host,
                port=served[name],
                addresses=clusters(settings)[kind],
                gateway_admin_port=settings.envoy_admin_port,
                papers=settings.papers(),
            )
            rolling.restart(server, console)
        elif name in running(settings):
            rolling.restart_alone(settings.state, console, name)
        else:
            raise StartError(f"no such process: {name}")
    except StartError as error:
        raise refusal(str(error)) from None


@app.command()
def reset(context: typer.Context, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Delete the state folder: every account, order and trade in it. Refused while the venue runs."""
    from servers.embedded import processes

    state = context.obj.state
    try:
        if state.is_locked() or processes.leftovers(state):
            raise StartError(f"a venue is running on {state.given}: stop it with `make down`")
        if state.root.exists() and not yes and sys.stdin.isatty():
            typer.confirm(f"Delete {state.root} and everything in it?", abort=True)
        wiped = state.wipe()
    except StartError as error:
        raise refusal(str(error)) from None
    console.print(f"deleted {state.root}" if wiped else f"there is no {state.root}", highlight=False, soft_wrap=True)


@app.command()
def status(context: typer.Context) -> None:
    """Show each process: its id, since when, its port, and whether it answers; then each partition that is halted, and why."""
    from servers.embedded import inspection, processes

    settings: Settings = context.obj
    try:
        asked = questions(settings)
    except StartError as error:
        raise refusal(str(error)) from None
    elsewhere = {"bot": not settings.bot_enabled, "feed": not settings.feeds}
    elsewhere |= {"postgres": settings.database_url is not None, "valkey": settings.redis_url is not None}
    more = {"marketdata": marketdata_processes(settings)}
    ordered = (
        each for one in reversed(processes.STOP_ORDER) for each in more.get(one, [one]) if not elsewhere.get(one)
    )
    if not inspection.show(console, settings.state, {name: asked[name] for name in ordered}, settings.database):
        raise typer.Exit(1)


def questions(settings: Settings) -> "inspection.Asked":
    """What each process has to answer: a frozen one still accepts connections.

    Raises StartError where the gateway's certificate cannot be read.
    """
    from servers.embedded import health, postgres, valkey

    host, papers = settings.host, settings.papers()
    # The gateway may say that others are away: that stands beside them.
    gateway = partial(health.responds, f"{settings.gateway_url}/healthz", settings.certificate)
    found: dict[str, tuple[int | None, Callable[[], bool]]] = {
        "postgres": (settings.postgres_port, partial(postgres.accepts, settings.database)),
        "valkey": (settings.redis_port, partial(valkey.answers, settings.redis)),
        "envoy": (settings.gateway_port, gateway),
    }
    several = zip(marketdata_processes(settings), settings.marketdata_ports, strict=True)
    for name, port in {
        **{name: settings.port(name) for name in PROCESSES},
        **{name: port for name, (port, _) in several},
    }.items():
        if port is not None:
            found[name] = port, partial(health.serving, host, port, papers)
        else:
            found[name] = None, partial(health.answers, f"http://{host}:{settings.metrics_port(name)}/metrics")
    return found


@app.command()
def migrate(context: typer.Context) -> None:
    """Bring the database to the newest schema. Safe to repeat."""
    try:
        revision = migrated(context.obj.database)
    except BadDatabaseError as error:
        raise refusal(str(error)) from None
    console.print(f"the database is at revision {revision}", highlight=False)


class BadDatabaseError(Exception):
    """The database cannot be reached, or is newer than this code."""


def migrated(url: str) -> str:
    """Migrate. Returns the revision. Raises BadDatabaseError with one line."""
    import psycopg

    from db.revision import kept

    try:
        revision = kept(url)
    except psycopg.OperationalError as error:
        raise BadDatabaseError(f"PostgreSQL: {str(error).splitlines()[0]}") from None
    return revision if revision is not None else upgraded(url)


def upgraded(url: str) -> str:
    """As `migrated`, of a database that is not at the newest revision."""
    from sqlalchemy.exc import OperationalError

    from db.migrate import SchemaUnknownError
    from db.migrate import migrate as run

    try:
        return run(url)
    except OperationalError as error:
        raise BadDatabaseError(f"PostgreSQL: {str(error.orig).splitlines()[0]}") from None
    except SchemaUnknownError as error:
        raise BadDatabaseError(str(error)) from None


@app.command()
def serve(names: Annotated[list[str], typer.Argument(help="order replica marketdata api bot feed notify")]) -> None:
    """Run the named processes in this one, in the foreground."""
    from servers.main import run

    run(names)


def add_rooms(arguments: list[str]) -> None:
    """Add the room's command that is being called; all of them where the help is wanted."""
    wanted = next((word for word in arguments if not word.startswith("-")), None)
    for name, where in ROOMS.items():
        if wanted not in {None, name} or not exists(where):
            continue
        module = importlib.import_module(where)
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            app.command(name)(module.command)


def exists(where: str) -> bool:
    path = CHECKOUT.joinpath(*where.split(".")).with_suffix(".py")
    return path.is_file()


def main() -> None:
    add_rooms(sys.argv[1:])
    app()


if __name__ == "__main__":
    main()
