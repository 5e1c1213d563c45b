"""F36: what a flood of log-ins does to orders: p99 at half load beside the flood, and without it, in turns.

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
from collections.abc import Sequence
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


def flood_measure() -> Measure:
    """F36, without a figure yet."""
    return Measure("F36", "p99 at half load, logins flooding", "calm", "ms", Goal(1.2, 1.1, low_is_good=True))


@asynccontextmanager
async def flooding(address: str) -> "AsyncIterator[None]":
    """The body runs beside a flood on the auth server at `address`, once it is full. Raises BenchError."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "servers.bench.flood", address, stdout=asyncio.subprocess.PIPE
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


async def measure(bench: Bench, figure: Measure, rate: float) -> None:
    """One round: half of `rate` orders a second, calm and flooded. Raises BenchError."""
    loads = paced(entry(bench.venue.sides, "unary", CALLERS, bench.folder), rate / 2)
    calm = await bench.load(loads, bench.venue, bench.seconds, 1)
    async with flooding(bench.venue.own.api):
        flooded = await bench.load(loads, bench.venue, bench.seconds, 1)
    figure.add(flooded.quantile_ms(0.99), calm.quantile_ms(0.99))


async def login(stub: "auth_pb2_grpc.AuthServiceAsyncStub", full: asyncio.Event) -> None:
    """A wrong one, from a place of its own."""
    address = ".".join(str(byte) for byte in (10, *secrets.token_bytes(3)))
    request = auth_pb2.LoginRequest(email=f"{secrets.token_hex(8)}@example.com", password=secrets.token_hex(8))
    try:
        await stub.Login(request, metadata=(("x-forwarded-for", address),), timeout=CALL_S)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
            full.set()


async def run(address: str) -> None:
    """Until the process is ended; says once that the server is full."""
    full = asyncio.Event()
    async with channel_to(address) as channel:
        stub = auth_pb2_grpc.AuthServiceStub(channel)
        calls: set[asyncio.Task[None]] = set()
        due_s, told = time.monotonic(), False
        while True:
            call = asyncio.create_task(login(stub, full))
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
    address = parser.parse_args(arguments).address
    if sys.platform == "linux":
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    uvloop.run(run(address))


if __name__ == "__main__":
    main(sys.argv[1:])
