"""`venue market`: list markets, set what they take, and when they trade.

The commands go to the engine's own service, under the secret that the servers of this state folder know each other by.
"""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final

import psycopg
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from db.audit import OK, Action, Entry
from db.session import SERVICES, open_pool
from servers.admin.hours import BadHoursError, hours_text, parse_hours
from servers.domain.errors import MarketNotFound, PartUnavailable, VenueError
from servers.engine.remote import RemoteEngine
from servers.transport.auditing import note, operator
from venue.engine.v1 import engine_pb2 as pb
from venue.marketdata.v1 import marketdata_pb2

SUBMIT_S: Final = 10.0
app = typer.Typer(help="List markets, set what they take and when they trade.", no_args_is_help=True)
console = Console()


class EnvironmentName(StrEnum):
    demo = "demo"
    live = "live"


Symbol = Annotated[str, typer.Argument(help="The market, as ETH-USD.")]
Environment = Annotated[EnvironmentName | None, typer.Option(help="Else the default environment.")]


def run(deed: Awaitable[None]) -> None:
    """Raises Exit with what went wrong."""

    async def guarded() -> None:
        await deed

    try:
        uvloop.run(guarded())
    except VenueError as error:
        raise refusal(f"{error.message} ({error.reason})") from None
    except psycopg.OperationalError as error:
        raise refusal(f"PostgreSQL: {str(error).splitlines()[0]}") from None


def refusal(text: str) -> typer.Exit:
    Console(stderr=True, soft_wrap=True).print(text, style="red", highlight=False, markup=False)
    return typer.Exit(1)


@dataclass(frozen=True, slots=True)
class Place:
    """The venue of the settings, and one of its environments."""

    settings: Any
    environment: EnvironmentName | None

    @property
    def world(self) -> str:
        """LIVE or DEMO."""
        return self.environment.value.upper() if self.environment else str(self.settings.default_environment)


@asynccontextmanager
async def engines(place: Place) -> AsyncIterator[list[RemoteEngine]]:
    """The partitions of an environment."""
    settings = place.settings
    pool = await open_pool(settings.database, application_name="venue market", role=SERVICES)
    key = settings.state.secret("internal")
    numbers = [number for number, name in sorted(settings.partitions.items()) if name == place.world]
    found = [RemoteEngine(number, pool, key, settings.papers()) for number in numbers]
    try:
        yield found
    finally:
        for engine in found:
            await engine.close()
        await pool.close()


async def markets_of(engine: RemoteEngine) -> list[marketdata_pb2.Market]:
    return list((await engine.query(pb.QueryRequest(markets=pb.MarketsQuery()))).markets)


async def submit(place: Place, symbol: str, command: pb.Command) -> None:
    """Send a command to the partition of a market, and show the market after it. Raises VenueError.

    Who sent it is in the audit log, with what it changed or why it was refused.
    """
    async with engines(place) as partitions:
        for engine in partitions:
            before = [market for market in await markets_of(engine) if market.symbol == symbol]
            if before:
                outcome = (await engine.submit((command,), SUBMIT_S))[0]
                after = [market for market in await markets_of(engine) if market.symbol == symbol]
                await write_down(place, command, before[0], after[0], outcome)
                if isinstance(outcome, VenueError):
                    raise outcome
                show(after)
                return
    raise MarketNotFound(symbol)


async def write_down(
    place: Place,
    command: pb.Command,
    before: marketdata_pb2.Market,
    after: marketdata_pb2.Market,
    outcome: bytes | VenueError,
) -> None:
    """Raises Exit: what was done is not in the audit log."""
    is_state = command.HasField("set_market_state")
    entry = Entry(
        actor=operator(),
        action=Action.MARKET_STATE_SET if is_state else Action.MARKET_HOURS_SET,
        object=f"market/{place.world}/{before.symbol}",
        before=facts(before, is_state=is_state),
        after=facts(after, is_state=is_state),
        outcome=outcome.reason if isinstance(outcome, VenueError) else OK,
    )
    try:
        await note(place.settings.database, entry)
    except PartUnavailable:
        raise refusal("the audit log is away: what was asked for is not in it") from None


def facts(market: marketdata_pb2.Market, *, is_state: bool) -> dict[str, Any]:
    """What a command changes of a market."""
    if is_state:
        return {"state": marketdata_pb2.MarketState.Name(market.state).removeprefix("MARKET_STATE_")}
    return {"hours": [hours_text(each) for each in market.trading_hours]}


def show(markets: list[marketdata_pb2.Market]) -> None:
    table = Table("market", "state", "next change (UTC)", "auction", "hours (UTC)")
    for market in markets:
        change = market.next_state_time
        table.add_row(
            market.symbol,
            marketdata_pb2.MarketState.Name(market.state).removeprefix("MARKET_STATE_").lower().replace("_", "-"),
            datetime.fromtimestamp(change.seconds, UTC).strftime("%a %H:%M:%S") if change.seconds else "",
            f"{market.auction_quantity} at {market.auction_price}" if market.auction_price else "",
            " ".join(map(hours_text, market.trading_hours)) or "always",
        )
    console.print(table)


@app.command("list")
def list_markets(context: typer.Context, environment: Environment = None) -> None:
    """List the markets of an environment."""

    async def listed() -> None:
        async with engines(Place(context.obj, environment)) as partitions:
            show([market for engine in partitions for market in await markets_of(engine)])

    run(listed())


def set_state(context: typer.Context, symbol: str, state: str, environment: EnvironmentName | None) -> None:
    wanted = marketdata_pb2.MarketState.Value(f"MARKET_STATE_{state}")
    command = pb.Command(set_market_state=pb.SetMarketState(symbol=symbol, state=wanted))
    run(submit(Place(context.obj, environment), symbol, command))


# What an operator says, the state that it sets, and what the market does then.
VERBS: Final = (
    ("open", "OPEN", "Trade; if the book is crossed, by an auction first."),
    ("pre-open", "PRE_OPEN", "Collect limit orders for an opening auction."),
    ("post-only", "POST_ONLY", "Take post-only orders and cancels."),
    ("cancel-only", "CANCEL_ONLY", "Take cancels only."),
    ("halt", "HALTED", "Take nothing; orders rest."),
)


def add_verb(name: str, state: str, does: str) -> None:
    """A command that sets a state."""

    def verb(context: typer.Context, symbol: Symbol, environment: Environment = None) -> None:
        set_state(context, symbol, state, environment)

    app.command(name, help=does)(verb)


for _verb in VERBS:
    add_verb(*_verb)


@app.command()
def close(
    context: typer.Context,
    symbol: Symbol,
    environment: Environment = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,  # noqa: FBT002  # an option
) -> None:
    """End the market for good: its open orders are cancelled."""
    if not yes:
        typer.confirm(f"End {symbol} for good?", abort=True)
    set_state(context, symbol, "CLOSED", environment)


@app.command()
def hours(
    context: typer.Context,
    symbol: Symbol,
    when: Annotated[list[str] | None, typer.Argument(help="UTC, as mon-fri=13:30-20:00+600; none: always.")] = None,
    environment: Environment = None,
) -> None:
    """Set when the market trades by itself; +600: it collects orders for an auction 600 s before it opens."""
    try:
        parsed = parse_hours(when or ())
    except BadHoursError as error:
        raise refusal(str(error)) from None
    command = pb.Command(set_trading_hours=pb.SetTradingHours(symbol=symbol, hours=parsed))
    run(submit(Place(context.obj, environment), symbol, command))
