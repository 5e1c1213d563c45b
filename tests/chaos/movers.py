"""Users who move funds to and fro between their accounts of two partitions, each request repeated until it is answered."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Final

import grpc

from servers.transport.caller import channel_to
from tests.chaos.clients import PAUSE_S, REPEATED, Metadata, sign_up
from tests.chaos.driver import FAR_MARKET
from venue.account.v1 import account_pb2 as pb
from venue.account.v1 import account_pb2_grpc

ASSET: Final = "USD"
PAPER: Final = Decimal(100_000)
SETTLED_S: Final = 20.0
USERS: Final = 2


class Mover:
    """One user with an account in each of two partitions."""

    def __init__(self, stub: Any, metadata: Metadata, near: str, far: str, seed: int) -> None:
        self.made: list[pb.Transfer] = []
        self._stub = stub
        self.metadata = metadata
        self.accounts = (near, far)
        self._random = random.Random(seed)

    async def _told(self, method: str, request: Any) -> Any:
        """The answer, however often it takes to get one."""
        while True:
            try:
                return await getattr(self._stub, method)(request, metadata=self.metadata, timeout=4.0)
            except grpc.aio.AioRpcError as error:
                if error.code() not in REPEATED:
                    raise
                await asyncio.sleep(PAUSE_S)

    async def move(self, stop: asyncio.Event) -> None:
        """One transfer after the other."""
        while not stop.is_set():
            source, target = self._random.sample(self.accounts, 2)
            request = pb.CreateTransferRequest(
                from_account_id=source,
                to_account_id=target,
                asset=ASSET,
                amount=f"{self._random.randint(1, 9_999) / 100:.2f}",
                request_id=str(uuid.UUID(int=self._random.getrandbits(128), version=4)),
            )
            self.made.append((await self._told("CreateTransfer", request)).transfer)

    async def settle(self) -> None:
        """Until every transfer is where it was sent."""
        async with asyncio.timeout(SETTLED_S):
            for transfer in self.made:
                while await self._state(transfer.transfer_id) != pb.TRANSFER_STATE_POSTED:  # noqa: ASYNC110  # another's state
                    await asyncio.sleep(PAUSE_S)

    async def _state(self, transfer_id: str) -> int:
        found = await self._told("GetTransfer", pb.GetTransferRequest(transfer_id=transfer_id))
        return int(found.transfer.state)

    async def balances(self) -> list[tuple[Decimal, Decimal]]:
        """Available and held, of both accounts."""
        found = []
        for account_id in self.accounts:
            response = await self._told("ListBalances", pb.ListBalancesRequest(account_id=account_id))
            (balance,) = (balance for balance in response.balances if balance.asset == ASSET)
            found.append((Decimal(balance.available), Decimal(balance.held)))
        return found

    def expected(self) -> list[tuple[Decimal, Decimal]]:
        """The same as everything that was answered makes it."""
        totals = dict.fromkeys(self.accounts, PAPER)
        for transfer in self.made:
            totals[transfer.from_account_id] -= Decimal(transfer.amount)
            totals[transfer.to_account_id] += Decimal(transfer.amount)
        return [(totals[account_id], Decimal(0)) for account_id in self.accounts]


@asynccontextmanager
async def moving(api: str, seed: int) -> AsyncIterator[list[Mover]]:
    """Movers at work while the body runs; at its end each finishes what it is at."""
    stop = asyncio.Event()
    channel = channel_to(api)
    stub: Any = account_pb2_grpc.AccountServiceStub(channel)
    made = []
    for n in range(USERS):
        metadata, near = await sign_up(api)
        request = pb.CreateAccountRequest(type=pb.ACCOUNT_TYPE_DEMO, symbol=FAR_MARKET, request_id=str(uuid.uuid4()))
        opened = await stub.CreateAccount(request, metadata=metadata)
        made.append(Mover(stub, metadata, near, opened.account.account_id, seed + 500 + n))
    tasks = [asyncio.ensure_future(mover.move(stop)) for mover in made]
    try:
        yield made
    finally:
        stop.set()
        await asyncio.gather(*tasks)
