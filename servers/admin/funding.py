"""Money in and out as administration sees it: the room that knows it is wired in."""

from collections.abc import Mapping
from typing import Any, Protocol

from servers.admin.executors import CONFIRM_DEPOSIT
from servers.admin.pending_actions import Wish, fingerprint
from venue.admin.v1 import admin_pb2 as pb


class FundingDesk(Protocol):
    """The desk of the funding room."""

    async def search(self, request: pb.ListCustomerDepositsRequest, caller: str) -> pb.ListCustomerDepositsResponse:
        """Raises PageTokenInvalid."""

    async def confirmable(self, deposit_id: str) -> tuple[Mapping[str, Any], str]:
        """What is to be confirmed, and who profits. Raises DepositNotFound, DepositNotConfirmable."""


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
