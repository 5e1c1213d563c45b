"""What people of the venue see and decide of who somebody is, and of what goes out."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db import audit, kyc, withdrawals
from db.audit import Action, Actor, Entry
from db.models.withdrawals import WithdrawalRow
from db.sealing import Sealer
from db.transactions import transaction
from db.withdrawals import ACCEPTED, FAILED, PREPARED, PROCESSING, REJECTED, SUCCEEDED, WithdrawalSearch
from servers.domain.letters import Template
from servers.funding.errors import KycDecided, KycNotFound, OwnSubmission, WithdrawalNotDecidable, WithdrawalNotFound
from servers.funding.letters import Letters
from servers.funding.messages import text
from servers.funding.submit_kyc import opened
from servers.funding.withdrawal_messages import screening_message, submission_message, withdrawal_message
from servers.funding.withdrawal_servicer import place, state_name
from servers.transport.paging import PageTokens, page_size
from venue.admin.v1 import admin_pb2
from venue.funding.v1 import kyc_pb2

APPROVE: Final = "APPROVE"
PAID: Final = "PAID"
NOT_PAID: Final = "NOT_PAID"
Json = Mapping[str, Any]


class ComplianceDesk:
    """The desk of compliance."""

    def __init__(self, engine: AsyncEngine, sealer: Sealer, page_tokens: PageTokens) -> None:
        self._engine = engine
        self._sealer = sealer
        self._letters = Letters(sealer)
        self._page_tokens = page_tokens

    async def queue(
        self, request: admin_pb2.ListKycSubmissionsRequest, caller: str
    ) -> admin_pb2.ListKycSubmissionsResponse:
        """Raises PageTokenInvalid."""
        state = kyc_pb2.KycState.Name(request.state).removeprefix("KYC_STATE_") if request.state else ""
        scope, size = ("kyc submissions", caller, state), page_size(request.page_size)
        after: tuple[datetime, str] | None = place(self._page_tokens.read(scope, request.page_token))
        rows = await kyc.queue(self._engine, state=state, after=after, limit=size + 1)
        token = ""
        if len(rows) > size:
            last = rows[size - 1]
            token = self._page_tokens.issue(scope, [last.create_time.isoformat(), last.kyc_submission_id])
        messages = map(submission_message, rows[:size])
        return admin_pb2.ListKycSubmissionsResponse(submissions=messages, next_page_token=token)

    async def look(self, kyc_submission_id: str) -> admin_pb2.GetKycSubmissionResponse:
        """Raises KycNotFound."""
        row = await kyc.find(self._engine, kyc_submission_id.replace("\0", "?"))
        if row is None:
            raise KycNotFound(kyc_submission_id)
        return admin_pb2.GetKycSubmissionResponse(
            submission=submission_message(row),
            details=opened(self._sealer, row),
            screening=screening_message(row.risk_score, row.findings),
        )

    async def review(self, request: admin_pb2.ReviewKycRequest, actor: Actor) -> kyc_pb2.KycSubmission:
        """Decide on a submission. Raises KycNotFound, KycDecided, OwnSubmission."""
        state = kyc_pb2.KycState.Name(request.decision).removeprefix("KYC_STATE_")
        async with transaction(self._engine) as session, session.begin():
            row = await kyc.lock(session, request.kyc_submission_id.replace("\0", "?"))
            if row is None:
                raise KycNotFound(request.kyc_submission_id)
            if row.user_id == actor.name:
                raise OwnSubmission
            if row.state != kyc.PENDING:
                raise KycDecided(row.kyc_submission_id, row.state)
            await kyc.decide(session, row, state, actor.name, request.reason)
            entry = Entry(
                actor=actor,
                action=Action.KYC_REVIEW,
                object=f"kyc/{row.kyc_submission_id}",
                before={"state": kyc.PENDING},
                after={"state": state, "level": row.level, "user_id": row.user_id, "reason": request.reason},
            )
            await audit.append(session, entry)
            template = Template.KYC_APPROVED if state == kyc.APPROVED else Template.KYC_REFUSED
            values = {"level": level_name(row.level), "reason": request.reason}
            await self._letters.write(session, row.user_id, template, values)
            return submission_message(row)

    async def list_withdrawals(
        self, request: admin_pb2.ListCustomerWithdrawalsRequest, caller: str
    ) -> admin_pb2.ListCustomerWithdrawalsResponse:
        """Raises PageTokenInvalid."""
        wanted = WithdrawalSearch(user_id=request.user_id.replace("\0", "?"), state=state_name(request.state))
        scope, size = ("customer withdrawals", caller, wanted), page_size(request.page_size)
        before = place(self._page_tokens.read(scope, request.page_token))
        rows = await withdrawals.search(self._engine, wanted, before=before, limit=size + 1)
        token = ""
        if len(rows) > size:
            last = rows[size - 1]
            token = self._page_tokens.issue(scope, [last.create_time.isoformat(), last.withdrawal_id])
        found = [
            admin_pb2.CustomerWithdrawal(
                withdrawal=withdrawal_message(row),
                screening=screening_message(row.risk_score, row.findings),
                approved=row.approved,
            )
            for row in rows[:size]
        ]
        return admin_pb2.ListCustomerWithdrawalsResponse(withdrawals=found, next_page_token=token)

    async def decidable(self, withdrawal_id: str, decision: str) -> tuple[Json, str]:
        """What is to be decided, and who profits. Raises WithdrawalNotFound, WithdrawalNotDecidable."""
        row = await withdrawals.find(self._engine, withdrawal_id.replace("\0", "?"))
        if row is None:
            raise WithdrawalNotFound(withdrawal_id)
        check(row, decision)
        payload = {
            "withdrawal_id": row.withdrawal_id,
            "decision": decision,
            "account_id": row.account_id,
            "asset": row.asset,
            "amount": text(row.amount),
        }
        return payload, row.user_id

    @staticmethod
    async def decide(session: AsyncSession, payload: Json) -> tuple[Json, Json]:
        """Decide as part of a transaction; it goes on from there. Raises WithdrawalNotFound, WithdrawalNotDecidable."""
        row = await withdrawals.lock(session, str(payload["withdrawal_id"]))
        if row is None:
            raise WithdrawalNotFound(str(payload["withdrawal_id"]))
        decision = str(payload["decision"])
        check(row, decision)
        before = {"state": row.state, "approved": row.approved}
        if decision == APPROVE:
            await withdrawals.change(session, row, approved=True)
        elif decision == PAID:
            await withdrawals.change(session, row, outcome=SUCCEEDED)
        else:
            await withdrawals.change(session, row, outcome=FAILED, failure=NOT_PAID)
        return before, {"state": row.state, "approved": row.approved, "outcome": row.outcome}

    async def reject(self, withdrawal_id: str, reason: str, actor: Actor) -> None:
        """Refuse one that has not gone out. Raises WithdrawalNotFound, WithdrawalNotDecidable."""
        async with transaction(self._engine) as session, session.begin():
            row = await withdrawals.lock(session, withdrawal_id.replace("\0", "?"))
            if row is None:
                raise WithdrawalNotFound(withdrawal_id)
            if row.state not in {PREPARED, ACCEPTED} or row.outcome:
                raise WithdrawalNotDecidable(withdrawal_id, row.outcome or row.state)
            await withdrawals.change(session, row, outcome=REJECTED, failure="REVIEW")
            entry = Entry(
                actor=actor,
                action=Action.WITHDRAWAL_REJECT,
                object=f"withdrawal/{withdrawal_id}",
                before={"state": row.state},
                after={"outcome": REJECTED, "reason": reason},
            )
            await audit.append(session, entry)


def level_name(level: int) -> str:
    """BASIC or FULL."""
    return kyc_pb2.KycLevel.DESCRIPTOR.values_by_number[level].name.removeprefix("KYC_LEVEL_")


def check(row: WithdrawalRow, decision: str) -> None:
    """Raises WithdrawalNotDecidable."""
    if decision == APPROVE:
        good = row.state in {PREPARED, ACCEPTED} and row.needs_approval and not row.approved
    else:
        good = row.state == PROCESSING and row.provider == "MANUAL"
    if not good or row.outcome:
        raise WithdrawalNotDecidable(row.withdrawal_id, row.outcome or row.state)
