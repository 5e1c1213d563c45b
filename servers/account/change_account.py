"""Accounts under other names, and accounts that are closed: what the machine allows of them."""

from servers.domain.errors import VenueError
from servers.engine.client import Engine, Engines
from servers.transport.call import Call
from venue.account.v1 import account_pb2 as pb
from venue.engine.v1 import engine_pb2


async def update_account(engines: Engines[Engine], request: pb.UpdateAccountRequest, call: Call) -> bytes:
    """The serialized UpdateAccountResponse. Raises AccountNotFound, RequestIdReused."""
    body = engine_pb2.RenameAccount(account_id=request.account_id, name=request.name, request_id=request.request_id)
    return await _done(engines, engine_pb2.Command(user_id=call.identity.user_id, rename_account=body), body, call)


async def close_account(engines: Engines[Engine], request: pb.CloseAccountRequest, call: Call) -> bytes:
    """The serialized CloseAccountResponse. Raises AccountNotFound, AccountNotActive, AccountNotEmpty, RequestIdReused."""
    body = engine_pb2.CloseAccount(account_id=request.account_id, request_id=request.request_id)
    return await _done(engines, engine_pb2.Command(user_id=call.identity.user_id, close_account=body), body, call)


async def _done(
    engines: Engines[Engine],
    command: engine_pb2.Command,
    body: engine_pb2.RenameAccount | engine_pb2.CloseAccount,
    call: Call,
) -> bytes:
    engine = engines.for_account(body.account_id)
    outcome = (await engine.submit((command,), call.timeout_s))[0]
    if isinstance(outcome, VenueError):
        raise outcome
    return outcome
