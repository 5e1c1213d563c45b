"""Rows as messages of administration."""

import json
from datetime import datetime
from typing import Any

from google.protobuf.json_format import ParseDict
from google.protobuf.timestamp_pb2 import Timestamp

from db.models.accounts import AccountRow
from db.models.audit import AuditEntryRow
from db.models.pending_actions import PendingActionRow
from db.models.users import SessionRow, UserRow
from servers.admin import executors, listing
from servers.domain.identifiers import account_environment
from venue.account.v1 import account_pb2
from venue.admin.v1 import admin_pb2 as pb
from venue.option.v1 import access_pb2
from venue.order.v1 import order_pb2


def stamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def role_number(role: str) -> access_pb2.Role.ValueType:
    return access_pb2.Role.Value(f"ROLE_{role}")


def user_message(row: UserRow) -> pb.User:
    return pb.User(
        user_id=row.user_id,
        email=row.email,
        display_name=row.display_name,
        role=role_number(row.role),
        status=pb.UserStatus.Value(f"USER_STATUS_{row.status}"),
        email_verified=row.email_verified,
        create_time=stamp(row.create_time),
    )


def session_message(row: SessionRow) -> pb.UserSession:
    return pb.UserSession(
        session_id=row.session_id,
        address=row.address,
        create_time=stamp(row.create_time),
        expire_time=stamp(row.expire_time),
        revoke_time=stamp(row.revoke_time),
        revoke_reason=row.revoke_reason or "",
    )


def account_message(row: AccountRow) -> account_pb2.Account:
    return account_pb2.Account(
        account_id=row.account_id,
        type=row.type,  # type: ignore[arg-type]  # the domain's numbers are the wire's
        name=row.name,
        status=row.status,  # type: ignore[arg-type]
        environment=int(account_environment(row.account_id)),  # type: ignore[arg-type]
        create_time=stamp(row.create_time),
        tier=row.tier,
        self_trade_group=row.self_trade_group,
    )


def entry_message(row: AuditEntryRow) -> pb.AuditEntry:
    return pb.AuditEntry(
        sequence=row.sequence,
        time=stamp(row.time),
        actor_kind=row.actor_kind,
        actor=row.actor,
        credential_id=row.credential,
        address=row.address,
        request_id=row.request_id,
        action=row.action,
        object=row.object,
        before=_json(row.before),
        after=_json(row.after),
        outcome=row.outcome,
        hash=row.hash.hex(),
    )


def _json(value: dict[str, Any] | None) -> str:
    return "" if value is None else json.dumps(value, sort_keys=True)


def rule_message(payload: dict[str, Any]) -> pb.LimitsRule:
    return pb.LimitsRule(
        environment=payload["environment"],
        account_id=payload["account_id"],
        tier=payload["tier"],
        symbol=payload["symbol"],
        limits=ParseDict(payload["limits"], order_pb2.Limits()),
    )


def action_message(row: PendingActionRow) -> pb.PendingAction:
    message = pb.PendingAction(
        pending_action_id=row.pending_action_id,
        kind=pb.PendingActionKind.Value(f"PENDING_ACTION_KIND_{row.kind}"),
        state=pb.PendingActionState.Value(f"PENDING_ACTION_STATE_{row.state}"),
        proposer_user_id=row.proposer,
        reason=row.reason,
        create_time=stamp(row.create_time),
        expire_time=stamp(row.expire_time),
        decider_user_id=row.decider or "",
        decide_time=stamp(row.decide_time),
        decision_reason=row.decision_reason,
        finish_time=stamp(row.finish_time),
        failure_reason=row.failure,
    )
    payload = row.payload
    match row.kind:
        case executors.SET_USER_ROLE:
            change = pb.UserRoleChange(user_id=payload["user_id"], role=role_number(payload["role"]))
            change.previous_role = role_number(payload["previous_role"])
            message.set_user_role.CopyFrom(change)
        case executors.UNFREEZE_USER:
            message.unfreeze_user.CopyFrom(pb.UserUnfreezing(user_id=payload["user_id"]))
        case executors.SET_MARKET_STATE:
            message.set_market_state.CopyFrom(pb.MarketStateChange(**payload))
        case executors.SET_LIMITS:
            message.set_limits.CopyFrom(rule_message(payload))
        case executors.SET_ACCOUNT_TERMS:
            message.set_account_terms.CopyFrom(pb.AccountTermsChange(**payload))
        case listing.CREATE_MARKET:
            ParseDict(payload["what"], message.create_market)
        case listing.CREATE_ASSET:
            ParseDict(payload["what"], message.create_asset)
        case listing.SET_TRADING_HOURS:
            ParseDict(payload["what"], message.set_trading_hours)
        case listing.SET_FEES:
            ParseDict(payload["what"], message.set_fees)
        case executors.ADJUST_BALANCE:
            message.adjust_balance.CopyFrom(pb.BalanceAdjustment(**payload))
        case executors.CONFIRM_DEPOSIT:
            message.confirm_deposit.CopyFrom(pb.DepositConfirmation(**payload))
        case executors.DECIDE_WITHDRAWAL:
            decision = pb.WithdrawalDecision.Value(f"WITHDRAWAL_DECISION_{payload['decision']}")
            message.decide_withdrawal.CopyFrom(pb.WithdrawalDecided(**{**payload, "decision": decision}))
    return message
