"""A whole run: start everything, warm it, measure the rounds, end everything."""

import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic_settings import BaseSettings

from servers.bench import rivals, rounds, venue
from servers.bench.figures import Results, measures, peer_measures
from servers.bench.load import Client
from servers.bench.traffic import order

SHAKE_DOWN_S: Final = 0.5
NO_PEER: Final = "P5 was not measured: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure, and where. The venue's state goes into a folder beside the usual one."""

    settings: BaseSettings
    beside: Path
    python312: Path | None
    seconds: float
    rounds: int
    with_peer: bool


async def measure(plan: Plan, client: Client, tell: Callable[[str], None]) -> Results:
    """Raises BenchError."""
    async with AsyncExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="venue-bench-")))
        program = await peer_program(plan, client, folder, tell)
        figures, peer, notes = measures(), None, []
        if isinstance(program, str):
            notes.append(NO_PEER + program)
        else:
            peer = await held.enter_async_context(rivals.peering(program, folder))
            figures += peer_measures(rivals.PEER)
        tell("starting the echo and a venue")
        echo = await held.enter_async_context(rivals.echoing(folder))
        ours = await held.enter_async_context(venue.running(plan.settings, plan.beside, rounds.SESSIONS // 2))
        bench = rounds.Bench(client, ours, echo, peer, plan.seconds, folder)
        await shake_down(bench)
        probes = {side.side: order(side.accounts[0], side.side) for side in ours.sides}
        first, traded = await ours.count(), await ours.trades(probes)
        by_number = {figure.number: figure for figure in figures}
        for number in range(1, plan.rounds + 1):
            await rounds.run_round(bench, by_number, f"round {number} of {plan.rounds}", tell)
        trades = await ours.trades(probes) - traded
        orders = await ours.count() - first
    return Results(figures, bench.catch_up_s, orders, trades, notes)


async def peer_program(plan: Plan, client: Client, folder: Path, tell: Callable[[str], None]) -> Path | str:
    """The peer's program, or in a line why it is left out."""
    if not plan.with_peer:
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
