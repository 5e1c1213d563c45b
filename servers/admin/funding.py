"""Money in and out as administration sees it: the room that knows it is wired in."""

from collections.abc import Mapping
from typing import Any, Protocol

from db.audit import Actor
from servers.admin.executors import CONFIRM_DEPOSIT, DECIDE_WITHDRAWAL
from servers.admin.pending_actions import Wish, fingerprint
from venue.admin.v1 import admin_pb2 as pb
from venue.funding.v1 import kyc_pb2


class FundingDesk(Protocol):
    """The desk of the funding room."""

    async def search(self, request: pb.ListCustomerDepositsRequest, caller: str) -> pb.ListCustomerDepositsResponse:
        """Raises PageTokenInvalid."""

    async def confirmable(self, deposit_id: str) -> tuple[Mapping[str, Any], str]:
        """What is to be confirmed, and who profits. Raises DepositNotFound, DepositNotConfirmable."""


class ComplianceDesk(Protocol):
    """The desk of compliance of the funding room."""

    async def queue(self, request: pb.ListKycSubmissionsRequest, caller: str) -> pb.ListKycSubmissionsResponse:
        """Raises PageTokenInvalid."""

    async def look(self, kyc_submission_id: str) -> pb.GetKycSubmissionResponse:
        """Raises KycNotFound."""

    async def review(self, request: pb.ReviewKycRequest, actor: Actor) -> kyc_pb2.KycSubmission:
        """Raises KycNotFound, KycDecided, OwnSubmission."""

    async def list_withdrawals(
        self, request: pb.ListCustomerWithdrawalsRequest, caller: str
    ) -> pb.ListCustomerWithdrawalsResponse:
        """Raises PageTokenInvalid."""

    async def decidable(self, withdrawal_id: str, decision: str) -> tuple[Mapping[str, Any], str]:
        """What is to be decided, and who profits. Raises WithdrawalNotFound, WithdrawalNotDecidable."""

    async def reject(self, withdrawal_id: str, reason: str, actor: Actor) -> None:
        """Raises WithdrawalNotFound, WithdrawalNotDecidable."""


async def wish_for_decision(desk: ComplianceDesk, request: pb.DecideWithdrawalRequest) -> Wish:
    """Raises WithdrawalNotFound, WithdrawalNotDecidable."""
    decision = pb.WithdrawalDecision.Name(request.decision).removeprefix("WITHDRAWAL_DECISION_")
    payload, subject = await desk.decidable(request.withdrawal_id, decision)
    return Wish(
        kind=DECIDE_WITHDRAWAL,
        payload=payload,
        subject=subject,
        reason=request.reason,
        request_id=request.request_id,
        fingerprint=fingerprint(request),
    )


async def wish_for_confirmation(desk: FundingDesk, request: pb.ConfirmDepositRequest) -> Wish:
    """Raises DepositNotFound, DepositNotConfirmable."""
    payload, subject = await desk.confirmable(request.deposit_id)
    return Wish(
        kind=CONFIRM_DEPOSIT,
        payload=payload,
        subject=subject,
        reason=request.reason,
        request_id=request.request_id,
        fingerprint=fingerprint(request),
    )
