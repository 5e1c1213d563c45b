"""Traders who record what they ask and what they are told, and repeat the same request until they are told something."""

import asyncio
import json
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TextIO

import grpc

from servers.transport.caller import channel_to
from venue.account.v1 import account_pb2, account_pb2_grpc
from venue.auth.v1 import auth_pb2, auth_pb2_grpc
from venue.order.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc
from venue.type.v1 import type_pb2

SYMBOL: Final = "ETH-USD"
# Outcome unknown, or turned away: repeat with the same request_id.
REPEATED: Final = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
ATTEMPT_S: Final = 4.0
PAUSE_S: Final = 0.02
OPEN_MAX: Final = 40
# Tokens live for fifteen minutes, and long loads for longer.
RENEWED_S: Final = 300.0
Metadata = tuple[tuple[str, str], ...]
Renew = Callable[[], Awaitable[Metadata]]
"""Logs in again. Raises AioRpcError."""


@dataclass
class Tally:
    """What all traders saw together."""

    record: TextIO
    acknowledged: int = 0
    repeats: int = 0
    faults: list[str] = field(default_factory=list)
    # When (monotonic) the last acknowledged attempt began.
    served_at: float = 0.0

    def write(self, **line: object) -> None:
        self.record.write(json.dumps(line) + "\n")

    async def until_served(self, since: float, limit_s: float = 60.0) -> float:
        """Seconds from a moment until an attempt that began after it was acknowledged."""
        async with asyncio.timeout(limit_s):
            while self.served_at <= since:  # noqa: ASYNC110  # traders know nothing of who waits
                await asyncio.sleep(0.005)
        return time.monotonic() - since

    async def until_stopped(self, press: Callable[[], None], still_s: float) -> None:
        """Press until nothing was acknowledged for a while, and somebody had to ask again."""
        acknowledged, since, repeats = -1, 0.0, self.repeats
        async with asyncio.timeout(120):
            while time.monotonic() - since < still_s or self.repeats == repeats:
                await asyncio.to_thread(press)
                if self.acknowledged != acknowledged:
                    acknowledged, since = self.acknowledged, time.monotonic()
                await asyncio.sleep(0.1)


class Trader:
    """One user with one account, placing and cancelling for as long as it is let."""

    def __init__(
        self, target: str, metadata: Metadata, account_id: str, tally: Tally, seed: int, renew: Renew | None = None
    ) -> None:
        self.account_id = account_id
        self.metadata = metadata
        self._renew, self._renewed = renew, time.monotonic()
        self._random = random.Random(seed)
        self._tally = tally
        self._open: list[str] = []
        self.reach(target)

    def reach(self, target: str) -> None:
        """Send to this server from now on."""
        self._stub: Any = order_service_pb2_grpc.OrderServiceStub(channel_to(target))

    def _request(self) -> tuple[str, Any]:
        chance, request_id = self._random.random(), str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        if len(self._open) > OPEN_MAX or chance < 0.01:
            self._open.clear()
            return "CancelAllOrders", order_service_pb2.CancelAllOrdersRequest(
                account_id=self.account_id, request_id=request_id
            )
        if self._open and chance < 0.25:
            chosen = self._open.pop(self._random.randrange(len(self._open)))
            return "CancelOrder", order_service_pb2.CancelOrderRequest(order_id=chosen, request_id=request_id)
        return "PlaceOrder", order_service_pb2.PlaceOrderRequest(
            account_id=self.account_id,
            symbol=SYMBOL,
            side=self._random.choice((type_pb2.SIDE_BUY, type_pb2.SIDE_SELL)),
            type=order_pb2.ORDER_TYPE_LIMIT,
            time_in_force=self._random.choice((order_pb2.TIME_IN_FORCE_GTC, order_pb2.TIME_IN_FORCE_IOC)),
            quantity=f"0.00{self._random.randint(1, 99):02d}",
            price=f"{self._random.randint(319_900, 320_100) / 100:.2f}",
            client_order_id=f"c-{request_id[:13]}",
            request_id=request_id,
        )

    async def trade(self, stop: asyncio.Event) -> None:
        """One request after the other."""
        while not stop.is_set():
            await self._look_after_token()
            method, request = self._request()
            self._tally.write(ask=request.request_id, account=self.account_id, method=method)
            answer = await self._told(method, request, stop)
            if answer is not None and method == "PlaceOrder" and answer.order.status in {2, 3}:
                self._open.append(answer.order.order_id)

    async def _look_after_token(self) -> None:
        """Another one long before it is over; a little later where nobody answers."""
        if self._renew is not None and time.monotonic() - self._renewed > RENEWED_S:
            with suppress(grpc.aio.AioRpcError):
                self.metadata = await self._renew()
                self._renewed = time.monotonic()

    async def _told(self, method: str, request: Any, stop: asyncio.Event) -> Any:
        attempts = 0
        # One that is under way when the load ends is left as it is: unacknowledged.
        while attempts == 0 or not stop.is_set():
            attempts += 1
            began = time.monotonic()
            try:
                answer = await self.send(method, request)
            except grpc.aio.AioRpcError as error:
                if error.code() in REPEATED:
                    self._tally.repeats += 1
                    await asyncio.sleep(PAUSE_S)
                    continue
                if error.code() in {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION}:
                    self._tally.write(refused=request.request_id)
                else:
                    self._tally.faults.append(f"{method}: {error.code().name} {error.details()}")
                return None
            self._tally.acknowledged += 1
            self._tally.served_at = max(self._tally.served_at, began)
            self._tally.write(
                ack=request.request_id,
                account=self.account_id,
                request=request.SerializeToString().hex(),
                answer=answer.SerializeToString().hex(),
                method=method,
            )
            return answer
        return None

    async def send(self, method: str, request: Any, metadata: Metadata = ()) -> Any:
        """Once; in somebody else's name where his credentials are given. Raises AioRpcError."""
        return await getattr(self._stub, method)(request, metadata=metadata or self.metadata, timeout=ATTEMPT_S)


def somebody() -> tuple[str, str]:
    """An address of mail and a password."""
    return f"{uuid.uuid4().hex}@example.com", uuid.uuid4().hex


async def log_in(api: str, email: str, password: str) -> Metadata:
    """Raises AioRpcError."""
    async with channel_to(api) as channel:
        auth: Any = auth_pb2_grpc.AuthServiceStub(channel)
        granted = await auth.Login(auth_pb2.LoginRequest(email=email, password=password), timeout=ATTEMPT_S)
        return (("authorization", f"Bearer {granted.access_token}"),)


async def sign_up(api: str, who: tuple[str, str] | None = None) -> tuple[Metadata, str]:
    """A new user who has logged in, and a demo account of his."""
    email, password = who or somebody()
    async with channel_to(api) as channel:
        auth: Any = auth_pb2_grpc.AuthServiceStub(channel)
        accounts: Any = account_pb2_grpc.AccountServiceStub(channel)
        await auth.Register(auth_pb2.RegisterRequest(email=email, password=password))
        granted = await auth.Login(auth_pb2.LoginRequest(email=email, password=password))
        metadata = (("authorization", f"Bearer {granted.access_token}"),)
        request = account_pb2.CreateAccountRequest(type=account_pb2.ACCOUNT_TYPE_DEMO, request_id=str(uuid.uuid4()))
        opened = await accounts.CreateAccount(request, metadata=metadata)
        return metadata, opened.account.account_id


@dataclass
class Load:
    """Traders at work."""

    traders: list[Trader]
    tally: Tally


@asynccontextmanager
async def load(api: str, order: str, record: Path, *, traders: int, seed: int) -> AsyncIterator[Load]:
    """Several traders at work while the body runs; at its end each finishes what it is at."""
    stop = asyncio.Event()
    with record.open("a") as file:
        tally = Tally(file)
        people = [somebody() for _ in range(traders)]
        signed = [await sign_up(api, who) for who in people]
        made = [
            Trader(order, metadata, account, tally, seed + n, partial(log_in, api, *people[n]))
            for n, (metadata, account) in enumerate(signed)
        ]
        tasks = [asyncio.ensure_future(trader.trade(stop)) for trader in made]
        await tally.until_served(0.0)
        try:
            yield Load(made, tally)
        finally:
            stop.set()
            await asyncio.gather(*tasks)
