"""A leader in the test's own process, what is sent to it, and what it told."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from prometheus_client import CollectorRegistry

from db.journal import JournalRow, read_after
from db.session import Connection, Pool
from servers.domain.errors import VenueError
from servers.domain.exchange import Exchange
from servers.domain.terms import Environment
from servers.engine.catalogue import missing
from servers.engine.leadership import Leader, Terms
from servers.engine.local import LocalEngine
from servers.engine.measures import ReplicaMeasures
from servers.engine.replica import run as project
from servers.engine.sequencer import Sequencer
from venue.account.v1 import account_pb2
from venue.engine.v1 import engine_pb2 as pb
from venue.order.v1 import order_pb2, order_service_pb2
from venue.type.v1 import type_pb2

PARTITION = 2
USER = "user-1"
LIMIT_S = 20.0
TERMS = {
    "address": "127.0.0.1:1",
    "lease_s": 2.0,
    "batch_max": 400,
    "queue_max": 20_000,
    "request_memory": 200_000,
    "projector_lag_max": 10**9,
}


async def until(done: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(limit_s):
        while not done():  # noqa: ASYNC110  # what is waited for is a state, not an event
            await asyncio.sleep(0.005)


class Led:
    """A leader, and the engine that its process would serve."""

    def __init__(self, url: str, pool: Pool, changes: dict[str, object]) -> None:
        self.pool = pool
        self.engine = LocalEngine(PARTITION, pool)
        terms = Terms(database_url=url, **{**TERMS, **changes})  # type: ignore[arg-type]
        self.leader = Leader(Environment.DEMO, self.engine, pool, terms, missing)
        self.task = asyncio.create_task(self.leader.run())

    async def leads(self) -> None:
        await until(lambda: self.engine.sequencer is not None or self.task.done())
        if self.task.done():
            self.task.result()

    async def stop(self) -> None:
        """A planned stop."""
        await self.leader.stop()
        await self.task

    async def end(self) -> None:
        """Whatever state it is in."""
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task

    @property
    def sequencer(self) -> Sequencer:
        assert self.engine.sequencer is not None
        return self.engine.sequencer

    @property
    def exchange(self) -> Exchange:
        return self.sequencer.exchange

    async def submit(self, command: pb.Command, timeout_s: float | None = None) -> bytes:
        """The answer. Raises the refusal."""
        (outcome,) = await self.engine.submit([command], timeout_s)
        if isinstance(outcome, VenueError):
            raise outcome
        return outcome

    async def open_account(self, user_id: str = USER, usd: str = "1000000", btc: str = "100") -> str:
        account_id = f"demo-{uuid.uuid4().hex}"
        funds = [pb.Amount(asset="USD", amount=usd), pb.Amount(asset="BTC", amount=btc)]
        body = pb.OpenAccount(account_id=account_id, type=account_pb2.ACCOUNT_TYPE_DEMO, opening=funds)
        await self.submit(pb.Command(user_id=user_id, open_account=body))
        return account_id

    async def place(self, account_id: str, **changes: Any) -> order_service_pb2.PlaceOrderResponse:
        return order_service_pb2.PlaceOrderResponse.FromString(await self.submit(place(account_id, **changes)))

    async def send(self, account_id: str) -> None:
        """Place an order as a session does, which does not wait for one answer before it sends on; until it is answered."""
        pending = await self.engine.enqueue([place(account_id)], {})
        (outcome,) = await pending.outcomes()
        assert not isinstance(outcome, VenueError)

    async def balances(self, account_id: str) -> dict[str, tuple[str, str]]:
        """(available, held) by asset."""
        query = pb.BalancesQuery(user_id=USER, account_id=account_id)
        found = await self.engine.query(pb.QueryRequest(balances=query))
        return {balance.asset: (balance.available, balance.held) for balance in found.balances}


def place(account_id: str, *, user_id: str = USER, **changes: Any) -> pb.Command:
    """A limit order that rests, unless changed."""
    fields: dict[str, object] = {
        "account_id": account_id,
        "symbol": "BTC-USD",
        "side": type_pb2.SIDE_BUY,
        "type": order_pb2.ORDER_TYPE_LIMIT,
        "time_in_force": order_pb2.TIME_IN_FORCE_GTC,
        "quantity": "0.01",
        "price": "50000",
    }
    body = order_service_pb2.PlaceOrderRequest(**{**fields, **changes})
    return pb.Command(user_id=user_id, place_order=body)


def cancel(order_id: str, **changes: object) -> pb.Command:
    body = order_service_pb2.CancelOrderRequest(order_id=order_id, **changes)  # type: ignore[arg-type]
    return pb.Command(user_id=USER, cancel_order=body)


async def journal(connection: Connection) -> list[JournalRow]:
    """All rows of the partition."""
    return await read_after(connection, PARTITION, 0, 100_000)


async def commands(connection: Connection) -> list[pb.Command]:
    """All committed commands of the partition."""
    return [c for row in await journal(connection) for c in pb.CommandBatch.FromString(row.commands).commands]


@asynccontextmanager
async def stalled(connection: Connection) -> AsyncIterator[None]:
    """No row can be appended meanwhile, and no lease renewed: somebody holds the fence's row."""
    async with connection.transaction():
        await connection.execute("SELECT 1 FROM partitions WHERE partition = %s FOR UPDATE", [PARTITION])
        yield


@asynccontextmanager
async def projecting(url: str, redis_url: str, request_memory: int = 200_000) -> AsyncIterator[None]:
    """The partition's projector beside the leader."""
    measures = ReplicaMeasures(CollectorRegistry())
    task = asyncio.create_task(project({PARTITION: Environment.DEMO}, url, redis_url, request_memory, None, measures))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
