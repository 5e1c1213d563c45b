"""F36: what a flood of log-ins does to orders: their p99 at half load beside the flood, and without it.

F36b compares with as many calls that the gateway turns away: what the flood's client costs, which elsewhere has processors of its
own, and nothing of the auth server. All three come in turns, several times a round, and of each all answers are looked at
together: of one load alone the p99 is a score of answers, and what a machine does meanwhile moves it more than any flood.

The clients take what everybody else leaves of the processors. Every log-in is a wrong one from an address of its own, so that no
limit stands before the hash: what is bounded is the hashing. More are sent than can be hashed, and what there is no room for is
shed.
"""

import argparse
import asyncio
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Final

import grpc
import uvloop

from servers.bench.errors import BenchError
from servers.bench.figures import Goal, Measure, Slot
from servers.bench.rounds import CALLERS, Bench, entry, paced
from servers.transport.caller import channel_to
from venue.auth.v1 import auth_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# At bcrypt's cost 12 a core does five a second: an order of magnitude more than two of them can.
LOGINS_A_SECOND: Final = 60.0
CALL_S: Final = 10.0
# Until there was the first that the server had no room for: every worker hashes then, and the queue is full.
FULL_S: Final = 30.0
FULL: Final = b"full\n"
CALM: Final = "calm"
HASHED: Final = "hashed"
TURNED_AWAY: Final = "turned-away"
# What says that a flood is under way: there is no room for another hash; the gateway has seen no credential.
FULL_AT: Final = {HASHED: grpc.StatusCode.RESOURCE_EXHAUSTED, TURNED_AWAY: grpc.StatusCode.UNAUTHENTICATED}
LOGIN: Final = "/venue.auth.v1.AuthService/Login"
LOGOUT: Final = "/venue.auth.v1.AuthService/Logout"
# Of a quick run one will do.
TURNS: Final = 4
QUICK_S: Final = 1.0


def flood_measures() -> list[Measure]:
    """F36, without a figure yet."""
    goal = Goal(1.2, 1.1, low_is_good=True)
    return [
        Measure("F36", "p99 at half load, logins flooding", "calm", "ms", goal),
        Measure("F36b", "the same, beside the flood's client alone", "turned away", "ms", goal),
    ]


@asynccontextmanager
async def flooding(address: str, kind: str) -> "AsyncIterator[None]":
    """The body runs beside a flood of a kind on the server at `address`, once it is under way. Raises BenchError."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "servers.bench.flood", address, kind, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(FULL_S):
            if await process.stdout.readline() != FULL:
                raise BenchError("the flood of log-ins ended by itself")
        yield
    except TimeoutError:
        raise BenchError("the flood of log-ins kept nobody busy") from None
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def measure(bench: Bench, figures: Mapping[str, Measure], rate: float) -> None:
    """One round at half of `rate` orders a second: calm, and beside both floods, in turns. Raises BenchError."""
    loads = paced(entry(bench.venue.sides, "unary", CALLERS, bench.folder), rate / 2)
    own = bench.venue.own
    beside: dict[str, Callable[[], AbstractAsyncContextManager[None]]] = {
        CALM: nullcontext,
        HASHED: lambda: flooding(own.api, HASHED),
        TURNED_AWAY: lambda: flooding(own.gateway, TURNED_AWAY),
    }
    took_us: dict[str, list[int]] = {kind: [] for kind in beside}
    kinds = list(beside)
    turns, each_s = (TURNS, bench.seconds / 2) if bench.seconds >= QUICK_S else (1, bench.seconds)
    for turn in range(turns):
        first = turn % len(kinds)
        for kind in kinds[first:] + kinds[:first]:
            async with beside[kind]():
                took_us[kind] += (await bench.load(loads, bench.venue, each_s, 1)).took_us
    p99 = {kind: Slot(0.0, sorted(took)).quantile_ms(0.99) for kind, took in took_us.items()}
    figures["F36"].add(p99[HASHED], p99[CALM])
    figures["F36b"].add(p99[HASHED], p99[TURNED_AWAY])


async def call(channel: grpc.aio.Channel, kind: str, full: asyncio.Event) -> None:
    """A wrong log-in from a place of its own, or as many bytes for a method that is not for strangers."""
    address = ".".join(str(byte) for byte in (10, *secrets.token_bytes(3)))
    request = auth_pb2.LoginRequest(email=f"{secrets.token_hex(8)}@example.com", password=secrets.token_hex(8))
    path = LOGIN if kind == HASHED else LOGOUT
    asked = channel.unary_unary(path, auth_pb2.LoginRequest.SerializeToString, auth_pb2.LoginResponse.FromString)
    try:
        await asked(request, metadata=(("x-forwarded-for", address),), timeout=CALL_S)
    except grpc.aio.AioRpcError as error:
        if error.code() is FULL_AT[kind]:
            full.set()


async def run(address: str, kind: str) -> None:
    """Until the process is ended; says once that the server is full."""
    full = asyncio.Event()
    async with channel_to(address) as channel:
        calls: set[asyncio.Task[None]] = set()
        due_s, told = time.monotonic(), False
        while True:
            task = asyncio.create_task(call(channel, kind, full))
            calls.add(task)
            task.add_done_callback(calls.discard)
            if full.is_set() and not told:
                told = True
                sys.stdout.write(FULL.decode())
                sys.stdout.flush()
            due_s = max(due_s + 1 / LOGINS_A_SECOND, time.monotonic() - 1.0)
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("kind", choices=FULL_AT)
    given = parser.parse_args(arguments)
    if sys.platform == "linux":
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    uvloop.run(run(given.address, given.kind))


if __name__ == "__main__":
    main(sys.argv[1:])
