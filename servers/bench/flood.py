"""F36: what a flood of log-ins does to orders: their p99 at half load beside the flood, and without it.

The flood comes as one does: from many addresses, through the gateway, which lets through as many as can be hashed. F36b
sends it past the gateway, to the auth server itself, which has to turn all of it away. Calm and both floods come in turns, and of
each all answers are looked at together: of one load alone the p99 is a score of answers, and what a machine does meanwhile moves
it more than any flood.

The flood's clients take what everybody else leaves of the processors. Every log-in is a wrong one of a user of its own, and no
address asks often, so that no limit of a user or an address stands before the hash.
"""

import argparse
import asyncio
import json
import os
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
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
# Until there was the first that there was no room for: all who hash are busy then, and their queue is full.
FULL_S: Final = 30.0
FULL: Final = b"full\n"
CALM: Final = "calm"
THROUGH: Final = "through"
PAST: Final = "past"
LOGIN: Final = "/venue.auth.v1.AuthService/Login"
# Through the gateway each address asks once a second, less often than the limits of an address allow.
ADDRESSES: Final = 60
REFUSED: Final = 429
# Four of each, of twice a round's seconds: what may be hashed at once, before the first rest, is a small part of that, and a
# moment in which the machine did something else is a small part of four.
TURNS: Final = 4
LONGER: Final = 2
# Of a quick run one will do, long enough for an answer where a machine is busy.
QUICK_S: Final = 1.0


def flood_measures() -> list[Measure]:
    """F36, without a figure yet."""
    goal = Goal(1.2, 1.1, low_is_good=True)
    return [
        Measure("F36", "p99 at half load, logins flooding", "calm", "ms", goal),
        Measure("F36b", "the same, past the gateway", "calm", "ms", goal),
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
        THROUGH: lambda: flooding(own.gateway, THROUGH),
        PAST: lambda: flooding(own.api, PAST),
    }
    took_us: dict[str, list[int]] = {kind: [] for kind in beside}
    kinds = list(beside)
    turns, each_s = (TURNS, bench.seconds * LONGER) if bench.seconds >= QUICK_S else (1, QUICK_S)
    for turn in range(turns):
        first = turn % len(kinds)
        for kind in kinds[first:] + kinds[:first]:
            async with beside[kind]():
                took_us[kind] += (await bench.load(loads, bench.venue, each_s, 1)).took_us
    p99 = {kind: Slot(0.0, sorted(took)).quantile_ms(0.99) for kind, took in took_us.items()}
    figures["F36"].add(p99[THROUGH], p99[CALM])
    figures["F36b"].add(p99[PAST], p99[CALM])


def guess() -> dict[str, str]:
    """A user there is not, and a password."""
    return {"email": f"{secrets.token_hex(8)}@example.com", "password": secrets.token_hex(8)}


async def ask_the_gateway(address: str, full: asyncio.Event) -> None:
    """Sixty callers of the REST API, each from an address of its own where this machine has them."""
    host, _, port = address.rpartition(":")

    async def post(own: str) -> None:
        reader, writer = await asyncio.open_connection(host, int(port), local_addr=(own, 0))
        try:
            body = json.dumps(guess()).encode()
            head = f"POST /v1/auth/login HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
            writer.write(f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
            if int((await reader.readline()).split()[1]) == REFUSED:
                full.set()
            await reader.read()
        finally:
            writer.close()

    mine = 0

    async def call() -> None:
        nonlocal mine
        mine = mine % ADDRESSES + 1
        with suppress(OSError, IndexError):
            await post(f"127.0.36.{mine}" if sys.platform == "linux" else host)

    await keep_asking(call)


async def ask_the_server(address: str, full: asyncio.Event) -> None:
    """As many calls of the auth server, each saying it is from an address of its own."""
    async with channel_to(address) as channel:
        asked = channel.unary_unary(LOGIN, auth_pb2.LoginRequest.SerializeToString, auth_pb2.LoginResponse.FromString)

        async def call() -> None:
            own = ".".join(str(byte) for byte in (10, *secrets.token_bytes(3)))
            try:
                await asked(auth_pb2.LoginRequest(**guess()), metadata=(("x-forwarded-for", own),), timeout=CALL_S)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                    full.set()

        await keep_asking(call)


async def keep_asking(call: Callable[[], Awaitable[None]]) -> None:
    """LOGINS_A_SECOND, whether answers come or not, until the process is ended."""
    async with asyncio.TaskGroup() as calls:
        due_s = time.monotonic()

        async def bounded() -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(CALL_S):
                    await call()

        while True:
            calls.create_task(bounded())
            due_s = max(due_s + 1 / LOGINS_A_SECOND, time.monotonic() - 1.0)
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))


KINDS: Final = {THROUGH: ask_the_gateway, PAST: ask_the_server}


async def run(address: str, kind: str) -> None:
    """Until the process is ended; says once that there is no more room."""
    full = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(KINDS[kind](address, full))
        await full.wait()
        sys.stdout.write(FULL.decode())
        sys.stdout.flush()


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("kind", choices=KINDS)
    given = parser.parse_args(arguments)
    if sys.platform == "linux":
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    uvloop.run(run(given.address, given.kind))


if __name__ == "__main__":
    main(sys.argv[1:])
