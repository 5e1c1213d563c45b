"""What people of the venue see and do of deposits."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db import deposits
from db.deposits import DepositSearch
from db.models.deposits import DepositRow
from servers.funding.errors import DepositNotConfirmable, DepositNotFound
from servers.funding.messages import deposit_message, text
from servers.transport.paging import PageTokens, page_size
from venue.admin.v1 import admin_pb2
from venue.funding.v1 import funding_pb2 as pb

# A transfer may come later than it was waited for.
WAITING = frozenset({deposits.PENDING, deposits.EXPIRED})


class DepositDesk:
    """The desk of deposits."""

    def __init__(self, engine: AsyncEngine, page_tokens: PageTokens) -> None:
        self._engine = engine
        self._page_tokens = page_tokens

    async def search(
        self, request: admin_pb2.ListCustomerDepositsRequest, caller: str
    ) -> admin_pb2.ListCustomerDepositsResponse:
        """Raises PageTokenInvalid."""
        state, provider = request.state, request.provider
        wanted = DepositSearch(
            user_id=request.user_id.replace("\0", "?"),
            state=pb.DepositState.Name(state).removeprefix("DEPOSIT_STATE_") if state else "",
            provider=pb.DepositProvider.Name(provider).removeprefix("DEPOSIT_PROVIDER_") if provider else "",
        )
        scope = ("customer deposits", caller, wanted)
        cursor, size = self._page_tokens.read(scope, request.page_token), page_size(request.page_size)
        before = (datetime.fromisoformat(str(cursor[0])), str(cursor[1])) if cursor else None
        found = await deposits.search(self._engine, wanted, before=before, limit=size + 1)
        token = ""
        if len(found) > size:
            last = found[size - 1]
            token = self._page_tokens.issue(scope, [last.create_time.isoformat(), last.deposit_id])
        reversals = await deposits.reversals_of(self._engine, [row.deposit_id for row in found[:size]])
        messages = [deposit_message(row, reversals, "") for row in found[:size]]
        return admin_pb2.ListCustomerDepositsResponse(deposits=messages, next_page_token=token)

    async def confirmable(self, deposit_id: str) -> tuple[Mapping[str, Any], str]:
        """What is to be confirmed, and who profits. Raises DepositNotFound, DepositNotConfirmable."""
        row = await deposits.find(self._engine, deposit_id.replace("\0", "?"))
        if row is None:
            raise DepositNotFound(deposit_id)
        check_waits(row)
        payload = {
            "deposit_id": row.deposit_id,
            "account_id": row.account_id,
            "asset": row.asset,
            "amount": text(row.amount),
        }
        return payload, row.user_id

    @staticmethod
    async def confirm(session: AsyncSession, payload: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Call a bank transfer paid, as part of a transaction: it is credited from then on. Returns what was and what is.

        Raises DepositNotFound, DepositNotConfirmable.
        """
        row = await deposits.lock(session, str(payload["deposit_id"]))
        if row is None:
            raise DepositNotFound(str(payload["deposit_id"]))
        check_waits(row)
        before = row.state
        await deposits.move(session, row, deposits.PAID)
        return {"state": before}, {"state": row.state, "transfer_id": row.transfer_id}


def check_waits(row: DepositRow) -> None:
    """Raises DepositNotConfirmable."""
    if row.provider != "MANUAL" or row.state not in WAITING:
        raise DepositNotConfirmable(row.deposit_id, row.state)
