"""`venue limits`: shows and sets the limits of a venue that runs, through the engine itself."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import psycopg
import typer
from google.protobuf.json_format import MessageToDict
from rich.console import Console
from rich.table import Table

from db.audit import OK, Action, Entry
from db.session import SERVICES, open_pool
from servers.domain.errors import VenueError
from servers.domain.identifiers import account_environment, account_partition
from servers.engine.remote import RemoteEngine
from servers.transport.auditing import note, operator
from venue.engine.v1 import engine_pb2 as pb
from venue.order.v1 import order_pb2

app = typer.Typer(help="Show and set limits of accounts, tiers and markets.", no_args_is_help=True)
console = Console()
CALL_S = 10.0
Given = TypeVar("Given")
_COLUMNS = ("quantity_max", "notional_max", "open_orders_max", "position_max", "daily_loss_max", "price_band_percent")


def _ask(settings: Any, partition: int, deed: Callable[[RemoteEngine], Awaitable[Given]]) -> Given:  # noqa: ANN401  settings are the cli's
    """What a partition's leader answers; ends the program with one line where it cannot."""

    async def asked() -> Given:
        pool = await open_pool(settings.database, application_name="venue limits", role=SERVICES)
        engine = RemoteEngine(partition, pool, settings.state.secret("internal"), settings.papers())
        try:
            return await deed(engine)
        finally:
            await engine.close()
            await pool.close()

    try:
        return asyncio.run(asked())
    except VenueError as error:
        message = f"{error.reason}: {error.message}"
    except psycopg.Error as error:
        message = f"PostgreSQL: {str(error).splitlines()[0]}"
    Console(stderr=True, soft_wrap=True).print(message, style="red", highlight=False, markup=False)
    raise typer.Exit(1)


def _world(settings: Any, environment: str, account: str = "") -> str:  # noqa: ANN401
    """The environment that is meant: an account's own, the one that was said, else the default. Raises BadParameter."""
    own = account_environment(account).name if account else ""
    if own and environment and environment.upper() != own:
        raise typer.BadParameter(f"{account} is no account of {environment}")
    world = own or environment.upper() or str(settings.default_environment)
    if world not in settings.partitions.values():
        raise typer.BadParameter(f"there is no environment {environment or world}")
    return world


def _partition(settings: Any, world: str, account: str = "", symbol: str = "") -> int:  # noqa: ANN401
    """Where limits are kept: in the partition of their account, else of their market, else in the first of the environment."""
    numbers = sorted(number for number, name in settings.partitions.items() if name == world)
    if account:
        return account_partition(account) or int(numbers[0])
    return next((number for number in numbers if symbol and settings.lists(number, symbol)), int(numbers[0]))


Environment = Annotated[str, typer.Option(help="LIVE or DEMO; else that of the account, or the default environment.")]


@app.command()
def show(context: typer.Context, environment: Environment = "") -> None:
    """Show all limits that were set; what is empty is left to wider ones, 0 is no limit."""
    settings: Any = context.obj

    table = Table("account", "tier", "market", *_COLUMNS, "symbols_allowed")
    for row in _ask(settings, _partition(settings, _world(settings, environment)), limits_of):
        values = [str(getattr(row.limits, name) or "") for name in _COLUMNS]
        table.add_row(row.account_id, row.tier, row.symbol, *values, " ".join(row.limits.symbols_allowed))
    console.print(table)


async def limits_of(engine: RemoteEngine) -> list[pb.SetLimits]:
    return list((await engine.query(pb.QueryRequest(limits=pb.LimitsQuery()))).limits)


def names(limits: pb.SetLimits) -> tuple[str, str, str]:
    """What limits are of: account, tier, market; empty where they are of all."""
    return limits.account_id, limits.tier, limits.symbol


def _limits(values: list[str]) -> order_pb2.Limits:
    """Limits of NAME=VALUE. Raises BadParameter."""
    limits = order_pb2.Limits()
    for value in values:
        name, _, text = value.partition("=")
        if name == "symbols_allowed":
            limits.symbols_allowed.extend(text.split(","))
        elif name == "open_orders_max" and text.isdecimal():
            limits.open_orders_max = int(text)
        elif name in _COLUMNS and name != "open_orders_max":
            setattr(limits, name, text)
        else:
            raise typer.BadParameter(f"{value}: give {', '.join(_COLUMNS)} or symbols_allowed, as NAME=VALUE")
    return limits


@app.command("set")
def set_limits(
    context: typer.Context,
    values: Annotated[list[str] | None, typer.Argument(help="NAME=VALUE, as `show` names them; 0: no limit.")] = None,
    environment: Environment = "",
    account: Annotated[str, typer.Option(help="Limits of this account.")] = "",
    tier: Annotated[str, typer.Option(help="Limits of this tier.")] = "",
    symbol: Annotated[str, typer.Option(help="Only in this market.")] = "",
) -> None:
    """Set limits in place of all of the same account, tier and market; what is left out is up to the next wider ones."""
    limits = pb.SetLimits(account_id=account, tier=tier, symbol=symbol, limits=_limits(values or []))
    settings: Any = context.obj
    world = _world(settings, environment, account)

    async def submit(engine: RemoteEngine) -> None:
        before = [each for each in await limits_of(engine) if names(each) == names(limits)]
        outcome = (await engine.submit((pb.Command(set_limits=limits),), CALL_S))[0]
        entry = Entry(
            actor=operator(),
            action=Action.LIMITS_SET,
            object="/".join(("limits", world, *filter(None, names(limits)))),
            before={"limits": MessageToDict(before[0].limits) if before else {}},
            after={"limits": MessageToDict(limits.limits)},
            outcome=outcome.reason if isinstance(outcome, VenueError) else OK,
        )
        await note(settings.database, entry)
        if isinstance(outcome, VenueError):
            raise outcome

    _ask(settings, _partition(settings, world, account, symbol), submit)
    console.print(f"set, {world}")
