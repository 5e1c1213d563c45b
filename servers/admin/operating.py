"""What the commands of `venue market` share: where they go, what they show, and what is said of what went wrong."""

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
from servers.admin.hours import hours_text
from servers.domain.errors import PartUnavailable, VenueError
from servers.engine.remote import RemoteEngine
from servers.transport.auditing import note, operator
from venue.engine.v1 import engine_pb2 as pb
from venue.marketdata.v1 import marketdata_pb2

SUBMIT_S: Final = 10.0
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
    """The partitions of an environment. Raises Exit where it has none."""
    settings = place.settings
    numbers = [number for number, name in sorted(settings.partitions.items()) if name == place.world]
    if not numbers:
        raise refusal(f"no partition is of {place.world}")
    pool = await open_pool(settings.database, application_name="venue market", role=SERVICES)
    key = settings.state.secret("internal")
    found = [RemoteEngine(number, pool, key, settings.papers()) for number in numbers]
    try:
        yield found
    finally:
        for engine in found:
            await engine.close()
        await pool.close()


async def markets_of(engine: RemoteEngine) -> list[marketdata_pb2.Market]:
    return list((await engine.query(pb.QueryRequest(markets=pb.MarketsQuery()))).markets)


async def into_log(place: Place, entry: Entry) -> None:
    """Raises Exit: what was done is not in the audit log."""
    try:
        await note(place.settings.database, entry)
    except PartUnavailable:
        raise refusal("the audit log is away: what was asked for is not in it") from None


async def submit(
    place: Place,
    engine: RemoteEngine,
    command: pb.Command,
    action: Action,
    object_: str,
    after: dict[str, Any],
    before: dict[str, Any] | None = None,
) -> None:
    """Have a command done, and write down what was asked for and what came of it. Raises VenueError."""
    outcome = (await engine.submit((command,), SUBMIT_S))[0]
    entry = Entry(
        actor=operator(),
        action=action,
        object=object_,
        before=before,
        after=after,
        outcome=outcome.reason if isinstance(outcome, VenueError) else OK,
    )
    await into_log(place, entry)
    if isinstance(outcome, VenueError):
        raise outcome


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
