"""`venue feed`: what each source tells, how it is doing, and what became of it."""

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import psycopg
import typer
from rich.console import Console
from rich.table import Table

from db import feeds
from db.feeds import INDEX_KEY, STATES_KEY, Told
from db.price_ticks import PriceTick, list_price_ticks
from db.session import SERVICES, connect
from db.streams import BusError, open_bus
from servers.domain.money import ATTO_SCALE, format_units
from servers.feed.aggregation import SCORE_FULL

console = Console()
# A collector says something of itself every second.
GONE_MS = 10_000


@dataclass(frozen=True, slots=True)
class Shown:
    """What Redis holds of the feeds; entries by source or pair, each with its age in milliseconds."""

    states: dict[str, tuple[int, str]]
    index: dict[str, tuple[int, str]]
    quotes: dict[str, dict[str, Told]]


async def look(url: str) -> Shown:
    """Raises BusError."""
    bus = open_bus(url)
    try:
        states = await feeds.read_texts(bus, STATES_KEY)
        return Shown(states, await feeds.read_texts(bus, INDEX_KEY), await feeds.read_quotes(bus, sorted(states)))
    finally:
        await bus.aclose()


async def read_ticks(url: str, pair: str, limit: int) -> list[PriceTick]:
    """Raises psycopg.OperationalError."""
    async with await connect(url, application_name="venue feed", role=SERVICES) as connection:
        return await list_price_ticks(connection, pair, limit)


def command(
    context: typer.Context,
    ticks: Annotated[str, typer.Option(help="Show the raw ticks of this pair (BTC-USD) instead, newest first.")] = "",
    last: Annotated[int, typer.Option(help="How many.", min=1, max=10_000)] = 20,
) -> None:
    """Show each source of prices: its last prices, age, score, breaker and faults; and the index of each pair."""
    if ticks:
        show_ticks(context, ticks, last)
        return
    try:
        shown = asyncio.run(look(context.obj.redis))
    except BusError as error:
        Console(stderr=True, soft_wrap=True).print(f"Redis: {error}", style="red", highlight=False, markup=False)
        raise typer.Exit(1) from None
    if not shown.states:
        console.print("no source has told anything: is the process `feed` running?")
        raise typer.Exit(1)
    console.print(sources_table(shown))
    console.print(index_table(shown))


def show_ticks(context: typer.Context, pair: str, last: int) -> None:
    """What sources told of a pair."""
    try:
        found = asyncio.run(read_ticks(context.obj.database, pair, last))
    except psycopg.OperationalError as error:
        Console(stderr=True, soft_wrap=True).print(f"database: {error}", style="red", highlight=False, markup=False)
        raise typer.Exit(1) from None
    if not found:
        console.print(f"no source has told anything of {pair} for a day", markup=False)
        raise typer.Exit(1)
    table = Table("heard (UTC)", "source", "price", "age")
    for tick in found:
        heard = datetime.fromtimestamp(tick.time / 1e6, UTC)
        table.add_row(
            f"{heard:%Y-%m-%d %H:%M:%S.%f}", tick.source, format_units(tick.price, ATTO_SCALE), seconds(tick.age_ms)
        )
    console.print(table)


def sources_table(shown: Shown) -> Table:
    """One line a source."""
    scores: dict[str, int] = json.loads(shown.index["scores"][1]) if "scores" in shown.index else {}
    table = Table("source", "breaker", "score", "prices", "newest", "faults", "last fault", "collector")
    for source, (age_ms, text) in sorted(shown.states.items()):
        state: dict[str, Any] = json.loads(text)
        newest = min((told.age_ms for told in shown.quotes[source].values()), default=None)
        table.add_row(
            source,
            state["breaker"] if age_ms < GONE_MS else "[red]gone[/red]",
            str(scores.get(source, SCORE_FULL)),
            str(state["told"]),
            "-" if newest is None else seconds(newest),
            str(state["faults"]),
            state["fault"],
            state["holder"],
        )
    return table


def index_table(shown: Shown) -> Table:
    """One line a pair, with what every source said last."""
    table = Table("pair", "index", "as of", "made by", "refused", "last prices")
    for pair, (age_ms, text) in sorted(shown.index.items()):
        if pair == "scores":
            continue
        entry: dict[str, Any] = json.loads(text)
        told = {source: of[pair] for source, of in shown.quotes.items() if pair in of}
        table.add_row(
            pair,
            entry["price"] or "-",
            seconds(age_ms),
            " ".join(entry["used"]) or "-",
            " ".join(f"{source}: {why}" for source, why in entry["refused"].items()),
            "\n".join(f"{source} {format_units(each.price, ATTO_SCALE)}" for source, each in told.items()),
        )
    return table


def seconds(age_ms: int) -> str:
    return f"{age_ms / 1000:.1f} s"
