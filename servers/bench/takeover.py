"""P9: from `kill -9` of the process that leads until a new order is answered, with many open orders."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import grpc

from servers.bench import traffic
from servers.bench.errors import BenchError
from servers.bench.figures import Figure
from servers.bench.rivals import end_of
from servers.bench.venue import PARTITION, Venue, free_ports
from servers.transport.call import INTERNAL_KEY
from servers.transport.caller import channel_to
from venue.engine.v1 import engine_pb2, engine_pb2_grpc
from venue.order.v1 import order_service_pb2, order_service_pb2_grpc

BATCH: Final = 400
# No two neighbours at one price, none near the others' trades.
LEVELS: Final = 5_000
POLL_S: Final = 0.02
TRY_S: Final = 0.5
READY_S: Final = 60.0
STANDING: Final = "standing by"
READY: Final = "ready"


async def fill(venue: Venue, count: int) -> None:
    """So many open orders, half of them on each side. Raises BenchError."""
    metadata = ((INTERNAL_KEY, venue.own.internal_key),)
    async with channel_to(venue.address) as channel:
        engine = engine_pb2_grpc.EngineServiceStub(channel)

        async def requests() -> AsyncIterator[engine_pb2.SubmitRequest]:
            for at in range(0, count, BATCH):
                commands = [command(venue, number) for number in range(at, min(at + BATCH, count))]
                yield engine_pb2.SubmitRequest(correlation_id=at, partition=PARTITION, commands=commands)
                # The next one when this one was answered: the queue is bounded.
                await answered.acquire()

        answered = asyncio.Semaphore(4)
        async for response in engine.Submit(requests(), metadata=metadata, timeout=READY_S + count / 500):
            answered.release()
            if any(result.HasField("error") for result in response.results):
                raise BenchError("an open order was not taken")
            if response.correlation_id + BATCH >= count:
                break


def command(venue: Venue, number: int) -> engine_pb2.Command:
    side = venue.sides[number % len(venue.sides)]
    order = traffic.order(side.accounts[0], side.side)
    away = number // 2 % LEVELS
    order.price = f"{60_000 - away if number % 2 == 0 else 70_000 + away}.00"
    return engine_pb2.Command(place_order=order)


async def answers(addresses: Sequence[str], venue: Venue) -> float:
    """Seconds until a new order is answered at one of the addresses. Raises BenchError."""
    side = venue.sides[0]
    order = traffic.order(side.accounts[0], side.side)
    order.price = "100.00"
    begun_s = time.monotonic()
    async with AsyncExitStack() as held:
        stubs = [
            order_service_pb2_grpc.OrderServiceStub(await held.enter_async_context(channel_to(address)))
            for address in addresses
        ]
        while time.monotonic() < begun_s + READY_S:
            for stub in stubs:
                if await placed(stub, order, side.metadata):
                    return time.monotonic() - begun_s
            await asyncio.sleep(POLL_S)
    raise BenchError(f"nobody leads {READY_S:.0f} s after the leader was killed")


async def placed(
    stub: "order_service_pb2_grpc.OrderServiceAsyncStub",
    order: order_service_pb2.PlaceOrderRequest,
    metadata: tuple[tuple[str, str], ...],
) -> bool:
    try:
        await stub.PlaceOrder(order, metadata=metadata, timeout=TRY_S)
    except grpc.aio.AioRpcError:
        return False
    return True


@asynccontextmanager
async def standby(venue: Venue, folder: Path) -> AsyncIterator[str]:
    """A second process that may lead, once it stands by. Yields its address. Raises BenchError."""
    port, metrics_port = free_ports(2)
    ports = {"VENUE_ORDER_PORT": str(port), "VENUE_ORDER_METRICS_PORT": str(metrics_port)}
    log = folder / "standby.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "servers.main", "order"),
            env={**venue.own.environment, **ports},
            stdout=output,
            stderr=output,
        )
    try:
        end_s = time.monotonic() + READY_S
        while not stands_by(log):
            if process.returncode is not None or time.monotonic() > end_s:
                raise BenchError(f"the standby does not stand by: {end_of(log)}")
            await asyncio.sleep(0.1)
        yield f"{venue.address.partition(':')[0]}:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


def stands_by(log: Path) -> bool:
    """Whether it has the partition's machine, and answers calls."""
    lines = log.read_text(errors="replace").splitlines()
    has = any(STANDING in line and f'"partition": {PARTITION}' in line.replace("=", '": ') for line in lines)
    return has and any(f'"{READY}"' in line for line in lines)


async def measure(
    venue: Venue, figures: dict[str, Figure], count: int, folder: Path, tell: Callable[[str], None]
) -> None:
    """Raises BenchError."""
    tell(f"P9: {count:,} open orders")
    await fill(venue, count)
    await venue.settle()
    tell(f"P9: {figures['P9b'].what}")
    kill(venue)
    figures["P9b"].ours.append(await answers([venue.address], venue))
    await venue.settle()
    tell(f"P9: {figures['P9c'].what}")
    leader = int(venue.own.pid_file("order").read_text().split()[0])
    async with standby(venue, folder) as address:
        os.kill(leader, signal.SIGKILL)
        figures["P9c"].ours.append(await answers([address], venue))


def kill(venue: Venue) -> None:
    """Kill the process that leads."""
    os.kill(int(venue.own.pid_file("order").read_text().split()[0]), signal.SIGKILL)
