"""FundingService: what each RPC is done by."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from db import deposits
from db.deposits import DepositSearch
from db.models.deposits import DepositRow
from servers.funding.create_deposit import Beginning
from servers.funding.errors import DepositNotFound, ProviderUnavailable
from servers.funding.messages import deposit_message
from servers.funding.receive_event import Receiving
from servers.funding.withdrawal_servicer import Outgoing, WithdrawalServicer
from servers.transport.call import Call
from servers.transport.paging import PageTokens, page_size
from venue.funding.v1 import funding_pb2 as pb

SIGNATURE: Final = "stripe-signature"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """What FundingService is made of; `receiving` is None where Stripe is not set up."""

    engine: AsyncEngine
    beginning: Beginning
    receiving: Receiving | None
    page_tokens: PageTokens
    instructions: Mapping[str, str]
    outgoing: Outgoing


class FundingServicer(WithdrawalServicer):
    """Serves money in and out; what goes out stands in withdrawal_servicer.py."""

    def __init__(self, rooms: Rooms) -> None:
        super().__init__(rooms.outgoing)
        self._rooms = rooms

    async def CreateDeposit(self, request: pb.CreateDepositRequest, call: Call) -> pb.CreateDepositResponse:
        row, replayed = await self._rooms.beginning.create_deposit(request, call)
        return pb.CreateDepositResponse(deposit=await self._message(row), replayed=replayed)

    async def GetDeposit(self, request: pb.GetDepositRequest, call: Call) -> pb.GetDepositResponse:
        # PostgreSQL takes no NUL in text, and so no deposit has it.
        row = await deposits.find(self._rooms.engine, request.deposit_id.replace("\0", "?"))
        if row is None or row.user_id != call.user_id:
            raise DepositNotFound(request.deposit_id)
        return pb.GetDepositResponse(deposit=await self._message(row))

    async def ListDeposits(self, request: pb.ListDepositsRequest, call: Call) -> pb.ListDepositsResponse:
        state = pb.DepositState.Name(request.state).removeprefix("DEPOSIT_STATE_") if request.state else ""
        wanted = DepositSearch(user_id=call.user_id, account_id=request.account_id.replace("\0", "?"), state=state)
        scope = ("deposits", call.user_id, wanted)
        cursor, size = self._rooms.page_tokens.read(scope, request.page_token), page_size(request.page_size)
        before = (datetime.fromisoformat(str(cursor[0])), str(cursor[1])) if cursor else None
        found = await deposits.search(self._rooms.engine, wanted, before=before, limit=size + 1)
        token = ""
        if len(found) > size:
            last = found[size - 1]
            token = self._rooms.page_tokens.issue(scope, [last.create_time.isoformat(), last.deposit_id])
        reversals = await deposits.reversals_of(self._rooms.engine, [row.deposit_id for row in found[:size]])
        messages = [deposit_message(row, reversals, self._instructions(row)) for row in found[:size]]
        return pb.ListDepositsResponse(deposits=messages, next_page_token=token)

    async def ReceiveStripeEvent(
        self, request: pb.ReceiveStripeEventRequest, call: Call
    ) -> pb.ReceiveStripeEventResponse:
        receiving = self._rooms.receiving
        if receiving is None:
            raise ProviderUnavailable("STRIPE", "it is not set up")
        is_new = await receiving.receive(request.body.data, call.header(SIGNATURE))
        return pb.ReceiveStripeEventResponse(duplicate=not is_new)

    async def _message(self, row: DepositRow) -> pb.Deposit:
        reversals = await deposits.reversals_of(self._rooms.engine, [row.deposit_id])
        return deposit_message(row, reversals, self._instructions(row))

    def _instructions(self, row: DepositRow) -> str:
        return self._rooms.instructions.get(row.asset, "")
