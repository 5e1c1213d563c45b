"""`venue bench`: the figures of this machine, as ratios."""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from servers.bench import machine, plot, report
from servers.bench.errors import BenchError
from servers.bench.figures import Results
from servers.bench.load import find_client
from servers.bench.run import Plan, measure

PAGE: Final = Path("docs/benchmarks.md")
QUICK_S: Final = 0.4
# Of the table in a file or a pipe.
WIDTH: Final = 134


def command(
    context: typer.Context,
    seconds: Annotated[float, typer.Option(min=0.2, help="How long each load is measured.")] = 2.5,
    rounds: Annotated[int, typer.Option(min=1, help="How often everything is measured.")] = 3,
    out: Annotated[Path | None, typer.Option(help=f"The page to write; {PAGE} if not given.")] = None,
    quick: Annotated[  # noqa: FBT002  # an option of the command line
        bool, typer.Option("--quick", help="One short round without the peer: does it run? Writes only to --out.")
    ] = False,
) -> None:
    """Measure a venue of its own against an echo of the same messages, in the same run."""
    settings: Any = context.obj
    plan = Plan(
        settings=settings,
        beside=settings.state.root.parent,
        python312=settings.python312,
        seconds=QUICK_S if quick else seconds,
        rounds=1 if quick else rounds,
        quick=quick,
    )
    console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else WIDTH)
    client = find_client()
    known = machine.describe(plan.beside, client.name)
    try:
        results = asyncio.run(measure(plan, client, lambda text: console.print(text, highlight=False)))
    except BenchError as error:
        Console(stderr=True, soft_wrap=True).print(str(error), style="red", highlight=False, markup=False)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    console.print(report.table(results))
    for fact in report.facts(results):
        console.print(fact, highlight=False)
    page = out or (None if quick else PAGE)
    if page is not None:
        given = f"venue bench --seconds {plan.seconds:g} --rounds {plan.rounds}" + (" --quick" if quick else "")
        write(page, results, known, given)
        console.print(f"written to {page}", highlight=False)


def write(page: Path, results: Results, known: dict[str, str], given: str) -> None:
    """The page, and its picture beside it."""
    picture = page.with_suffix(".svg")
    page.parent.mkdir(parents=True, exist_ok=True)
    drawn = plot.draw(results.measures, picture)
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    page.write_text(report.page(results, known, given, date, picture.name if drawn else None), encoding="utf-8")
