"""Opening accounts: who may, how many, with what; the rest is the machine's."""

import asyncio
from contextlib import suppress
from typing import Final
from weakref import WeakValueDictionary

from db.requests import find_request
from db.session import Pool
from servers.account.errors import EmailNotVerified, TooManyAccounts
from servers.account.identifiers import new_account_id
from servers.account.views import accounts_of
from servers.domain.errors import PartUnavailable, RequestIdReused, VenueError
from servers.domain.terms import Environment
from servers.engine.client import Engine, Engines
from servers.engine.fence import Fence
from servers.transport.call import Call
from venue.account.v1 import account_pb2 as pb
from venue.engine.v1 import engine_pb2
from venue.option.v1 import access_pb2

PAPER_FUNDS: Final = (("USD", "100000"), ("BTC", "10"), ("ETH", "100"))
DEFAULT_TIER: Final = "default"
# How many times the number of open accounts a user may have with the closed ones.
CLOSED_TOO: Final = 5
MARKET_MAKER_TIER: Final = "market_maker"


class Opening:
    """Opens accounts, at most `accounts_max` a user and type."""

    def __init__(self, engines: Engines[Engine], pool: Pool, fence: Fence, accounts_max: int) -> None:
        self._engines = engines
        self._pool = pool
        self._fence = fence
        self._accounts_max = accounts_max
        # One at a time a user: a burst of calls must not all be counted before any of them is executed.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def create_account(self, request: pb.CreateAccountRequest, call: Call) -> bytes:
        """The serialized CreateAccountResponse.

        Raises EmailNotVerified, TooManyAccounts, RequestIdReused, RequestIdFromFuture, MarketNotFound: the deployment
        does not serve the environment.
        """
        live = request.type == pb.ACCOUNT_TYPE_TRADING
        if live and not call.identity.email_verified:
            raise EmailNotVerified
        environment = Environment.LIVE if live else Environment.DEMO
        engine = self._engines.for_market(environment, request.symbol)
        # The id names the partition where it is not the first of the environment.
        first = engine.partition == self._engines.for_environment(environment).partition
        body = open_account(request, environment, call.identity.role, 0 if first else engine.partition)
        command = engine_pb2.Command(user_id=call.identity.user_id, open_account=body)
        async with self._lock(call.identity.user_id):
            await self._check(engine, request.request_id, call)
            outcome = (await engine.submit((command,), call.timeout_s))[0]
        if isinstance(outcome, VenueError):
            raise outcome
        return outcome

    def _lock(self, user_id: str) -> asyncio.Lock:
        lock = self._locks.get(user_id)
        if lock is None:
            lock = self._locks[user_id] = asyncio.Lock()
        return lock

    async def _check(self, engine: Engine, request_id: str, call: Call) -> None:
        if request_id:
            for other in self._engines.all:
                # One body names one environment: the same id in another one was used with another body.
                if other.partition != engine.partition and await self._is_used(other, request_id, call):
                    raise RequestIdReused(request_id)
        response = await accounts_of(engine, "", "", call)
        # A repeated call for the last account allowed has its account already.
        open_ones = sum(account.status != pb.ACCOUNT_STATUS_CLOSED for account in response.accounts)
        # Whoever closes accounts to open others ends somewhere, too: a demo account begins with paper funds.
        full = open_ones >= self._accounts_max or len(response.accounts) >= self._accounts_max * CLOSED_TOO
        if full and not (request_id and await self._is_used(engine, request_id, call)):
            raise TooManyAccounts(self._accounts_max)

    async def _is_used(self, engine: Engine, request_id: str, call: Call) -> bool:
        with suppress(PartUnavailable):
            # A partition that is away must not stand in the way: what its tables say so far is enough then.
            await self._fence.pass_through(engine, "", call.timeout_s)
        async with self._pool.connection() as connection:
            return (
                await find_request(connection, engine.partition, call.identity.user_id, request_id.lower()) is not None
            )


def open_account(
    request: pb.CreateAccountRequest, environment: Environment, role: int, partition: int = 0
) -> engine_pb2.OpenAccount:
    """The command's body for a request, with a new id; demo accounts come with paper funds."""
    message = engine_pb2.OpenAccount(
        account_id=new_account_id(environment, partition),
        type=request.type,
        name=request.name,
        tier=MARKET_MAKER_TIER if role == access_pb2.ROLE_MARKET_MAKER else DEFAULT_TIER,
        request_id=request.request_id,
    )
    if environment == Environment.DEMO:
        message.opening.extend(engine_pb2.Amount(asset=asset, amount=amount) for asset, amount in PAPER_FUNDS)
    return message
