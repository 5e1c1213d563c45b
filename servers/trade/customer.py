"""A logged-in user with an account, over the gateway."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import grpc

from servers.transport.caller import Credentials, Login, Metadata, channel_to
from servers.transport.papers import Trust
from venue.account.v1 import account_pb2
from venue.account.v1.account_pb2_grpc import AccountServiceStub
from venue.marketdata.v1.marketdata_pb2_grpc import MarketDataServiceStub
from venue.order.v1.order_service_pb2_grpc import OrderServiceStub

if TYPE_CHECKING:
    from venue.account.v1.account_pb2_grpc import AccountServiceAsyncStub
    from venue.marketdata.v1.marketdata_pb2_grpc import MarketDataServiceAsyncStub
    from venue.order.v1.order_service_pb2_grpc import OrderServiceAsyncStub

CALL_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Customer:
    """What a command needs of somebody who may trade."""

    account_id: str
    metadata: Metadata
    accounts: "AccountServiceAsyncStub"
    orders: "OrderServiceAsyncStub"


@asynccontextmanager
async def customer(
    target: str, credentials: Credentials, account_id: str, trust: Trust | None = None
) -> AsyncIterator[Customer]:
    """Logs in; without an account id, trades from the oldest demo account, opened where there is none.

    Raises AioRpcError.
    """
    async with channel_to(target, trust) as channel:
        login = Login(channel, credentials)
        await login.renew()
        accounts = AccountServiceStub(channel)
        chosen = account_id or await _demo_account(accounts, login.metadata)
        yield Customer(chosen, login.metadata, accounts, OrderServiceStub(channel))


@asynccontextmanager
async def market_data(target: str, trust: Trust | None = None) -> AsyncIterator["MarketDataServiceAsyncStub"]:
    """Needs no log-in."""
    async with channel_to(target, trust) as channel:
        yield MarketDataServiceStub(channel)


async def _demo_account(accounts: "AccountServiceAsyncStub", metadata: Metadata) -> str:
    listed = await accounts.ListAccounts(account_pb2.ListAccountsRequest(), metadata=metadata, timeout=CALL_S)
    for account in listed.accounts:
        if account.type == account_pb2.ACCOUNT_TYPE_DEMO:
            return account.account_id
    opening = account_pb2.CreateAccountRequest(type=account_pb2.ACCOUNT_TYPE_DEMO, name="Demo")
    opened = await accounts.CreateAccount(opening, metadata=metadata, timeout=CALL_S)
    return opened.account.account_id


def is_lost(error: grpc.aio.AioRpcError) -> bool:
    """Whether a stream ended because something is away for a moment."""
    return error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}
