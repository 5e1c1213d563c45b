"""AdminService: what each RPC is done by, and that every call is in the audit log, refused ones too."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeVar

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy.ext.asyncio import AsyncEngine

from db import audit, pending_actions
from db.audit import Action, Entry, Search
from db.models.pending_actions import PendingActionRow
from servers.admin.alerts import AlertDesk
from servers.admin.create_admin_token import AdminTokens
from servers.admin.errors import PendingActionNotFound
from servers.admin.funding import ComplianceDesk, FundingDesk, wish_for_confirmation, wish_for_decision
from servers.admin.listing import Listing
from servers.admin.messages import action_message, entry_message
from servers.admin.pending_actions import PendingActions, Wish, fingerprint
from servers.admin.status import Status
from servers.admin.stream_system import Monitor
from servers.admin.users import Users
from servers.admin.venue import Trading
from servers.admin.verify_ledger import Prover
from servers.domain.errors import FieldViolation, VenueError
from servers.transport.auditing import actor_of
from servers.transport.call import Call
from servers.transport.paging import PageTokens, page_size
from servers.transport.refusals import InvalidField
from venue.admin.v1 import admin_pb2 as pb
from venue.admin.v1 import alert_pb2

Answer = TypeVar("Answer")
Proposing = (
    pb.SetUserRoleRequest
    | pb.UnfreezeUserRequest
    | pb.SetLimitsRequest
    | pb.SetAccountTermsRequest
    | pb.CreateMarketRequest
    | pb.CreateAssetRequest
    | pb.SetTradingHoursRequest
    | pb.SetFeesRequest
    | pb.ProposeAdjustmentRequest
    | pb.ConfirmDepositRequest
    | pb.DecideWithdrawalRequest
)
ACTIONS: Final = {
    "FreezeUser": Action.USER_FREEZE,
    "UnlockUser": Action.USER_UNLOCK,
    "RevokeUserSessions": Action.USER_SESSIONS_REVOKE,
    "SetMarketState": Action.MARKET_STATE_SET,
    "SetUserRole": Action.PENDING_ACTION_PROPOSE,
    "UnfreezeUser": Action.PENDING_ACTION_PROPOSE,
    "SetLimits": Action.PENDING_ACTION_PROPOSE,
    "SetAccountTerms": Action.PENDING_ACTION_PROPOSE,
    "CreateMarket": Action.PENDING_ACTION_PROPOSE,
    "CreateAsset": Action.PENDING_ACTION_PROPOSE,
    "SetTradingHours": Action.PENDING_ACTION_PROPOSE,
    "SetFees": Action.PENDING_ACTION_PROPOSE,
    "ProposeAdjustment": Action.PENDING_ACTION_PROPOSE,
    "ConfirmDeposit": Action.PENDING_ACTION_PROPOSE,
    "DecideWithdrawal": Action.PENDING_ACTION_PROPOSE,
    "ReviewKyc": Action.KYC_REVIEW,
    "VerifyLedger": Action.LEDGER_VERIFY,
    "AcknowledgeAlert": Action.ALERT_ACKNOWLEDGE,
    "CloseAlert": Action.ALERT_CLOSE,
    "ApprovePendingAction": Action.PENDING_ACTION_APPROVE,
    "RejectPendingAction": Action.PENDING_ACTION_REJECT,
}
"""What a refused call is called in the audit log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """What AdminService is made of."""

    engine: AsyncEngine
    admin_tokens: AdminTokens
    users: Users
    trading: Trading
    listing: Listing
    pending: PendingActions
    status: Status
    funding: FundingDesk
    compliance: ComplianceDesk
    prover: Prover
    alerts: AlertDesk
    page_tokens: PageTokens
    silence_s: float


class AdminServicer:
    """Serves administration."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._engine = rooms.engine

    async def CreateAdminToken(self, request: pb.CreateAdminTokenRequest, call: Call) -> pb.CreateAdminTokenResponse:
        return await self._rooms.admin_tokens.create(call)

    async def ListUsers(self, request: pb.ListUsersRequest, call: Call) -> pb.ListUsersResponse:
        await self._read(call, request)
        return await self._rooms.users.search(request, call.user_id)

    async def GetUser(self, request: pb.GetUserRequest, call: Call) -> pb.GetUserResponse:
        await self._read(call, request)
        return await self._rooms.users.show(request.user_id)

    async def ListUserSessions(self, request: pb.ListUserSessionsRequest, call: Call) -> pb.ListUserSessionsResponse:
        await self._read(call, request)
        return await self._rooms.users.list_sessions(request, call.user_id)

    async def SetUserRole(self, request: pb.SetUserRoleRequest, call: Call) -> pb.SetUserRoleResponse:
        action, replayed = await self._proposed(call, request, lambda: self._rooms.users.wish_for_role(request))
        return pb.SetUserRoleResponse(pending_action=action, replayed=replayed)

    async def FreezeUser(self, request: pb.FreezeUserRequest, call: Call) -> pb.FreezeUserResponse:
        return await self._told(call, request, self._rooms.users.freeze(request, actor_of(call)))

    async def UnfreezeUser(self, request: pb.UnfreezeUserRequest, call: Call) -> pb.UnfreezeUserResponse:
        action, replayed = await self._proposed(call, request, lambda: self._rooms.users.wish_for_unfreezing(request))
        return pb.UnfreezeUserResponse(pending_action=action, replayed=replayed)

    async def UnlockUser(self, request: pb.UnlockUserRequest, call: Call) -> pb.UnlockUserResponse:
        return await self._told(call, request, self._rooms.users.unlock(request, actor_of(call)))

    async def RevokeUserSessions(
        self, request: pb.RevokeUserSessionsRequest, call: Call
    ) -> pb.RevokeUserSessionsResponse:
        return await self._told(call, request, self._rooms.users.revoke_sessions(request, actor_of(call)))

    async def SetMarketState(self, request: pb.SetMarketStateRequest, call: Call) -> pb.SetMarketStateResponse:
        earlier = await self._replayed(call, request, request.request_id)
        if earlier is not None:
            return pb.SetMarketStateResponse(pending_action=action_message(earlier), replayed=True)
        done = await self._told(call, request, self._rooms.trading.set_market_state(request, actor_of(call)))
        if not isinstance(done, Wish):
            return pb.SetMarketStateResponse(market=done)
        row, replayed = await self._told(call, request, self._rooms.pending.propose(done, actor_of(call)))
        return pb.SetMarketStateResponse(pending_action=action_message(row), replayed=replayed)

    async def CreateMarket(self, request: pb.CreateMarketRequest, call: Call) -> pb.CreateMarketResponse:
        action, replayed = await self._proposed(call, request, lambda: self._rooms.listing.wish_for_market(request))
        return pb.CreateMarketResponse(pending_action=action, replayed=replayed)

    async def CreateAsset(self, request: pb.CreateAssetRequest, call: Call) -> pb.CreateAssetResponse:
        action, replayed = await self._proposed(call, request, lambda: self._rooms.listing.wish_for_asset(request))
        return pb.CreateAssetResponse(pending_action=action, replayed=replayed)

    async def SetTradingHours(self, request: pb.SetTradingHoursRequest, call: Call) -> pb.SetTradingHoursResponse:
        action, replayed = await self._proposed(call, request, lambda: self._rooms.listing.wish_for_hours(request))
        return pb.SetTradingHoursResponse(pending_action=action, replayed=replayed)

    async def GetFees(self, request: pb.GetFeesRequest, call: Call) -> pb.GetFeesResponse:
        await self._read(call, request)
        return await self._rooms.listing.fees(request)

    async def SetFees(self, request: pb.SetFeesRequest, call: Call) -> pb.SetFeesResponse:
        action, replayed = await self._proposed(call, request, lambda: self._rooms.listing.wish_for_fees(request))
        return pb.SetFeesResponse(pending_action=action, replayed=replayed)

    async def GetLimits(self, request: pb.GetLimitsRequest, call: Call) -> pb.GetLimitsResponse:
        await self._read(call, request)
        return await self._rooms.trading.limits(request)

    async def SetLimits(self, request: pb.SetLimitsRequest, call: Call) -> pb.SetLimitsResponse:
        action, replayed = await self._proposed(call, request, lambda: self._rooms.trading.wish_for_limits(request))
        return pb.SetLimitsResponse(pending_action=action, replayed=replayed)

    async def SetAccountTerms(self, request: pb.SetAccountTermsRequest, call: Call) -> pb.SetAccountTermsResponse:
        action, replayed = await self._proposed(call, request, lambda: self._rooms.trading.wish_for_terms(request))
        return pb.SetAccountTermsResponse(pending_action=action, replayed=replayed)

    async def ProposeAdjustment(self, request: pb.ProposeAdjustmentRequest, call: Call) -> pb.ProposeAdjustmentResponse:
        action, replayed = await self._proposed(call, request, lambda: self._rooms.trading.wish_for_adjustment(request))
        return pb.ProposeAdjustmentResponse(pending_action=action, replayed=replayed)

    async def VerifyLedger(self, request: pb.VerifyLedgerRequest, call: Call) -> pb.VerifyLedgerResponse:
        return await self._told(call, request, self._rooms.prover.prove(request, actor_of(call)))

    async def ListCustomerDeposits(
        self, request: pb.ListCustomerDepositsRequest, call: Call
    ) -> pb.ListCustomerDepositsResponse:
        await self._read(call, request)
        return await self._rooms.funding.search(request, call.user_id)

    async def ConfirmDeposit(self, request: pb.ConfirmDepositRequest, call: Call) -> pb.ConfirmDepositResponse:
        wish = partial(wish_for_confirmation, self._rooms.funding, request)
        action, replayed = await self._proposed(call, request, wish)
        return pb.ConfirmDepositResponse(pending_action=action, replayed=replayed)

    async def ListKycSubmissions(
        self, request: pb.ListKycSubmissionsRequest, call: Call
    ) -> pb.ListKycSubmissionsResponse:
        await self._read(call, request)
        return await self._rooms.compliance.queue(request, call.user_id)

    async def GetKycSubmission(self, request: pb.GetKycSubmissionRequest, call: Call) -> pb.GetKycSubmissionResponse:
        await self._read(call, request)
        return await self._rooms.compliance.look(request.kyc_submission_id)

    async def ReviewKyc(self, request: pb.ReviewKycRequest, call: Call) -> pb.ReviewKycResponse:
        reviewing = self._rooms.compliance.review(request, actor_of(call))
        return pb.ReviewKycResponse(submission=await self._told(call, request, reviewing))

    async def ListCustomerWithdrawals(
        self, request: pb.ListCustomerWithdrawalsRequest, call: Call
    ) -> pb.ListCustomerWithdrawalsResponse:
        await self._read(call, request)
        return await self._rooms.compliance.list_withdrawals(request, call.user_id)

    async def DecideWithdrawal(self, request: pb.DecideWithdrawalRequest, call: Call) -> pb.DecideWithdrawalResponse:
        compliance = self._rooms.compliance
        if request.decision == pb.WITHDRAWAL_DECISION_REJECT:
            await self._told(call, request, compliance.reject(request.withdrawal_id, request.reason, actor_of(call)))
            return pb.DecideWithdrawalResponse()
        action, replayed = await self._proposed(call, request, partial(wish_for_decision, compliance, request))
        return pb.DecideWithdrawalResponse(pending_action=action, replayed=replayed)

    async def ListAlerts(self, request: alert_pb2.ListAlertsRequest, call: Call) -> alert_pb2.ListAlertsResponse:
        await self._read(call, request)
        return await self._rooms.alerts.search(request, call.user_id)

    async def AcknowledgeAlert(
        self, request: alert_pb2.AcknowledgeAlertRequest, call: Call
    ) -> alert_pb2.AcknowledgeAlertResponse:
        return await self._told(call, request, self._rooms.alerts.acknowledge(request, actor_of(call)))

    async def CloseAlert(self, request: alert_pb2.CloseAlertRequest, call: Call) -> alert_pb2.CloseAlertResponse:
        return await self._told(call, request, self._rooms.alerts.close(request, actor_of(call)))

    async def ListPendingActions(
        self, request: pb.ListPendingActionsRequest, call: Call
    ) -> pb.ListPendingActionsResponse:
        state = pb.PendingActionState.Name(request.state).removeprefix("PENDING_ACTION_STATE_") if request.state else ""
        kind = pb.PendingActionKind.Name(request.kind).removeprefix("PENDING_ACTION_KIND_") if request.kind else ""
        scope = ("pending actions", call.user_id, state, kind)
        cursor, size = self._rooms.page_tokens.read(scope, request.page_token), page_size(request.page_size)
        before = (datetime.fromisoformat(str(cursor[0])), str(cursor[1])) if cursor else None
        await self._read(call, request)
        found = await pending_actions.list_actions(self._engine, state=state, kind=kind, before=before, limit=size + 1)
        token = ""
        if len(found) > size:
            last = found[size - 1]
            token = self._rooms.page_tokens.issue(scope, [last.create_time.isoformat(), last.pending_action_id])
        return pb.ListPendingActionsResponse(pending_actions=map(action_message, found[:size]), next_page_token=token)

    async def GetPendingAction(self, request: pb.GetPendingActionRequest, call: Call) -> pb.GetPendingActionResponse:
        await self._read(call, request)
        row = await pending_actions.find(self._engine, named(request))
        if row is None:
            raise PendingActionNotFound(request.pending_action_id)
        return pb.GetPendingActionResponse(pending_action=action_message(row))

    async def ApprovePendingAction(
        self, request: pb.ApprovePendingActionRequest, call: Call
    ) -> pb.ApprovePendingActionResponse:
        approving = self._rooms.pending.approve(named(request), request.reason, actor_of(call))
        row = await self._told(call, request, approving)
        return pb.ApprovePendingActionResponse(pending_action=action_message(row))

    async def RejectPendingAction(
        self, request: pb.RejectPendingActionRequest, call: Call
    ) -> pb.RejectPendingActionResponse:
        rejecting = self._rooms.pending.reject(named(request), request.reason, actor_of(call))
        row = await self._told(call, request, rejecting)
        return pb.RejectPendingActionResponse(pending_action=action_message(row))

    async def ListAuditEntries(self, request: pb.ListAuditEntriesRequest, call: Call) -> pb.ListAuditEntriesResponse:
        search = Search(
            actor=request.actor,
            action=request.action,
            object=request.object,
            outcome=request.outcome,
            start=moment(request.start_time, "start_time") if request.HasField("start_time") else None,
            end=moment(request.end_time, "end_time") if request.HasField("end_time") else None,
        )
        scope = ("audit entries", call.user_id, search)
        cursor, size = self._rooms.page_tokens.read(scope, request.page_token), page_size(request.page_size)
        await self._read(call, request)
        before = int(cursor[0]) if cursor else None
        found = await audit.list_entries(self._engine, search, before=before, limit=size + 1)
        token = self._rooms.page_tokens.issue(scope, [found[size - 1].sequence]) if len(found) > size else ""
        return pb.ListAuditEntriesResponse(entries=map(entry_message, found[:size]), next_page_token=token)

    async def GetSystemStatus(self, request: pb.GetSystemStatusRequest, call: Call) -> pb.GetSystemStatusResponse:
        await self._read(call, request)
        return pb.GetSystemStatusResponse(status=await self._rooms.status.look())

    async def StreamSystem(self, request: pb.StreamSystemRequest, call: Call) -> AsyncIterator[pb.StreamSystemResponse]:
        await self._read(call, request)
        monitor = Monitor(self._engine, self._rooms.status, request.resume_after, self._rooms.silence_s)
        async with aclosing(monitor.frames(call)) as frames:
            async for frame in frames:
                yield frame

    async def _read(self, call: Call, request: Message) -> None:
        """Whoever looks leaves an entry before he sees anything."""
        asked = MessageToDict(request)
        asked.pop("pageToken", None)
        entry = Entry(actor=actor_of(call), action=Action.ADMIN_READ, object=f"rpc/{name_of(call)}", after=asked)
        await audit.record(self._engine, entry)

    async def _told(self, call: Call, request: Message, deed: Awaitable[Answer]) -> Answer:
        """What a deed answers; where it is refused, an entry says so."""
        try:
            return await deed
        except VenueError as error:
            entry = Entry(
                actor=actor_of(call),
                action=ACTIONS[name_of(call)],
                object=f"rpc/{name_of(call)}",
                after=MessageToDict(request),
                outcome=error.reason,
            )
            await audit.record(self._engine, entry)
            raise

    async def _replayed(self, call: Call, request: Message, request_id: str) -> PendingActionRow | None:
        found = self._rooms.pending.find_replayed(actor_of(call), request_id, fingerprint(request))
        return await self._told(call, request, found)

    async def _proposed(
        self, call: Call, request: Proposing, wish: Callable[[], Awaitable[Wish]]
    ) -> tuple[pb.PendingAction, bool]:
        earlier = await self._replayed(call, request, request.request_id)
        if earlier is not None:
            return action_message(earlier), True
        found = await self._told(call, request, wish())
        row, replayed = await self._told(call, request, self._rooms.pending.propose(found, actor_of(call)))
        return action_message(row), replayed


def name_of(call: Call) -> str:
    return call.method.rpartition("/")[2]


def named(
    request: pb.GetPendingActionRequest | pb.ApprovePendingActionRequest | pb.RejectPendingActionRequest,
) -> str:
    """The action's id; PostgreSQL takes no NUL in text, and so no action has it."""
    return request.pending_action_id.replace("\0", "?")


def moment(given: Timestamp, name: str) -> datetime:
    """Raises InvalidField."""
    try:
        return given.ToDatetime(UTC)
    except ValueError:
        violation = FieldViolation(name, "must be a time of the years 1 to 9999", "timestamp")
        raise InvalidField([violation]) from None
