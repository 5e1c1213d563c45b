"""The user and the accounts that a flow is played from.

A user of its own is registered at the first run, so that nobody's list of accounts fills up. Its accounts open with plenty of
paper funds, through the ledger and with the venue's own rights: the public API gives every demo account the same small sum.
"""

import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc

from servers.engine.client import Engine
from servers.replay.patience import query, submit
from servers.replay.run_record import RunRecord
from servers.replay.steps import Book
from servers.transport.caller import CallerError, Credentials, Login
from venue.account.v1 import account_pb2
from venue.auth.v1 import auth_pb2, auth_pb2_grpc
from venue.engine.v1 import engine_pb2 as pb
from venue.marketdata.v1 import marketdata_pb2
from venue.order.v1 import order_service_pb2

if TYPE_CHECKING:
    from venue.order.v1.order_service_pb2_grpc import OrderServiceAsyncStub

TIER: Final = "replay"
# Of each account; more than the whole recorded flow ever has open.
BASE_AMOUNT: Final = "10000"
QUOTE_AMOUNT: Final = "1000000"
CALL_S: Final = 30.0


async def log_in(channel: grpc.aio.Channel, file: Path) -> Login:
    """The user of this state folder, registered where there is none. Raises AioRpcError."""
    stored = read_login(file)
    if stored is not None:
        known = Login(channel, stored)
        try:
            await known.renew()
        except grpc.aio.AioRpcError as error:
            # The database may be a new one.
            if error.code() != grpc.StatusCode.UNAUTHENTICATED:
                raise
        else:
            return known
    email, password = f"replay-{secrets.token_hex(4)}@venue.local", secrets.token_urlsafe(18)
    request = auth_pb2.RegisterRequest(email=email, password=password, display_name="Replay")
    await auth_pb2_grpc.AuthServiceStub(channel).Register(request, timeout=CALL_S)
    login = Login(channel, Credentials(email, password))
    await login.renew()
    write_login(file, email, password)
    return login


def read_login(file: Path) -> Credentials | None:
    try:
        return Credentials(**json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def write_login(file: Path, email: str, password: str) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stored:
        json.dump({"email": email, "password": password}, stored)


async def find_market(engine: Engine, symbol: str) -> marketdata_pb2.Market:
    """Raises CallerError with the markets there are."""
    markets = (await query(engine, pb.QueryRequest(markets=pb.MarketsQuery()))).markets
    for market in markets:
        if market.symbol == symbol:
            return market
    raise CallerError(f"there is no market {symbol}; there are {', '.join(each.symbol for each in markets)}")


async def open_accounts(engine: Engine, book: Book, market: marketdata_pb2.Market, user_id: str) -> None:
    """Open the run's accounts; those that are open already stay as they are. Raises VenueError."""
    opening = [
        pb.Amount(asset=market.base_asset, amount=BASE_AMOUNT),
        pb.Amount(asset=market.quote_asset, amount=QUOTE_AMOUNT),
    ]
    commands = [
        pb.Command(
            user_id=user_id,
            open_account=pb.OpenAccount(
                account_id=book.account_id(index),
                type=account_pb2.ACCOUNT_TYPE_DEMO,
                name=f"Replay {index}",
                tier=TIER,
                opening=opening,
                request_id=book.request_id("account", index),
            ),
        )
        for index in range(book.accounts)
    ]
    await submit(engine, commands)


async def cancel_left_over(stub: "OrderServiceAsyncStub", login: Login, run: RunRecord) -> None:
    """Take the orders of an earlier run out of the market. Raises AioRpcError."""
    for index in range(run.accounts):
        request = order_service_pb2.CancelAllOrdersRequest(account_id=run.book.account_id(index), symbol=run.symbol)
        try:
            await stub.CancelAllOrders(request, metadata=login.metadata, timeout=CALL_S)
        except grpc.aio.AioRpcError as error:
            # Another user's now, or never opened.
            if error.code() != grpc.StatusCode.NOT_FOUND:
                raise
