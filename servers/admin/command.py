"""`venue market`: list markets, make new ones, set what they take, what they cost, and when they trade.

The commands go to the engine's own service, under the secret that the servers of this state folder know each other by.
"""

from typing import Annotated, Any, Final

import typer

from db.audit import OK, Action, Entry
from servers.admin.hours import BadHoursError, hours_text, parse_hours
from servers.admin.list_market import asset, create, fees
from servers.admin.operating import (
    SUBMIT_S,
    Environment,
    EnvironmentName,
    Place,
    Symbol,
    engines,
    into_log,
    markets_of,
    refusal,
    run,
    show,
)
from servers.domain.errors import MarketNotFound, VenueError
from servers.transport.auditing import operator
from venue.engine.v1 import engine_pb2 as pb
from venue.marketdata.v1 import marketdata_pb2

app = typer.Typer(
    help="List markets, make new ones, set what they take, what they cost and when they trade.", no_args_is_help=True
)
for _made in (create, asset, fees):
    app.command()(_made)


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
    await into_log(place, entry)


def facts(market: marketdata_pb2.Market, *, is_state: bool) -> dict[str, Any]:
    """What a command changes of a market."""
    if is_state:
        return {"state": marketdata_pb2.MarketState.Name(market.state).removeprefix("MARKET_STATE_")}
    return {"hours": [hours_text(each) for each in market.trading_hours]}


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
