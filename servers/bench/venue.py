"""The venue that is measured: a whole one of its own, started as `venue up` starts it, its market maker off.

Its state lies on the disk that the checkout lies on and is deleted afterwards. PostgreSQL flushes every commit (fsync on); a run
where it does not is refused.
"""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
from pydantic_settings import BaseSettings

from db import journal, projections, session
from servers.bench.errors import BenchError
from servers.transport.call import INTERNAL_KEY
from servers.transport.caller import channel_to
from venue.account.v1 import account_pb2
from venue.auth.v1 import auth_pb2, auth_pb2_grpc
from venue.engine.v1 import engine_pb2, engine_pb2_grpc
from venue.order.v1 import order_service_pb2, order_service_pb2_grpc
from venue.type.v1 import type_pb2

PARTITION: Final = 2
USERS: Final = {type_pb2.SIDE_BUY: "demo@venue.local", type_pb2.SIDE_SELL: "maker@venue.local"}
FUNDS: Final = (("USD", "900000000"), ("BTC", "9000000"))
# May have more open orders than the default tier.
TIER: Final = "replay"
POLL_S: Final = 0.02
QUIET_S: Final = 0.1
SETTLE_S: Final = 120.0
CALL_S: Final = 30.0
LOGIN_TRIES: Final = 50


@dataclass(frozen=True, slots=True)
class Side:
    """One side of the trading: a user's token and accounts."""

    side: "type_pb2.Side.ValueType"
    token: str
    accounts: list[str]

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.token}"),)


class Venue:
    """A running venue, seen from outside: its order address, and how far its journal and its replica are."""

    def __init__(
        self, own: "Own", connection: session.Connection, sides: list[Side], channel: grpc.aio.Channel
    ) -> None:
        self.own = own
        self.address = own.orders
        self.sides = sides
        self._connection = connection
        self._orders = order_service_pb2_grpc.OrderServiceStub(channel)

    async def count(self) -> int:
        """Commands that are durable."""
        found = await journal.find_partition(self._connection, PARTITION)
        if found is None:
            raise BenchError("the venue has no partition for demo accounts")
        if found.halted_reason is not None:
            raise BenchError(f"the venue halted: {found.halted_reason}")
        return found.last_sequence

    async def settle(self) -> float:
        """Until nothing happens any more and the replica has written everything. Returns the seconds that took."""
        begun_s = time.monotonic()
        quiet_s, last, caught_up_s = begun_s, -1, begun_s
        while (now_s := time.monotonic()) < begun_s + SETTLE_S:
            if (sequence := await self.count()) != last:
                last, quiet_s = sequence, now_s
            tables = await projections.find_projection(self._connection, PARTITION, projections.TABLES)
            if tables is None or tables.sequence < last:
                caught_up_s = time.monotonic()
            elif now_s - quiet_s > QUIET_S:
                return caught_up_s - begun_s
            await asyncio.sleep(POLL_S)
        raise BenchError(f"the replica has not caught up within {SETTLE_S:.0f} s")

    async def clear(self) -> None:
        """Cancel what rests."""
        for side in self.sides:
            for account in side.accounts:
                request = order_service_pb2.CancelAllOrdersRequest(account_id=account)
                await self._orders.CancelAllOrders(request, metadata=side.metadata, timeout=CALL_S)

    async def trades(self, orders: Mapping["type_pb2.Side.ValueType", order_service_pb2.PlaceOrderRequest]) -> int:
        """How many trades there were: the number of one that is made now, of two orders that meet in an empty book."""
        for side in self.sides:
            placed = await self._orders.PlaceOrder(orders[side.side], metadata=side.metadata, timeout=CALL_S)
            if placed.fills:
                return int(placed.fills[0].trade_id.partition("-t")[2])
        raise BenchError("two orders at one price did not trade")


def free_ports(count: int) -> list[int]:
    """Different ports that nobody listens on, chosen by the kernel."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


# All the streams of the benchmark come from one address.
MANY: Final = {"VENUE_STREAMS_MAX": "20000", "VENUE_RATES": '{"STREAM": [20000, 20000]}'}


@dataclass(frozen=True, slots=True)
class Own:
    """Where a venue of our own is: its servers' addresses, its database, its users' passwords, and what its processes read."""

    orders: str
    api: str
    marketdata: str
    gateway: str
    database: str
    logins: Path
    internal_key: str
    environment: dict[str, str]
    # Where a process writes its number.
    pid_file: Callable[[str], Path]


def own_venue(settings: BaseSettings, folder: Path) -> Own:
    """Settings like the given ones, but for ports, folder and stores of its own."""
    names = [name for name in type(settings).model_fields if name.endswith("_port")]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    values = settings.model_dump(include={"host", "envoy_bin"}, exclude_none=True)
    values |= {**ports, "state_dir": folder / "state", "bot_enabled": False, "feed_simulated": False}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("VENUE_")}
    told = {f"VENUE_{name.upper()}": str(value) for name, value in values.items()}
    made: Any = type(settings).model_validate(values)
    host = made.host
    return Own(
        f"{host}:{ports['order_port']}",
        f"{host}:{ports['api_port']}",
        f"{host}:{ports['marketdata_port']}",
        f"{host}:{ports['gateway_port']}",
        made.database,
        made.state.logins,
        made.state.secret("internal"),
        inherited | told | MANY,
        made.state.pid_file,
    )


def run_venue(words: list[str], environment: Mapping[str, str]) -> None:
    """Raises BenchError with the end of what was printed."""
    done = subprocess.run(
        [sys.executable, "-m", "servers.cli", *words], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchError(f"venue {' '.join(words)} failed:\n{(done.stdout + done.stderr)[-2000:]}")


@asynccontextmanager
async def running(settings: BaseSettings, beside: Path, accounts: int) -> AsyncIterator[Venue]:
    """A venue with so many accounts a side, its state in a folder of its own inside `beside`. Raises BenchError."""
    folder = Path(tempfile.mkdtemp(prefix=".venue-bench-", dir=beside))
    try:
        own = own_venue(settings, folder)
        try:
            await asyncio.to_thread(run_venue, ["up", "--detach"], own.environment)
            async with AsyncExitStack() as held:
                connection = await session.connect(own.database, application_name="venue bench")
                held.push_async_callback(connection.close)
                await check_durable(connection)
                orders = await held.enter_async_context(channel_to(own.orders))
                api = await held.enter_async_context(channel_to(own.api))
                logins = json.loads(own.logins.read_text())
                sides = [
                    await open_side(side, email, logins[email], accounts, api, orders, own.internal_key)
                    for side, email in USERS.items()
                ]
                yield Venue(own, connection, sides, orders)
        finally:
            run_venue(["down"], own.environment)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def check_durable(connection: session.Connection) -> None:
    """Raises BenchError where commits are not flushed."""
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        found = await (await connection.execute(f"SHOW {name}")).fetchone()
        if found is None or found[0] != "on":
            raise BenchError(f"PostgreSQL runs with {name} off: its figures would not be of durable orders")


async def open_side(
    side: "type_pb2.Side.ValueType",
    email: str,
    password: str,
    accounts: int,
    api: grpc.aio.Channel,
    orders: grpc.aio.Channel,
    internal_key: str,
) -> Side:
    """Log a seeded user in and give it funded accounts of the demo environment."""
    auth = auth_pb2_grpc.AuthServiceStub(api)
    token = (await auth.Login(auth_pb2.LoginRequest(email=email, password=password), timeout=CALL_S)).access_token
    user_id = await who_is(auth, token)
    engine = engine_pb2_grpc.EngineServiceStub(orders)
    names = [f"demo-{uuid.uuid4()}" for _ in range(accounts)]
    opened = [
        engine_pb2.OpenAccount(
            account_id=name,
            type=account_pb2.ACCOUNT_TYPE_DEMO,
            name="Bench",
            tier=TIER,
            opening=[engine_pb2.Amount(asset=asset, amount=amount) for asset, amount in FUNDS],
        )
        for name in names
    ]
    commands = [engine_pb2.Command(user_id=user_id, open_account=item) for item in opened]
    request = engine_pb2.SubmitRequest(correlation_id=1, partition=PARTITION, commands=commands)
    async for response in engine.Submit(iter([request]), metadata=((INTERNAL_KEY, internal_key),), timeout=CALL_S):
        for result in response.results:
            if result.HasField("error"):
                raise BenchError(f"an account was not opened: {result.error.message}")
    return Side(side, token, names)


async def who_is(auth: "auth_pb2_grpc.AuthServiceAsyncStub", token: str) -> str:
    """The user's id. A venue that has only just begun may not have its own keys yet. Raises BenchError."""
    for _ in range(LOGIN_TRIES):
        try:
            metadata = (("authorization", f"Bearer {token}"),)
            return (await auth.WhoAmI(auth_pb2.WhoAmIRequest(), metadata=metadata, timeout=CALL_S)).user.user_id
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise BenchError(f"WhoAmI: {error.details()}") from None
            await asyncio.sleep(0.2)
    raise BenchError("the venue does not accept its own tokens")
