"""A whole run: start everything, warm it, measure the rounds, end everything."""

import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic_settings import BaseSettings

from servers.bench import alone, caching, edge, flood, lag, rivals, rounds, slow, streams, takeover, venue
from servers.bench.figures import (
    Figure,
    Measure,
    Results,
    alone_figures,
    book_measures,
    growth_measures,
    measures,
    peer_measures,
)
from servers.bench.load import Client
from servers.bench.traffic import order

SHAKE_DOWN_S: Final = 0.5
NO_PEER: Final = "P5 was not measured: "
NO_BOOK: Final = "P6a was not measured: "
NO_KILL: Final = "P9's restarts were not measured: they were not asked for"
OPEN_ORDERS: Final = 100_000
STREAMS: Final = (20, 500)
SUBSCRIBERS: Final = (20, 500)
MANY_STREAMS: Final = (200, 10_000)
STOPPED: Final = (20, slow.STOPPED)
TURNS: Final = (1, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure, and where. The venue's state goes into a folder beside the usual one."""

    settings: BaseSettings
    beside: Path
    python312: Path | None
    seconds: float
    rounds: int
    # Without peers, and everything small: does it run?
    quick: bool


async def measure(plan: Plan, client: Client, tell: Callable[[str], None]) -> Results:
    """Raises BenchError."""
    async with AsyncExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="venue-bench-")))
        program = await peer_program(plan, client, folder, tell)
        figures, peer, notes = [*measures(), *flood.flood_measures(), *slow.slow_measures()], None, []
        if isinstance(program, str):
            notes.append(NO_PEER + program)
        else:
            peer = await held.enter_async_context(rivals.peering(program, folder))
            figures += peer_measures(rivals.PEER)
        tell("starting the echo and a venue")
        echo = await held.enter_async_context(rivals.echoing(folder))
        ours = await held.enter_async_context(venue.running(plan.settings, plan.beside, rounds.SESSIONS // 2 + 1))
        bench = rounds.Bench(client, ours, echo, peer, plan.seconds, folder)
        await shake_down(bench)
        probes = {side.side: order(side.accounts[0], side.side) for side in ours.sides}
        first, traded = await ours.count(), await ours.trades(probes)
        by_number = {figure.number: figure for figure in figures}
        singles = {figure.number: figure for figure in alone_figures(OPEN_ORDERS)}
        for number in range(1, plan.rounds + 1):
            title = f"round {number} of {plan.rounds}"
            await rounds.run_round(bench, by_number, title, tell)
            tell(f"{title}, P10: {singles['P10a'].what}, {singles['P10b'].what}")
            await lag.measure(bench, singles, by_number["P1"].ours[-1])
            tell(f"{title}, P13: {singles['P13'].what}")
            await caching.measure(bench, singles["P13"], by_number["P1"].ours[-1])
            tell(f"{title}, F36: {by_number['F36'].what}")
            await flood.measure(bench, by_number, by_number["P1"].ours[-1])
        trades = await ours.trades(probes) - traded
        orders = await ours.count() - first
        await measure_rest(plan, bench, singles, by_number["F30"], notes, tell)
    figures += await measure_alone(plan, singles, notes, tell)
    return Results(figures, bench.catch_up_s, orders, trades, notes, list(singles.values()))


async def measure_rest(
    plan: Plan,
    bench: rounds.Bench,
    singles: dict[str, Figure],
    stopped: Measure,
    notes: list[str],
    tell: Callable[[str], None],
) -> None:
    """P11, P12, F30, P7, F33 and P9: once a run, on the venue of the rounds. Raises BenchError."""
    tell(f"P11: {singles['P11'].what}; P12: {singles['P12b'].what}")
    # Before there were thousands: what they leave behind in the process would be used again, and so not seen.
    singles["P12b"].ours.append(await edge.idle_streams(bench.venue.own, STREAMS[not plan.quick]))
    if bench.client.speaks_http1:
        added = await edge.through_envoy(bench.client, bench.venue.own, plan.seconds, bench.folder)
        singles["P11"].ours.append(added)
        tell(f"F30: {stopped.what}")
        await slow.measure(bench, stopped, STOPPED[not plan.quick], TURNS[not plan.quick])
        tell(f"P7: {singles['P7a'].what}; {singles['P7c'].what}")
        await streams.fan_out(bench, singles, SUBSCRIBERS[not plan.quick])
        await streams.many(bench, singles, MANY_STREAMS[not plan.quick])
        tell(f"F33: {singles['F33'].what}")
        await slow.drop(bench, singles["F33"], MANY_STREAMS[not plan.quick])
    else:
        notes += [edge.NO_HTTP1, streams.NO_H2LOAD]
    if plan.quick:
        notes.append(NO_KILL)
    else:
        await takeover.measure(bench.venue, singles, OPEN_ORDERS, bench.folder, tell)


async def measure_alone(
    plan: Plan, singles: dict[str, Figure], notes: list[str], tell: Callable[[str], None]
) -> list[Measure]:
    """P6 and P8, when nothing else runs. Raises BenchError."""
    sizes = alone.QUICK if plan.quick else alone.FULL
    figures = [*book_measures(alone.PEER), *growth_measures(sizes.orders, sizes.markets, sizes.accounts)]
    with tempfile.TemporaryDirectory(prefix="venue-bench-") as folder:
        peer = "it was not asked for" if plan.quick else await alone.prepare_peer(Path(folder))
        if isinstance(peer, str):
            notes.append(NO_BOOK + peer)
        by_number = {figure.number: figure for figure in figures}
        python = None if isinstance(peer, str) else peer
        await alone.run(sizes, plan.rounds, by_number, singles, python, tell)
    return [figure for figure in figures if figure.ours]


async def peer_program(plan: Plan, client: Client, folder: Path, tell: Callable[[str], None]) -> Path | str:
    """The peer's program, or in a line why it is left out."""
    if plan.quick:
        return "it was not asked for"
    if not client.speaks_http1:
        return "its HTTP API needs h2load (nghttp2) as load client"
    tell("preparing the peer")
    return await rivals.prepare_peer(plan.python312, folder)


async def shake_down(bench: rounds.Bench) -> None:
    """Every server answers for a moment before anything is measured."""
    unary = rounds.entry(bench.venue.sides, "unary", rounds.CALLERS, bench.folder)
    for server in (bench.venue, bench.echo):
        await bench.load(unary.both, server, SHAKE_DOWN_S, 1)
