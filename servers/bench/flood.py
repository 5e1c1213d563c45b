"""F36: what a flood of log-ins does to orders: p99 at half load beside the flood, and without it before and after, in turns.

F36b compares with as many log-ins that break the contract, and so cost all that a call costs but a hash and what is stored of it.

The clients of the flood take what everybody else leaves of the processors: elsewhere they would have processors of their own.
Every log-in is a wrong one from an address of its own, so that no limit stands before the hash: what is bounded is the hashing.
More are sent than can be hashed, and what the server has no room for it sheds.
"""

import argparse
import asyncio
import os
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import grpc
import uvloop

from servers.bench.errors import BenchError
from servers.bench.figures import Goal, Measure
from servers.bench.rounds import CALLERS, Bench, entry, paced
from servers.transport.caller import channel_to
from venue.auth.v1 import auth_pb2, auth_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# At bcrypt's cost 12 a core does five a second: an order of magnitude more than two of them can.
LOGINS_A_SECOND: Final = 60.0
CALL_S: Final = 10.0
# Until there was the first that the server had no room for: every worker hashes then, and the queue is full.
FULL_S: Final = 30.0
FULL: Final = b"full\n"
HASHED: Final = "hashed"
REFUSED: Final = "refused"
# What says that a flood is under way: there is no room for another hash; a call was refused.
FULL_AT: Final = {HASHED: grpc.StatusCode.RESOURCE_EXHAUSTED, REFUSED: grpc.StatusCode.INVALID_ARGUMENT}


def flood_measures() -> list[Measure]:
    """F36, without a figure yet."""
    goal = Goal(1.2, 1.1, low_is_good=True)
    return [
        Measure("F36", "p99 at half load, logins flooding", "calm", "ms", goal),
        Measure("F36b", "the same, where logins are hashed", "refused unread", "ms", goal),
    ]


@asynccontextmanager
async def flooding(address: str, kind: str) -> "AsyncIterator[None]":
    """The body runs beside a flood of a kind on the auth server at `address`, once it is under way. Raises BenchError."""
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
    """One round: half of `rate` orders a second, calm, flooded in both ways, and calm again. Raises BenchError."""
    loads = paced(entry(bench.venue.sides, "unary", CALLERS, bench.folder), rate / 2)
    before = await bench.load(loads, bench.venue, bench.seconds, 1)
    flooded = {}
    for kind in (HASHED, REFUSED):
        async with flooding(bench.venue.own.api, kind):
            flooded[kind] = (await bench.load(loads, bench.venue, bench.seconds, 1)).quantile_ms(0.99)
    after = await bench.load(loads, bench.venue, bench.seconds, 1)
    # A machine gets faster and slower meanwhile: what lies between two calm loads is compared with both.
    figures["F36"].add(flooded[HASHED], (before.quantile_ms(0.99) + after.quantile_ms(0.99)) / 2)
    figures["F36b"].add(flooded[HASHED], flooded[REFUSED])


async def login(stub: "auth_pb2_grpc.AuthServiceAsyncStub", kind: str, full: asyncio.Event) -> None:
    """A wrong one, from a place of its own."""
    address = ".".join(str(byte) for byte in (10, *secrets.token_bytes(3)))
    # The contract asks of an address that it is not empty, and no more.
    email = f"{secrets.token_hex(8)}@example.com" if kind == HASHED else ""
    request = auth_pb2.LoginRequest(email=email, password=secrets.token_hex(8))
    try:
        await stub.Login(request, metadata=(("x-forwarded-for", address),), timeout=CALL_S)
    except grpc.aio.AioRpcError as error:
        if error.code() is FULL_AT[kind]:
            full.set()


async def run(address: str, kind: str) -> None:
    """Until the process is ended; says once that the server is full."""
    full = asyncio.Event()
    async with channel_to(address) as channel:
        stub = auth_pb2_grpc.AuthServiceStub(channel)
        calls: set[asyncio.Task[None]] = set()
        due_s, told = time.monotonic(), False
        while True:
            call = asyncio.create_task(login(stub, kind, full))
            calls.add(call)
            call.add_done_callback(calls.discard)
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
