"""The part of FundingService about who somebody is and what goes out."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from db import kyc, withdrawals
from db.transactions import transaction
from db.withdrawals import WithdrawalSearch
from servers.funding.beneficiaries import Beneficiaries
from servers.funding.errors import WithdrawalNotFound
from servers.funding.messages import text
from servers.funding.request_withdrawal import Policy, Requesting
from servers.funding.settle_withdrawal import Settling
from servers.funding.submit_kyc import Submitting
from servers.funding.withdrawal_messages import beneficiary_message, submission_message, withdrawal_message
from servers.transport.call import Call
from servers.transport.paging import Cursor, PageTokens, page_size
from venue.funding.v1 import funding_pb2 as pb
from venue.funding.v1 import withdrawal_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """What the part is made of."""

    engine: AsyncEngine
    submitting: Submitting
    beneficiaries: Beneficiaries
    requesting: Requesting
    settling: Settling
    policy: Policy
    page_tokens: PageTokens


class WithdrawalServicer:
    """Serves it."""

    def __init__(self, outgoing: Outgoing) -> None:
        self._out = outgoing

    async def SubmitKyc(self, request: pb.SubmitKycRequest, call: Call) -> pb.SubmitKycResponse:
        row, replayed = await self._out.submitting.submit(request, call)
        return pb.SubmitKycResponse(submission=submission_message(row), replayed=replayed)

    async def GetKyc(self, request: pb.GetKycRequest, call: Call) -> pb.GetKycResponse:
        row = await kyc.latest(self._out.engine, call.user_id)
        async with transaction(self._out.engine) as session:
            level = await kyc.level_within(session, call.user_id)
            used = await withdrawals.used(session, call.user_id)
        limits = self._out.policy.limits.get(level, (0, 0))
        return pb.GetKycResponse(
            level=level,  # type: ignore[arg-type]  # the table's numbers are the wire's
            submission=None if row is None else submission_message(row),
            allowance=withdrawal_pb2.WithdrawalAllowance(
                day_limit=text(limits[0]), day_used=text(used[0]), month_limit=text(limits[1]), month_used=text(used[1])
            ),
        )

    async def CreateBeneficiary(
        self, request: withdrawal_pb2.CreateBeneficiaryRequest, call: Call
    ) -> withdrawal_pb2.CreateBeneficiaryResponse:
        row, replayed = await self._out.beneficiaries.create(request, call)
        return withdrawal_pb2.CreateBeneficiaryResponse(beneficiary=beneficiary_message(row), replayed=replayed)

    async def ListBeneficiaries(
        self, request: withdrawal_pb2.ListBeneficiariesRequest, call: Call
    ) -> withdrawal_pb2.ListBeneficiariesResponse:
        scope, size = ("beneficiaries", call.user_id), page_size(request.page_size)
        before = place(self._out.page_tokens.read(scope, request.page_token))
        rows = await withdrawals.list_beneficiaries(self._out.engine, call.user_id, before=before, limit=size + 1)
        token = ""
        if len(rows) > size:
            last = rows[size - 1]
            token = self._out.page_tokens.issue(scope, [last.create_time.isoformat(), last.beneficiary_id])
        messages = map(beneficiary_message, rows[:size])
        return withdrawal_pb2.ListBeneficiariesResponse(beneficiaries=messages, next_page_token=token)

    async def DeleteBeneficiary(
        self, request: withdrawal_pb2.DeleteBeneficiaryRequest, call: Call
    ) -> withdrawal_pb2.DeleteBeneficiaryResponse:
        await self._out.beneficiaries.remove(request.beneficiary_id, call)
        return withdrawal_pb2.DeleteBeneficiaryResponse()

    async def CreateWithdrawal(
        self, request: withdrawal_pb2.CreateWithdrawalRequest, call: Call
    ) -> withdrawal_pb2.CreateWithdrawalResponse:
        row, replayed = await self._out.requesting.create(request, call)
        await self._out.settling.see_to(row.withdrawal_id)
        found = await withdrawals.find(self._out.engine, row.withdrawal_id)
        assert found is not None, "nothing is ever deleted"
        return withdrawal_pb2.CreateWithdrawalResponse(withdrawal=withdrawal_message(found), replayed=replayed)

    async def GetWithdrawal(
        self, request: withdrawal_pb2.GetWithdrawalRequest, call: Call
    ) -> withdrawal_pb2.GetWithdrawalResponse:
        row = await withdrawals.find(self._out.engine, request.withdrawal_id.replace("\0", "?"))
        if row is None or row.user_id != call.user_id:
            raise WithdrawalNotFound(request.withdrawal_id)
        return withdrawal_pb2.GetWithdrawalResponse(withdrawal=withdrawal_message(row))

    async def ListWithdrawals(
        self, request: withdrawal_pb2.ListWithdrawalsRequest, call: Call
    ) -> withdrawal_pb2.ListWithdrawalsResponse:
        wanted = WithdrawalSearch(
            user_id=call.user_id,
            account_id=request.account_id.replace("\0", "?"),
            state=state_name(request.state),
        )
        scope, size = ("withdrawals", call.user_id, wanted), page_size(request.page_size)
        before = place(self._out.page_tokens.read(scope, request.page_token))
        rows = await withdrawals.search(self._out.engine, wanted, before=before, limit=size + 1)
        token = ""
        if len(rows) > size:
            last = rows[size - 1]
            token = self._out.page_tokens.issue(scope, [last.create_time.isoformat(), last.withdrawal_id])
        messages = map(withdrawal_message, rows[:size])
        return withdrawal_pb2.ListWithdrawalsResponse(withdrawals=messages, next_page_token=token)

    async def CancelWithdrawal(
        self, request: withdrawal_pb2.CancelWithdrawalRequest, call: Call
    ) -> withdrawal_pb2.CancelWithdrawalResponse:
        row = await self._out.settling.cancel(request.withdrawal_id.replace("\0", "?"), call.user_id)
        return withdrawal_pb2.CancelWithdrawalResponse(withdrawal=withdrawal_message(row))


def state_name(state: int) -> str:
    """Empty where none is named."""
    if not state:
        return ""
    return withdrawal_pb2.WithdrawalState.DESCRIPTOR.values_by_number[state].name.removeprefix("WITHDRAWAL_STATE_")


def place(cursor: Cursor | None) -> tuple[datetime, str] | None:
    """Where a page begins."""
    return (datetime.fromisoformat(str(cursor[0])), str(cursor[1])) if cursor else None
