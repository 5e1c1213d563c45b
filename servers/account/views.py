"""What the machine knows of accounts, at least as new as a caller needs it."""

import asyncio

from servers.domain.errors import PartUnavailable
from servers.domain.identifiers import positions
from servers.engine.client import Engine
from servers.engine.fence import PATIENCE_S
from servers.transport.call import Call
from venue.engine.v1 import engine_pb2 as pb


async def ask(engine: Engine, request: pb.QueryRequest, min_position: str, call: Call) -> pb.QueryResponse:
    """The engine's answer. Raises PositionInvalid, AccountNotFound, PartUnavailable: it is not that new in time."""
    request.min_sequence = max(
        (named.sequence for named in positions(min_position) if named.partition == engine.partition), default=0
    )
    patience_s = PATIENCE_S if call.timeout_s is None else min(call.timeout_s, PATIENCE_S)
    try:
        async with asyncio.timeout(patience_s):
            return await engine.query(request)
    except TimeoutError:
        raise PartUnavailable("a view as new as min_position" if min_position else "the engine") from None


async def accounts_of(engine: Engine, account_id: str, min_position: str, call: Call) -> pb.QueryResponse:
    """The caller's accounts in a partition, or only one of them. Raises AccountNotFound: none, or somebody else's."""
    query = pb.AccountsQuery(user_id=call.identity.user_id, account_id=account_id)
    return await ask(engine, pb.QueryRequest(accounts=query), min_position, call)


async def positions_of(engine: Engine, account_id: str, min_position: str, call: Call) -> pb.QueryResponse:
    """The positions of a caller's account. Raises AccountNotFound."""
    query = pb.PositionsQuery(user_id=call.identity.user_id, account_id=account_id)
    return await ask(engine, pb.QueryRequest(positions=query), min_position, call)


async def balances_of(engine: Engine, account_id: str, min_position: str, call: Call) -> pb.QueryResponse:
    """The balances of a caller's account. Raises AccountNotFound."""
    query = pb.BalancesQuery(user_id=call.identity.user_id, account_id=account_id)
    return await ask(engine, pb.QueryRequest(balances=query), min_position, call)
