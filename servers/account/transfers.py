"""Transfers between a user's own accounts: at once within a partition, else carried by whoever leads the paying one."""

import re
import uuid
from typing import Final

from db.session import Pool
from db.transfers import find_transfer
from servers.account.views import accounts_of
from servers.domain.errors import (
    FieldViolation,
    PartUnavailable,
    RequestIdReused,
    TransferIdReused,
    TransferNotFound,
    VenueError,
)
from servers.domain.identifiers import account_environment, transit_account
from servers.domain.money import ATTO_SCALE, format_units, parse
from servers.domain.terms import EntryKind, TransferState
from servers.engine.client import Engine, Engines
from servers.engine.fence import Fence
from servers.engine.markets import Markets
from servers.transport.call import Call
from servers.transport.refusals import InvalidField
from venue.account.v1 import account_pb2 as pb
from venue.engine.v1 import engine_pb2

# The paying partition, and what is made of the user and his request_id.
_TRANSFER_ID: Final = re.compile(r"([1-9][0-9]{0,3})-[0-9a-f]{32}", re.ASCII)
_NAMES: Final = uuid.UUID("5a0e1d3c-62c5-4a39-8f2f-0f1f6f4e9b57")


class Moving:
    """Makes transfers and tells of them."""

    def __init__(self, engines: Engines[Engine], pool: Pool, fence: Fence, markets: Markets) -> None:
        self._engines = engines
        self._pool = pool
        self._fence = fence
        self._markets = markets

    async def create_transfer(self, request: pb.CreateTransferRequest, call: Call) -> pb.CreateTransferResponse:
        """Raises what the machine raises for a transfer, InvalidField and RequestIdReused."""
        payer = self._engines.for_account(request.from_account_id)
        receiver = self._engines.for_account(request.to_account_id)
        if account_environment(request.from_account_id) != account_environment(request.to_account_id):
            what = "must be of the environment of the account that pays"
            raise InvalidField([FieldViolation("to_account_id", what, "to_account_id.environment")])
        body = transfer_of(request, call.identity.user_id, payer.partition, receiver.partition)
        if body.pending:
            # Within a partition the machine sees to it; here it would be found out only after the amount was held.
            await accounts_of(receiver, request.to_account_id, "", call)
        command = engine_pb2.Command(user_id=call.identity.user_id, transfer=body)
        outcome = (await payer.submit((command,), call.timeout_s))[0]
        if isinstance(outcome, TransferIdReused):
            raise RequestIdReused(request.request_id)
        if isinstance(outcome, VenueError):
            raise outcome
        done = engine_pb2.Done.FromString(outcome)
        transfer = pb.Transfer(
            transfer_id=body.transfer_id,
            from_account_id=request.from_account_id,
            to_account_id=request.to_account_id,
            asset=request.asset,
            amount=format_units(parse(request.amount), ATTO_SCALE),
            state=_state(TransferState.PENDING if body.pending else TransferState.POSTED),
        )
        return pb.CreateTransferResponse(transfer=transfer, position=done.position, replayed=done.replayed)

    async def get_transfer(self, request: pb.GetTransferRequest, call: Call) -> pb.GetTransferResponse:
        """Raises TransferNotFound: there is none, or it is somebody else's. Raises PositionInvalid, PartUnavailable."""
        named = _TRANSFER_ID.fullmatch(request.transfer_id)
        if named is None:
            raise TransferNotFound(request.transfer_id)
        try:
            engine = self._engines.for_partition(int(named[1]))
        except PartUnavailable:
            raise TransferNotFound(request.transfer_id) from None
        await self._fence.pass_through(engine, request.min_position, call.timeout_s)
        async with self._pool.connection() as connection:
            row = await find_transfer(connection, engine.partition, request.transfer_id)
        if row is None or row.user_id != call.identity.user_id:
            raise TransferNotFound(request.transfer_id)
        sides = {row.debit_account_id, row.receiver_account_id or row.credit_account_id}
        if call.identity.account_id and call.identity.account_id not in sides:
            raise TransferNotFound(request.transfer_id)
        scale = await self._markets.scale(engine.partition, row.asset)
        transfer = pb.Transfer(
            transfer_id=request.transfer_id,
            from_account_id=row.debit_account_id,
            to_account_id=row.receiver_account_id or row.credit_account_id,
            asset=row.asset,
            amount=format_units(int(row.amount), scale),
            state=_state(row.state),
        )
        return pb.GetTransferResponse(transfer=transfer)


def transfer_of(request: pb.CreateTransferRequest, user_id: str, payer: int, receiver: int) -> engine_pb2.Transfer:
    """The command's body. The same request of a user always has the same id, so it moves nothing twice."""
    drawn = uuid.uuid5(_NAMES, f"{user_id}/{request.request_id.lower()}") if request.request_id else uuid.uuid4()
    body = engine_pb2.Transfer(
        transfer_id=f"{payer}-{drawn.hex}",
        debit_account_id=request.from_account_id,
        credit_account_id=request.to_account_id,
        asset=request.asset,
        amount=request.amount,
        kind=int(EntryKind.TRANSFER),  # type: ignore[arg-type]  # the domain's numbers are the wire's
    )
    if payer != receiver:
        body.credit_account_id = transit_account(receiver)
        body.receiver_account_id = request.to_account_id
        body.pending = True
    return body


def _state(state: int) -> "pb.TransferState.ValueType":
    return int(state)  # type: ignore[return-value]  # the domain's numbers are the wire's
