"""Two people want it, and it is done once: proposals, decisions, executions, and what comes between them (ADM-4, S22)."""

import asyncio
import uuid
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncSession

from db.audit import Actor, ActorKind
from db.models.pending_actions import PendingActionRow
from servers.admin.executors import ADJUST_BALANCE, Deed
from servers.domain.errors import PartUnavailable
from tests.integration.admin.conftest import Desk, user_id
from venue.account.v1 import account_pb2
from venue.admin.v1 import admin_pb2 as pb
from venue.marketdata.v1 import marketdata_pb2
from venue.option.v1 import access_pb2
from venue.order.v1 import order_pb2
from venue.type.v1 import type_pb2

WHY = "as agreed"
SECOND = ("PERMISSION_DENIED", "SECOND_PERSON_NEEDED")
DECIDED = ("FAILED_PRECONDITION", "PENDING_ACTION_DECIDED")
EXPIRED = ("FAILED_PRECONDITION", "PENDING_ACTION_EXPIRED")


def approve(action: pb.PendingAction) -> pb.ApprovePendingActionRequest:
    return pb.ApprovePendingActionRequest(pending_action_id=action.pending_action_id, reason="seen")


def reject(action: pb.PendingAction) -> pb.RejectPendingActionRequest:
    return pb.RejectPendingActionRequest(pending_action_id=action.pending_action_id, reason="no need")


def role_request(name: str, role: "access_pb2.Role.ValueType", request_id: str = "") -> pb.SetUserRoleRequest:
    return pb.SetUserRoleRequest(user_id=user_id(name), role=role, reason=WHY, request_id=request_id)


async def account_of(desk: Desk, name: str) -> str:
    """A demo account that the tables know."""
    account_id = (await desk.customers(name).open()).account.account_id

    async def known() -> bool:
        return bool(await desk.rows("SELECT 1 FROM accounts WHERE account_id = %s", account_id))

    await desk.eventually(known, "the account is in the tables")
    return account_id


async def adjust(desk: Desk, account_id: str, amount: str, request_id: str = "") -> pb.PendingAction:
    request = pb.ProposeAdjustmentRequest(
        account_id=account_id, asset="USD", amount=amount, reason=WHY, request_id=request_id
    )
    action: pb.PendingAction = (await desk.ask("ada", request)).pending_action
    return action


async def usd(desk: Desk, name: str, account_id: str) -> str:
    return (await desk.customers(name).balances(account_id))["USD"][0]


async def test_s22_an_adjustment_needs_two_people_and_is_one_entry_of_the_ledger(desk: Desk) -> None:
    account_id = await account_of(desk, "ulla")
    action = await adjust(desk, account_id, "-12.5")
    assert (action.state, action.proposer_user_id) == (pb.PENDING_ACTION_STATE_PROPOSED, user_id("ada"))
    assert action.adjust_balance.amount == "-12.5"
    assert await usd(desk, "ulla", account_id) == "100000"
    assert await desk.refused("ada", approve(action)) == SECOND
    assert (await desk.refused("cleo", approve(action)))[1] == "NOT_PERMITTED"
    done: pb.PendingAction = (await desk.ask("ben", approve(action))).pending_action
    assert (done.state, done.decider_user_id) == (pb.PENDING_ACTION_STATE_EXECUTED, user_id("ben"))
    assert await usd(desk, "ulla", account_id) == "99987.5"
    # Repeating one's own approval answers the same; anybody else's comes too late.
    assert (await desk.ask("ben", approve(action))).pending_action == done
    assert await desk.refused("ada", reject(action)) == DECIDED
    assert await usd(desk, "ulla", account_id) == "99987.5"

    async def entered() -> bool:
        return len(await desk.customers("ulla").entries(account_id, "USD")) == 2

    await desk.eventually(entered, "the ledger has it")
    entry = (await desk.customers("ulla").entries(account_id, "USD"))[0]
    assert (entry.amount, entry.kind, entry.counterparty) == (
        "-12.5", account_pb2.ENTRY_KIND_ADJUSTMENT, "venue:paper",
    )  # fmt: skip
    ((actor, about, before, after, outcome),) = await desk.audited("BALANCE_ADJUST")
    assert (actor, about, before, outcome) == (
        user_id("ben"), f"account/{account_id}", {"available": "100000"}, "OK",
    )  # fmt: skip
    assert after == {
        "available": "99987.5",
        "transfer_id": done.adjust_balance.transfer_id,
        "pending_action": done.pending_action_id,
        "proposer": user_id("ada"),
        "approver": user_id("ben"),
    }
    outcomes = [row[4] for row in await desk.audited("PENDING_ACTION_APPROVE")]
    assert outcomes == ["SECOND_PERSON_NEEDED", "OK"]


async def test_what_is_refused_when_it_is_executed_fails_and_changes_nothing(desk: Desk) -> None:
    account_id = await account_of(desk, "ulla")
    action = await adjust(desk, account_id, "-100000.01")
    failed: pb.PendingAction = (await desk.ask("ben", approve(action))).pending_action
    assert (failed.state, failed.failure_reason) == (pb.PENDING_ACTION_STATE_FAILED, "INSUFFICIENT_FUNDS")
    assert await usd(desk, "ulla", account_id) == "100000"
    ((_, _, _, _, outcome),) = await desk.audited("BALANCE_ADJUST")
    assert outcome == "INSUFFICIENT_FUNDS"


async def test_after_a_crash_between_approval_and_execution_the_sweeper_executes_once(desk: Desk) -> None:
    account_id = await account_of(desk, "ulla")
    kind, executed = desk.kinds[ADJUST_BALANCE], 0

    async def crash_before(session: AsyncSession, row: PendingActionRow) -> Deed:
        raise PartUnavailable("the engine")

    async def crash_after(session: AsyncSession, row: PendingActionRow) -> Deed:
        nonlocal executed
        executed += 1
        await kind.execute(session, row)
        raise PartUnavailable("the engine")

    action = await adjust(desk, account_id, "7")
    desk.kinds[ADJUST_BALANCE] = replace(kind, execute=crash_before)
    waiting: pb.PendingAction = (await desk.ask("ben", approve(action))).pending_action
    assert waiting.state == pb.PENDING_ACTION_STATE_APPROVED
    assert await usd(desk, "ulla", account_id) == "100000"
    # The engine has done it and nobody has written it down: three times over.
    desk.kinds[ADJUST_BALANCE] = replace(kind, execute=crash_after)
    for _ in range(3):
        await desk.pending.sweep()
    assert executed == 3
    assert await usd(desk, "ulla", account_id) == "100007"
    desk.kinds[ADJUST_BALANCE] = kind
    await asyncio.gather(desk.pending.sweep(), desk.pending.sweep(), desk.ask("ben", approve(action)))
    done = (
        await desk.ask("ada", pb.GetPendingActionRequest(pending_action_id=action.pending_action_id))
    ).pending_action
    assert done.state == pb.PENDING_ACTION_STATE_EXECUTED
    assert await usd(desk, "ulla", account_id) == "100007"
    ((_, _, before, after, _),) = await desk.audited("BALANCE_ADJUST")
    assert (before, after["available"]) == (None, "100007"), "what was before is not known any more"


async def test_the_sweeper_goes_on_past_an_action_that_the_program_is_wrong_about(desk: Desk) -> None:
    account_id = await account_of(desk, "ulla")
    kind, broken, ran = desk.kinds[ADJUST_BALANCE], "", 0

    async def execute(session: AsyncSession, row: PendingActionRow) -> Deed:
        nonlocal ran
        ran += 1
        if row.pending_action_id == broken:
            raise ZeroDivisionError
        if ran <= 2:
            raise PartUnavailable("the engine")
        return await kind.execute(session, row)

    desk.kinds[ADJUST_BALANCE] = replace(kind, execute=execute)
    actions = [await adjust(desk, account_id, amount) for amount in ("5", "9")]
    for action in actions:
        await desk.ask("ben", approve(action))
    broken = actions[0].pending_action_id
    await desk.pending.sweep()
    assert await usd(desk, "ulla", account_id) == "100009"
    found = [
        (await desk.ask("ada", pb.GetPendingActionRequest(pending_action_id=action.pending_action_id))).pending_action
        for action in actions
    ]
    assert [action.state for action in found] == [pb.PENDING_ACTION_STATE_APPROVED, pb.PENDING_ACTION_STATE_EXECUTED]
    # Once the program is right again, what was left is done.
    desk.kinds[ADJUST_BALANCE] = kind
    await desk.pending.sweep()
    assert await usd(desk, "ulla", account_id) == "100014"


async def test_of_two_that_decide_at_once_one_does(desk: Desk) -> None:
    account_id = await account_of(desk, "ulla")
    await desk.rows("UPDATE users SET role = 'ADMIN' WHERE user_id = %s", user_id("cleo"))
    carl = Actor(ActorKind.USER, user_id("cleo"))
    for _ in range(3):
        action = await adjust(desk, account_id, "1")
        ben = Actor(ActorKind.USER, user_id("ben"))
        outcomes = await asyncio.gather(
            desk.pending.approve(action.pending_action_id, "", carl),
            desk.pending.approve(action.pending_action_id, "", ben),
            desk.pending.reject(action.pending_action_id, WHY, Actor(ActorKind.USER, user_id("ada"))),
            return_exceptions=True,
        )
        assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1
        assert {getattr(each, "reason", "") for each in outcomes if isinstance(each, BaseException)} == {DECIDED[1]}
    executed = len(await desk.audited("BALANCE_ADJUST"))
    assert await usd(desk, "ulla", account_id) == str(100000 + executed)


async def test_nobody_decides_what_has_expired(desk: Desk) -> None:
    action = (await desk.ask("ada", role_request("ulla", access_pb2.ROLE_SUPPORT))).pending_action
    await desk.rows("UPDATE pending_actions SET expire_time = create_time")
    assert await desk.refused("ben", approve(action)) == EXPIRED
    assert await desk.refused("ben", reject(action)) == EXPIRED
    await desk.pending.sweep()
    found = (
        await desk.ask("ben", pb.GetPendingActionRequest(pending_action_id=action.pending_action_id))
    ).pending_action
    assert found.state == pb.PENDING_ACTION_STATE_EXPIRED
    assert await desk.refused("ben", approve(action)) == EXPIRED
    ((actor, _, before, after, _),) = await desk.audited("PENDING_ACTION_EXPIRE")
    assert (actor, before, after["state"]) == ("sweeper", {"state": "PROPOSED"}, "EXPIRED")


async def test_nobody_approves_for_himself_or_for_who_promoted_him(desk: Desk) -> None:
    mine = (await desk.ask("ada", role_request("ben", access_pb2.ROLE_SUPPORT))).pending_action
    assert await desk.refused("ben", approve(mine)) == SECOND, "it is about the one who approves"
    taken_back = (await desk.ask("ada", reject(mine))).pending_action
    assert taken_back.state == pb.PENDING_ACTION_STATE_REJECTED
    assert (await desk.ask("ada", reject(mine))).pending_action == taken_back
    promoted = (await desk.ask("ada", role_request("cleo", access_pb2.ROLE_ADMIN))).pending_action
    await desk.ask("ben", approve(promoted))
    action = (await desk.ask("ada", role_request("ulla", access_pb2.ROLE_SUPPORT))).pending_action
    puppet = Actor(ActorKind.USER, user_id("cleo"))
    reason = await asyncio.gather(desk.pending.approve(action.pending_action_id, "", puppet), return_exceptions=True)
    assert getattr(reason[0], "metadata", {}) == {"why": "PROMOTED"}
    await desk.rows("UPDATE pending_actions SET finish_time = finish_time - interval '8 days' WHERE state = 'EXECUTED'")
    done = await desk.pending.approve(action.pending_action_id, "", puppet)
    assert done.state == "EXECUTED"


async def test_a_request_id_proposes_once(desk: Desk) -> None:
    request_id = str(uuid.uuid4())
    first = await desk.ask("ada", role_request("ulla", access_pb2.ROLE_SUPPORT, request_id))
    again = await desk.ask("ada", role_request("ulla", access_pb2.ROLE_SUPPORT, request_id.upper()))
    assert (first.replayed, again.replayed, again.pending_action) == (False, True, first.pending_action)
    other = role_request("ulla", access_pb2.ROLE_MARKET_MAKER, request_id)
    assert await desk.refused("ada", other) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
    await desk.ask("ben", approve(first.pending_action))
    later = await desk.ask("ada", role_request("ulla", access_pb2.ROLE_SUPPORT, request_id))
    assert (later.replayed, later.pending_action.state) == (True, pb.PENDING_ACTION_STATE_EXECUTED)
    (count,) = await desk.rows("SELECT count(*) FROM pending_actions")
    assert count == (1,)


async def test_pending_actions_are_listed_by_state_and_kind_in_pages(desk: Desk) -> None:
    roles = [access_pb2.ROLE_SUPPORT, access_pb2.ROLE_COMPLIANCE, access_pb2.ROLE_MARKET_MAKER]
    made = [(await desk.ask("ada", role_request("ulla", role))).pending_action for role in roles]
    await desk.ask("ada", reject(made[0]))
    request = pb.ListPendingActionsRequest(state=pb.PENDING_ACTION_STATE_PROPOSED, page_size=1)
    first = await desk.ask("cleo", request)
    request.page_token = first.next_page_token
    second = await desk.ask("cleo", request)
    assert [*first.pending_actions, *second.pending_actions] == [made[2], made[1]]
    assert second.next_page_token == ""
    assert await desk.refused("ben", request) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")
    nothing = pb.ListPendingActionsRequest(kind=pb.PENDING_ACTION_KIND_SET_LIMITS)
    assert not (await desk.ask("ben", nothing)).pending_actions
    unknown = pb.GetPendingActionRequest(pending_action_id="act-\0")
    assert await desk.refused("ben", unknown) == ("NOT_FOUND", "PENDING_ACTION_NOT_FOUND")


async def test_a_market_is_braked_at_once_and_halted_and_opened_by_two(desk: Desk) -> None:
    def state(wanted: "marketdata_pb2.MarketState.ValueType") -> pb.SetMarketStateRequest:
        return pb.SetMarketStateRequest(symbol="ETH-USD", state=wanted, reason=WHY)

    braked = await desk.ask("ada", state(marketdata_pb2.MARKET_STATE_CANCEL_ONLY))
    assert braked.market.state == marketdata_pb2.MARKET_STATE_CANCEL_ONLY
    assert not braked.HasField("pending_action")
    ((actor, about, before, after, _),) = await desk.audited("MARKET_STATE_SET")
    assert (actor, about, before, after) == (
        user_id("ada"), "market/DEMO/ETH-USD", {"state": "OPEN"}, {"state": "CANCEL_ONLY", "reason": WHY},
    )  # fmt: skip
    halt = (await desk.ask("ada", state(marketdata_pb2.MARKET_STATE_HALTED))).pending_action
    assert halt.set_market_state.previous_state == marketdata_pb2.MARKET_STATE_CANCEL_ONLY
    assert (await desk.ask("ben", approve(halt))).pending_action.state == pb.PENDING_ACTION_STATE_EXECUTED
    assert await desk.refused("ada", state(marketdata_pb2.MARKET_STATE_HALTED)) == (
        "FAILED_PRECONDITION", "NOTHING_TO_CHANGE",
    )  # fmt: skip
    reopened = (await desk.ask("ben", state(marketdata_pb2.MARKET_STATE_OPEN))).pending_action
    assert (await desk.ask("ada", approve(reopened))).pending_action.state == pb.PENDING_ACTION_STATE_EXECUTED
    placed = await desk.customers("ulla").place(await account_of(desk, "ulla"), type_pb2.SIDE_BUY, "1", "10")
    assert placed.order.status == order_pb2.ORDER_STATUS_OPEN
    unknown = pb.SetMarketStateRequest(symbol="NO-SUCH", state=marketdata_pb2.MARKET_STATE_OPEN, reason=WHY)
    assert await desk.refused("ada", unknown) == ("NOT_FOUND", "MARKET_NOT_FOUND")
    hours = state(marketdata_pb2.MARKET_STATE_OUTSIDE_HOURS)
    assert await desk.refused("ada", hours) == ("INVALID_ARGUMENT", "INVALID_FIELD")


async def test_limits_hold_when_a_second_person_has_approved_them(desk: Desk) -> None:
    account_id = await account_of(desk, "ulla")
    rule = pb.LimitsRule(environment=type_pb2.ENVIRONMENT_DEMO, account_id=account_id)
    rule.limits.quantity_max = "0.5"
    action = (await desk.ask("ada", pb.SetLimitsRequest(rule=rule, reason=WHY))).pending_action
    assert action.set_limits == rule
    placed = await desk.customers("ulla").place(account_id, type_pb2.SIDE_BUY, "1", "10")
    assert placed.order.status == order_pb2.ORDER_STATUS_OPEN
    await desk.ask("ben", approve(action))
    placed = await desk.customers("ulla").place(account_id, type_pb2.SIDE_BUY, "1", "10")
    assert placed.order.status == order_pb2.ORDER_STATUS_REJECTED
    assert rule in (await desk.ask("sam", pb.GetLimitsRequest())).rules
    ((_, _, before, after, _),) = await desk.audited("LIMITS_SET")
    assert (before, after["limits"]) == ({"limits": {}}, {"quantityMax": "0.5"})
    rule.environment = type_pb2.ENVIRONMENT_LIVE
    wrong = pb.SetLimitsRequest(rule=rule, reason=WHY)
    assert await desk.refused("ada", wrong) == ("NOT_FOUND", "ACCOUNT_NOT_FOUND")
    rule.limits.position_max, rule.tier = "1e5", "vip"
    assert await desk.refused("ada", wrong) == ("NOT_FOUND", "ACCOUNT_NOT_FOUND")
    bad = pb.SetLimitsRequest(rule=rule, reason=WHY)
    assert await desk.refused("ada", bad) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    # What the engine would refuse when two people have wanted it.
    for wrong_limits in (order_pb2.Limits(notional_max="-1"), order_pb2.Limits(open_orders_max=-1)):
        negative = pb.LimitsRule(environment=type_pb2.ENVIRONMENT_DEMO, tier="vip", limits=wrong_limits)
        found = await desk.refused("ada", pb.SetLimitsRequest(rule=negative, reason=WHY))
        assert found == ("INVALID_ARGUMENT", "INVALID_FIELD")


async def test_an_account_comes_to_another_tier_and_group_when_a_second_person_has_approved_it(desk: Desk) -> None:
    account_id, other = await account_of(desk, "ulla"), await account_of(desk, "vera")

    def wanted(**terms: str) -> pb.SetAccountTermsRequest:
        return pb.SetAccountTermsRequest(account_id=account_id, reason=WHY, **terms)

    limits = pb.LimitsRule(
        environment=type_pb2.ENVIRONMENT_DEMO, tier="vip", limits=order_pb2.Limits(open_orders_max=9)
    )
    await desk.ask("ben", approve((await desk.ask("ada", pb.SetLimitsRequest(rule=limits, reason=WHY))).pending_action))
    action = (await desk.ask("ada", wanted(tier="vip"))).pending_action
    late = (await desk.ask("ada", wanted(tier="market_maker"))).pending_action
    group = (await desk.ask("ada", wanted(self_trade_group="desk-7"))).pending_action
    assert action.set_account_terms == pb.AccountTermsChange(
        account_id=account_id,
        previous_tier="default",
        tier="vip",
        previous_self_trade_group=account_id,
        self_trade_group=account_id,
    )
    assert (await desk.ask("ben", approve(action))).pending_action.state == pb.PENDING_ACTION_STATE_EXECUTED
    # It is not what was to be changed any more.
    failed = (await desk.ask("ben", approve(late))).pending_action
    assert (failed.state, failed.failure_reason) == (pb.PENDING_ACTION_STATE_FAILED, "DEFINITION_INVALID")
    # It was proposed before the tier changed, and does not change that back.
    assert (await desk.ask("ben", approve(group))).pending_action.state == pb.PENDING_ACTION_STATE_EXECUTED
    ulla = desk.customers("ulla")
    found = (await ulla.accounts.ListAccounts(account_pb2.ListAccountsRequest(), metadata=ulla.metadata)).accounts
    assert [(a.tier, a.self_trade_group) for a in found if a.account_id == account_id] == [("vip", "desk-7")]
    names = ("tier", "self_trade_group")
    entries = [
        (
            about,
            outcome,
            *({name: told[name] for name in names if name in told} for told in (before or {}, after or {})),
        )
        for _, about, before, after, outcome in await desk.audited("ACCOUNT_TERMS_SET")
    ]
    about = f"account/{account_id}"
    assert (about, "OK", {"tier": "default"}, {"tier": "vip"}) in entries
    assert (about, "OK", {"self_trade_group": account_id}, {"self_trade_group": "desk-7"}) in entries
    assert await desk.refused("ada", wanted(tier="vip")) == ("FAILED_PRECONDITION", "NOTHING_TO_CHANGE")
    for request, reason in (
        (wanted(), ("INVALID_ARGUMENT", "INVALID_FIELD")),
        (wanted(tier="a b"), ("INVALID_ARGUMENT", "INVALID_FIELD")),
        (wanted(tier="vpi"), ("INVALID_ARGUMENT", "DEFINITION_INVALID")),
        (wanted(self_trade_group=other), ("INVALID_ARGUMENT", "DEFINITION_INVALID")),
        (pb.SetAccountTermsRequest(account_id="demo-none", tier="vip", reason=WHY), ("NOT_FOUND", "ACCOUNT_NOT_FOUND")),
    ):
        assert await desk.refused("ada", request) == reason


async def test_what_makes_no_sense_is_not_proposed(desk: Desk) -> None:
    adjustment = pb.ProposeAdjustmentRequest(account_id="demo-none", asset="USD", amount="1", reason=WHY)
    assert await desk.refused("ada", adjustment) == ("NOT_FOUND", "ACCOUNT_NOT_FOUND")
    for amount in ("0", "-0.00", "1e5", "+1", ""):
        adjustment.amount = amount
        assert await desk.refused("ada", adjustment) == ("INVALID_ARGUMENT", "INVALID_FIELD"), amount
    assert await desk.refused("ada", role_request("ulla", access_pb2.ROLE_USER)) == (
        "FAILED_PRECONDITION", "NOTHING_TO_CHANGE",
    )  # fmt: skip
    assert await desk.refused("ada", role_request("nobody", access_pb2.ROLE_USER)) == ("NOT_FOUND", "USER_NOT_FOUND")
    assert await desk.rows("SELECT 1 FROM pending_actions") == []
