"""The rounds: every form of order entry on the venue and, seconds later, on the others; A B A B.

Rates are counted by the servers (the venue's is what its journal holds), answer times by the clients, both while every
caller is busy. Between loads the venue comes to rest, so no load is measured beside the leftovers of another.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from servers.bench import traffic
from servers.bench.errors import BenchError
from servers.bench.figures import Measure, Slot
from servers.bench.load import Client, Load, start
from servers.bench.rivals import Echo
from servers.bench.venue import Side, Venue
from venue.type.v1 import type_pb2

# A load begins so much before the measured time, and outlives it by as much; less where that is short.
MARGIN_S: Final = 0.5
CALLERS: Final = 64
# Of 50 orders each. Eight leave the venue idle while a row is committed; more than 32 change nothing. The echo minds neither.
BATCH_CALLERS: Final = 32
# Each a client of its own: callers of one client ask in the same moment, which is a burst again and again, and no half load.
PACED_CALLERS: Final = 16
SESSIONS: Final = 4
# One caller alone is answered a few times a second where the machine is busy.
ALONE_MIN_S: Final = 1.0
SERVICE: Final = "/venue.order.v1.OrderService"


class Counting(Protocol):
    """A server that says how many orders it has taken."""

    @property
    def address(self) -> str: ...

    async def count(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Entry:
    """A form of order entry: the loads of both sides (their address is filled in), and how many orders a request has."""

    buys: list[Load]
    sells: list[Load]
    orders_a_request: int | None

    @property
    def both(self) -> list[Load]:
        return self.buys + self.sells


@dataclass(frozen=True, slots=True)
class Bench:
    """What every load needs."""

    client: Client
    venue: Venue
    echo: Echo
    # The peer's address, None where there is none.
    peer: str | None
    seconds: float
    folder: Path
    catch_up_s: dict[str, list[float]] = field(default_factory=dict)

    async def load(self, loads: Sequence[Load], server: Counting, seconds: float, orders_a_request: int | None) -> Slot:
        """Raises BenchError, also where answers were given that are no orders."""
        before = await server.count()
        running = await start(self.client, [timed(load, server.address, seconds) for load in loads], self.folder)
        try:
            await asyncio.sleep(margin_s(seconds))
            first, begun_s, begun_us = await server.count(), time.monotonic(), time.time_ns() // 1000
            await asyncio.sleep(seconds)
            last, end_s, end_us = await server.count(), time.monotonic(), time.time_ns() // 1000
            answers = await running.answers()
        finally:
            running.kill()
        catch_up_s = await server.settle() if isinstance(server, Venue) else 0.0
        if orders_a_request is not None and (await server.count()) - before < len(answers) * orders_a_request:
            raise BenchError("there were answers without orders: the server refused some")
        took = sorted(answer.took_us for answer in answers if begun_us <= answer.end_us <= end_us)
        if isinstance(server, Venue):
            await server.clear()
            await server.settle()
        return Slot((last - first) / (end_s - begun_s), took, catch_up_s)

    async def load_peer(self, loads: Sequence[Load], address: str) -> Slot:
        """As `load`, counted by the client: the peer has no counter."""
        running = await start(self.client, [timed(load, address, self.seconds) for load in loads], self.folder)
        try:
            begun_us = time.time_ns() // 1000 + int(margin_s(self.seconds) * 1e6)
            answers = await running.answers()
        finally:
            running.kill()
        end_us = begun_us + int(self.seconds * 1e6)
        took = sorted(answer.took_us for answer in answers if begun_us <= answer.end_us <= end_us)
        return Slot(len(took) / self.seconds, took)


def margin_s(seconds: float) -> float:
    return min(MARGIN_S, seconds / 2)


def timed(load: Load, address: str, seconds: float) -> Load:
    return replace(load, address=address, seconds=seconds + 2 * margin_s(seconds))


def entry(sides: Sequence[Side], name: str, callers: int, folder: Path) -> Entry:
    """The loads of "unary", "sessions" or "batches", with so many callers on both sides together."""
    maker = {"unary": traffic.unary_body, "sessions": traffic.session_body, "batches": traffic.batch_body}[name]
    method = {"unary": "PlaceOrder", "sessions": "Trade", "batches": "PlaceOrders"}[name]
    orders = {"unary": 1, "sessions": None, "batches": traffic.BATCH}[name]
    loads: dict[type_pb2.Side.ValueType, list[Load]] = {}
    for side in sides:
        # A session is one account's; calls of all kinds share one that no session follows: its events are kept for a minute more.
        accounts = side.accounts[1:] if name == "sessions" else side.accounts[:1]
        loads[side.side] = [
            Load(
                address="",
                path=f"{SERVICE}/{method}",
                body=traffic.write(folder, f"{name}-{account}", maker(account, side.side)),
                callers=callers // 2 // len(accounts),
                seconds=0.0,
                token=side.token,
            )
            for account in accounts
        ]
    return Entry(loads[type_pb2.SIDE_BUY], loads[type_pb2.SIDE_SELL], orders)


def peer_entry(folder: Path) -> Entry:
    """64 callers of the peer's HTTP API."""
    sides = {"buy": 1, "sell": 2}
    path = f"/markets/{traffic.PEER_SYMBOL}/orders"
    bodies = {side: traffic.write(folder, f"peer-{side}", traffic.peer_body(sides[side], side)) for side in sides}
    loads = {
        side: [Load(address="", path=path, body=bodies[side], callers=CALLERS // 2, seconds=0.0, grpc=False)]
        for side in sides
    }
    return Entry(loads["buy"], loads["sell"], 1)


async def one_caller(sides: Entry, measured: Callable[[list[Load]], Awaitable[Slot]]) -> Slot:
    """One caller who buys for half of the time, and sells for the other half."""
    halves = [await measured([replace(loads[0], callers=1)]) for loads in (sides.buys, sides.sells)]
    return Slot(sum(half.rate for half in halves) / 2, sorted(halves[0].took_us + halves[1].took_us))


async def run_round(bench: Bench, figures: dict[str, Measure], title: str, tell: Callable[[str], None]) -> None:
    """One figure more of every measure."""
    unary = entry(bench.venue.sides, "unary", CALLERS, bench.folder)
    rates: dict[str, tuple[float, float]] = {}
    servers: tuple[Counting, Counting] = (bench.venue, bench.echo)
    for number, form, callers in (
        ("P1", "unary", CALLERS),
        ("P2", "sessions", SESSIONS),
        ("P3", "batches", BATCH_CALLERS),
    ):
        tell(f"{title}, {number}: {figures[number].what}")
        sides = entry(bench.venue.sides, form, callers, bench.folder)
        ours, theirs = [
            await bench.load(sides.both, server, bench.seconds, sides.orders_a_request) for server in servers
        ]
        figures[number].add(ours.rate, theirs.rate)
        bench.catch_up_s.setdefault(number, []).append(ours.catch_up_s)
        rates[number] = ours.rate, theirs.rate
    tell(f"{title}, P4: {figures['P4a'].what}, {figures['P4b'].what}")
    alone = [await one_caller(unary, partial(measured_alone, bench, server)) for server in servers]
    figures["P4a"].add(alone[0].quantile_ms(0.5), alone[1].quantile_ms(0.5))
    half = [
        await bench.load(paced(unary, rates["P1"][index] / 2), server, bench.seconds, 1)
        for index, server in enumerate(servers)
    ]
    figures["P4b"].add(half[0].quantile_ms(0.99), half[1].quantile_ms(0.99))
    if bench.peer is not None:
        tell(f"{title}, P5: the peer")
        await compare_peer(
            bench, bench.peer, figures, alone[0].rate, [rates[number][0] for number in ("P1", "P2", "P3")]
        )


async def measured_alone(bench: Bench, server: Counting, loads: list[Load]) -> Slot:
    return await bench.load(loads, server, max(bench.seconds / 2, ALONE_MIN_S), 1)


def paced(sides: Entry, rate: float) -> list[Load]:
    """Callers of both sides in turn, each by itself, at so many requests a second of all together."""
    return [replace(load, callers=1, rate=rate / PACED_CALLERS) for load in sides.both * (PACED_CALLERS // 2)]


async def compare_peer(
    bench: Bench, address: str, figures: dict[str, Measure], alone: float, rates: Sequence[float]
) -> None:
    """The peer's figures, beside those of the venue in the same round."""
    sides = peer_entry(bench.folder)
    single = await one_caller(sides, lambda loads: bench.load_peer(loads, address))
    many = await bench.load_peer(sides.both, address)
    figures["P5a"].add(alone, single.rate)
    for number, rate in zip(("P5b", "P5c", "P5d"), rates, strict=True):
        figures[number].add(rate, many.rate)
