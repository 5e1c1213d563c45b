"""The figures as a table on the terminal and as a page of the documentation."""

from collections.abc import Mapping
from statistics import median
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.table import Table

from servers.bench.figures import Figure, Measure, Results

TITLES: Final = ("", "measure", "unit", "venue", "other", "ratio", "min - max", "floor", "aim", "")
VERDICTS: Final = {"aim": "aim", "floor": "ok", "below": "below"}
HEAD: Final = """\
# Benchmarks

Written by `make bench`. Every figure is a ratio of two servers on one machine, measured seconds apart in the same run: machines
differ, and one machine differs from itself within minutes.

The venue is the real one, started by `venue up` on a state folder of its own, with everything on: token check, risk, ledger and
fees, PostgreSQL with `fsync = on`, an answer only after the commit, and the replica writing tables and publishing meanwhile on
the same cores. The market maker is off. The echo is one process of grpc.aio on uvloop that parses the same requests and builds
answers of the same size, with gRPC as it comes: what the venue chooses of gRPC helps the echo too (decision 32 says how much).
Load comes from other processes on the same machine, over loopback, to the servers' own ports.

[Performance](performance.md) says where the time goes, and what stops what is below its floor.
"""
LEGEND: Final = """\
Columns: the median of all rounds; the ratio is the median of the rounds' ratios, with the smallest and the largest. A figure
without another beside it is the venue's own. Small is good where a floor is `<=`, large where it is `>=`. The last column says
where ratio or figure is: below its floor, between floor and aim (ok), or at its aim.
"""


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def cells(measure: Measure) -> list[str]:
    """A measure as the columns of TITLES."""
    ratios, goal = measure.ratios, measure.goal
    return [
        measure.number,
        measure.what,
        measure.unit,
        number(median(measure.ours)),
        f"{measure.other} {number(median(measure.theirs))}",
        f"{measure.ratio:.2f}",
        f"{min(ratios):.2f} - {max(ratios):.2f}",
        goal.text(goal.floor),
        goal.text(goal.aim),
        VERDICTS[goal.verdict(measure.ratio)],
    ]


def figure_cells(figure: Figure) -> list[str]:
    """A figure as the columns of TITLES: it has nothing beside it."""
    goal, spread = figure.goal, f"{number(min(figure.ours))} - {number(max(figure.ours))}"
    return [
        figure.number,
        figure.what,
        figure.unit,
        number(figure.value),
        "",
        "",
        spread if len(figure.ours) > 1 else "",
        goal.text(goal.floor),
        goal.text(goal.aim),
        VERDICTS[goal.verdict(figure.value)],
    ]


def rows(results: Results) -> list[list[str]]:
    """All that was measured, in the order of the numbers."""
    found = [(measure.number, cells(measure)) for measure in results.measures if measure.ours]
    found += [(figure.number, figure_cells(figure)) for figure in results.figures if figure.ours]
    return [row for _, row in sorted(found, key=lambda each: place(each[0]))]


def place(name: str) -> tuple[bool, int, str]:
    """Where a figure stands in the table: those of performance (P4a) by their numbers, then those of faults (F36)."""
    return not name.startswith("P"), int(name.strip("PFabcd")), name


def facts(results: Results) -> list[str]:
    """What the table does not say, a line each."""
    lines = [
        f"replica's catch-up after {name}: {median(times):.2f} s ({min(times):.2f} - {max(times):.2f})"
        for name, times in results.catch_up_s.items()
    ]
    share = 2 * results.trades / results.orders if results.orders else 0.0
    lines.append(f"mix: {results.orders:,} commands, {results.trades:,} trades; {share:.0%} of the orders were filled")
    return lines + results.notes


def table(results: Results) -> Table:
    """For the terminal."""
    made = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for title in TITLES:
        made.add_column(title, no_wrap=True)
    for row in rows(results):
        made.add_row(*row)
    return made


def page(results: Results, machine: Mapping[str, str], command: str, date: str, picture: str | None) -> str:
    """For docs/benchmarks.md."""
    lines = [
        HEAD,
        *("| " + " | ".join(row) + " |" for row in (TITLES, ("---",) * len(TITLES), *rows(results))),
        "",
        LEGEND,
    ]
    if picture is not None:
        lines += [f"![Ratios with their floors and aims]({picture})", ""]
    lines += [f"- {fact}" for fact in facts(results)]
    lines += ["", "## The run", "", f"- date: {date}", f"- command: `{command}`"]
    lines += [f"- {name}: {value}" for name, value in machine.items()]
    lines += ["", MIX]
    return "\n".join(lines)


MIX: Final = """\
## What is sent

Limit orders of one quantity at one price on BTC-USD, half of the callers buying and half selling, from accounts of two users: the
one that comes first rests, the next of the other side fills it, so every order passes through risk, book, ledger and fees, and
the book holds no more than one side is ahead. What still rests after a load is cancelled before the next. No order has a
request_id; each is a new one.

- P1: 64 connections, one call at a time on each.
- P2: four sessions of four accounts, messages sent as fast as HTTP/2 lets them; a session also gets its account's order events,
  which the echo does not send.
- P3: 32 callers, 50 orders a call. The catch-up time runs from the last answer until the replica's tables hold everything.
- P4: one caller who first buys and then sells; and 16 callers, each a client of its own so that they do not ask in the same
  moment, who together send half of what the same server took in P1.
- P5: `matching-engine` 0.1.1 from the package index in a Python 3.12 of its own, its gateway with `ME_FSYNC=1`, over HTTP/1.1
  keep-alive connections with the same load client. It has no accounts, ledger or database.
- P6: the book and its matching alone beside `litebook` (Rust, which returns fills) from the package index: the same 200,000
  operations, two thirds resting within fifty ticks, a sixth crossing, a sixth cancelling; both have their orders made before.
  `execute` does them as commands, with risk, holds, ledger, fees and events, but for cancels of what is open no
  more, which it would refuse. The book, what places and cancels in it, and P9a, run the rules that the venue runs
  (see "rules" above); P6b, P8 and P12a run their source.
- P7: 500 subscribers of BTC-USD's book and trades on one process, its own port, frames joined, the usual window of 100 ms, while
  4,000 orders a second arrive in batches of 50; for the delay half as many, which still are more updates than the floor asks for.
  An update is a trade, or a level as it has become, at each subscriber. Delay: from when a frame was made until a reader that
  only looks at the clock has it. Then 10,000 subscriptions to a quiet book through Envoy: the memory of Envoy
  and of the process together, and how long until all are open again after the client was killed and started anew.
- P8: orders that meet two by two in the machine in memory, large and small in turns. What was there before is left out of the
  collector's searches, as it is after a recovery.
- P9: rows of 200 commands executed again and checked; and from `kill -9` of the process that leads until a new order is
  answered: by the process that the supervisor starts again, and by one that stood by. The lease of 2 s is part of both.
- P10: the time from when a commit is seen in the journal until the tables have it, looked at every few milliseconds beside P1's
  load; and GetOrder, GetOrderBook and ListTrades, one after the other, beside half of it.
- P11: GetOrderBook by one caller, as JSON through Envoy and as gRPC from the process itself.
- P13: twenty readers of candles, trades, statistics and older pages beside half of P1's load; books, tickers and markets come
  from memory and are not counted.
- F36: 16 callers as in P4 beside 60 wrong log-ins a second through the gateway, from sixty addresses, at bcrypt's cost 12, and
  without them, four times each in turns; the p99 of all answers of each. F36b sends the flood to the auth server itself, where no
  stranger comes.
- F30: twelve readers of BTC-USD's book and trades (frames joined, window of 20 ms) at each of two processes of market data, under
  one load of 300 orders a second. 200 more streams on 20 connections, whose client was stopped with every window full, are first
  with the one, then with the other: "beside" are those with them, "calm" are the others at the same time. Delay as in P7.
- F33: as many readers through Envoy, while 10,000 subscriptions to a quiet book are dropped at once. Cut is who gets an end, a
  gap or nothing more.
- P12: memory of the process, for orders that rest in the machine, and for subscriptions to a book on which nothing happens.

Orders a second are counted by the servers (the venue's are commands in the journal), the peer's by the client. Each load runs
before it is measured, and goes on until after.
"""
