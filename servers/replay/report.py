"""What a person sees of a run: progress, then what came of it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from servers.domain.money import ATTO_SCALE, format_units
from servers.replay.dispatch import Timing
from servers.replay.ledger_check import LedgerCheck
from servers.replay.survey import Survey
from servers.replay.tally import Tally
from venue.marketdata.v1 import marketdata_pb2

LEVELS_SHOWN = 5
Show = Callable[[int, float, bool], None]


@contextmanager
def progress(console: Console, total: int) -> Iterator[Show]:
    """A bar; its function takes the actions done, those a second, and whether the venue is being waited for."""
    columns = (
        TextColumn("{task.description:>28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:>8,.0f}/s"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("orders and cancels", total=total, rate=0.0)

        def show(done: int, per_s: float, is_waiting: bool) -> None:  # noqa: FBT001  a reading of a gauge
            what = "the venue is away; repeating" if is_waiting else "orders and cancels"
            bar.update(task, completed=done, rate=per_s, description=what)

        yield show


def print_survey(console: Console, seen: Survey) -> None:
    count = seen.count
    table = _rows("the file")
    table.add_row("events read", f"{count.read:,}")
    table.add_row("orders created", f"{count.created:,}")
    table.add_row("orders cancelled", f"{count.cancelled:,}")
    table.add_row("left to matching", f"{count.changed:,} changed, {count.filled:,} filled")
    table.add_row("skipped: never created", f"{count.unknown:,}")
    table.add_row("skipped: before creation", f"{count.early:,}")
    console.print(table)


def print_outcome(
    console: Console, tally: Tally, timing: Timing, market: marketdata_pb2.Market, check: LedgerCheck
) -> None:
    table = _rows("the run")
    table.add_row("orders/s", f"{timing.per_s():,.0f}  ({len(timing.latencies_s):,} in {timing.took_s:.1f} s)")
    p50, p99 = (timing.percentile_s(share) * 1000 for share in (0.5, 0.99))
    table.add_row("acknowledged in", f"p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    table.add_row("placed", f"{tally.placed:,}")
    table.add_row("cancelled", f"{tally.cancelled:,}")
    table.add_row("cancelled too late", f"{tally.filled_before:,}  (filled here before)")
    table.add_row("rejected", _reasons(tally.rejected))
    table.add_row("refused", _reasons(tally.refused))
    table.add_row("answers repeated", f"{tally.replayed:,}")
    table.add_row("trades", f"{tally.trades:,}")
    base, quote = format_units(tally.base_volume, ATTO_SCALE), format_units(tally.quote_volume, 2 * ATTO_SCALE)
    table.add_row("volume", f"{base} {market.base_asset} for {quote} {market.quote_asset}")
    uneven = [total for total in check.totals if total.entries or total.balances]
    for total in uneven:
        sums = (format_units(units, total.scale) for units in (total.entries, total.balances))
        table.add_row("ledger", "[red]{} entries sum to {}, balances to {}[/red]".format(total.asset, *sums))
    for line in check.differing:
        table.add_row("ledger", f"[red]{line}[/red]")
    if check.holds:
        table.add_row("ledger check", f"[green]ok[/green]  {len(check.totals)} assets sum to zero")
        table.add_row("", f"{check.accounts} accounts equal their entries")
    console.print(table)


def print_book(console: Console, book: marketdata_pb2.GetOrderBookResponse) -> None:
    table = Table(title=f"final book of {book.symbol}", title_justify="left", title_style="bold", show_edge=False)
    for name in ("bid orders", "quantity", "bid", "ask", "quantity", "ask orders"):
        table.add_column(name, justify="right")
    for index in range(LEVELS_SHOWN):
        bid = _cells(book.bids, index)
        table.add_row(*bid, *reversed(_cells(book.asks, index)))
    console.print(table)
    for name, levels in (("bids", book.bids), ("asks", book.asks)):
        orders = sum(level.order_count for level in levels)
        console.print(f"{name}: {orders:,} orders on {len(levels):,} levels", highlight=False)


def _cells(levels: Sequence[marketdata_pb2.BookLevel], index: int) -> tuple[str, str, str]:
    if index >= len(levels):
        return "", "", ""
    level = levels[index]
    return str(level.order_count), level.quantity, level.price


def _reasons(counts: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {reason}" for reason, number in sorted(counts.items())) or "0"


def _rows(title: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False, box=None, padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    return table
