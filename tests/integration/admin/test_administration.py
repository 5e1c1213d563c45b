"""What people at the desks see and do at once, who may do what, and that every call leaves an entry (ADM-1, ADM-2, S22)."""

import asyncio
import json
import time
from typing import Any

import grpc
import pytest
from google.protobuf import message_factory

from servers.transport.errors import from_call
from tests.integration.admin.conftest import ROLES, Desk, user_id
from tests.integration.admin.test_pending_actions import account_of, approve, role_request
from venue.account.v1 import account_pb2
from venue.admin.v1 import admin_pb2 as pb
from venue.option.v1 import access_pb2
from venue.order.v1 import order_pb2
from venue.type.v1 import type_pb2

SERVICE = pb.DESCRIPTOR.services_by_name["AdminService"]
WHY = "as agreed"
NOT_PERMITTED = ("PERMISSION_DENIED", "NOT_PERMITTED")


async def code_of(call: Any) -> tuple[str, str]:
    """Code and reason of a call, OK where it succeeds."""
    try:
        await (call.read() if hasattr(call, "read") else call)
    except grpc.aio.AioRpcError as error:
        found = from_call(error)
        return found.code, found.reason
    finally:
        call.cancel()
    return "OK", ""


async def test_s22_each_rpc_serves_the_roles_of_its_option_and_no_other_token(desk: Desk) -> None:
    makers = {"ada": access_pb2.ROLE_ADMIN, "cleo": access_pb2.ROLE_COMPLIANCE, "sam": access_pb2.ROLE_SUPPORT}
    makers["ulla"] = access_pb2.ROLE_USER
    for method in SERVICE.methods:
        roles = set(method.GetOptions().Extensions[access_pb2.access].roles)
        request = message_factory.GetMessageClass(method.input_type)()
        serve = getattr(desk.stub, method.name)
        buys = method.name == "CreateAdminToken"
        plain: dict[str, Any] = {"scope": "read trade account", "aud": "venue-api"}
        for name, role in makers.items():
            right = desk.token(name, **(plain if buys else {}))
            wrong = desk.token(name, **({} if buys else plain))
            got = await code_of(serve(request, metadata=(("authorization", f"Bearer {right}"),)))
            assert (got == NOT_PERMITTED) == (role not in roles), (method.name, name, got)
            got = await code_of(serve(request, metadata=(("authorization", f"Bearer {wrong}"),)))
            assert got == NOT_PERMITTED, (method.name, name)
        assert (await code_of(serve(request)))[1] == "UNAUTHENTICATED", method.name
        mixed = desk.token("ada", aud="venue-api")
        got = await code_of(serve(request, metadata=(("authorization", f"Bearer {mixed}"),)))
        assert got[1] == "UNAUTHENTICATED", "a scope that its audience does not have"


async def test_s22_an_admin_token_is_good_for_administration_alone(desk: Desk) -> None:
    user = desk.customers("ada")
    user.token = desk.token("ada")
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await user.open()
    assert from_call(failed.value).reason == "NOT_PERMITTED"


async def test_an_admin_token_is_given_to_who_has_a_role_now_and_a_living_session(desk: Desk) -> None:
    plain: dict[str, Any] = {"scope": "account", "aud": "venue-api"}

    async def create(name: str, **changes: Any) -> Any:
        bearer = f"Bearer {desk.token(name, **(plain | changes))}"
        return await desk.stub.CreateAdminToken(pb.CreateAdminTokenRequest(), metadata=(("authorization", bearer),))

    given = await create("sam")
    assert (given.access_token, given.token_type, given.expires_in) == ("SUPPORT ses-sam", "Bearer", 900)
    assert await desk.audited("ADMIN_SIGN_IN") == [(user_id("sam"), "session/ses-sam", None, None, "OK")]
    for name, changes, reason in (
        ("sam", {"sid": "ses-ulla"}, "UNAUTHENTICATED"),  # of somebody else
        ("sam", {"sid": "ses-none"}, "UNAUTHENTICATED"),
        ("ulla", {"role": "admin"}, "NOT_PERMITTED"),  # what the token says is not what is stored
    ):
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await create(name, **changes)
        assert from_call(failed.value).reason == reason


async def test_s22_what_the_guard_refuses_to_somebody_known_is_in_the_audit_log_once_a_minute(desk: Desk) -> None:
    for _ in range(5):
        assert await desk.refused("sam", pb.FreezeUserRequest(user_id=user_id("ulla"), reason=WHY)) == NOT_PERMITTED
        assert await code_of(desk.stub.ListUsers(pb.ListUsersRequest())) == ("UNAUTHENTICATED", "UNAUTHENTICATED")
    bearer = f"Bearer {desk.token('ulla', scope='read trade account', aud='venue-api')}"
    assert await code_of(desk.stub.ListUsers(pb.ListUsersRequest(), metadata=(("authorization", bearer),))) == (
        NOT_PERMITTED
    )

    async def written() -> bool:
        return len(await desk.audited("PRIVILEGE_REFUSED")) >= 2

    await desk.eventually(written, "both are written down")
    assert await desk.audited("PRIVILEGE_REFUSED") == [
        (user_id("sam"), "rpc/FreezeUser", None, {"lacking": {"role": "support"}, "left_out": 0}, "NOT_PERMITTED"),
        (user_id("ulla"), "rpc/ListUsers", None, {"lacking": {"scope": "admin"}, "left_out": 0}, "NOT_PERMITTED"),
    ]


async def test_s06_an_admin_token_needs_a_fresh_authentication(desk: Desk) -> None:
    old = desk.token("ada", scope="account", aud="venue-api", auth_time=int(time.time()) - 400)
    call = desk.stub.CreateAdminToken(pb.CreateAdminTokenRequest(), metadata=(("authorization", f"Bearer {old}"),))
    assert await code_of(call) == ("PERMISSION_DENIED", "STEP_UP_REQUIRED")
    assert await desk.audited("ADMIN_SIGN_IN") == []


async def test_users_are_found_by_what_is_known_of_them(desk: Desk) -> None:
    async def found(**fields: Any) -> list[str]:
        return [user.user_id for user in (await desk.ask("sam", pb.ListUsersRequest(**fields))).users]

    everybody = [user_id(name) for name in ROLES]
    assert sorted(await found()) == sorted(everybody)
    assert await found(query="CLEO@ex") == [user_id("cleo")]
    assert await found(query="usr-ul") == [user_id("ulla")]
    assert await found(query="vERA") == [user_id("vera")]
    assert await found(query="100%_") == []
    assert sorted(await found(role=access_pb2.ROLE_ADMIN)) == [user_id("ada"), user_id("ben")]
    assert await found(status=pb.USER_STATUS_FROZEN) == []
    pages, request = [], pb.ListUsersRequest(page_size=4)
    while True:
        page = await desk.ask("sam", request)
        pages.append([user.user_id for user in page.users])
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert [len(page) for page in pages] == [4, 2]
    assert [each for page in pages for each in page] == await found()
    request.query = "a"
    assert await desk.refused("sam", request) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")
    account_id = await account_of(desk, "ulla")
    shown = await desk.ask("sam", pb.GetUserRequest(user_id=user_id("ulla")))
    assert (shown.user.email, shown.user.role) == ("ulla@Example.com", access_pb2.ROLE_USER)
    assert [account.account_id for account in shown.accounts] == [account_id]
    assert shown.accounts[0].type == account_pb2.ACCOUNT_TYPE_DEMO
    assert [session.session_id for session in shown.sessions] == ["ses-ulla"]
    assert await desk.refused("sam", pb.GetUserRequest(user_id="usr-\0")) == ("NOT_FOUND", "USER_NOT_FOUND")


async def test_a_frozen_user_is_out_at_once_and_comes_back_by_two(desk: Desk) -> None:
    account_id, customer = await account_of(desk, "ulla"), desk.customers("ulla")
    resting = (await customer.place(account_id, type_pb2.SIDE_BUY, "1", "10")).order
    async with customer.stream(account_id) as frames:
        await frames.next_of("ready")
        freeze = pb.FreezeUserRequest(user_id=user_id("ulla"), reason=WHY, cancel_orders=True)
        frozen = await desk.ask("cleo", freeze)
        assert (frozen.user.status, frozen.sessions_ended, frozen.accounts_cancelled) == (pb.USER_STATUS_FROZEN, 1, 1)
        said = await frames.next(30)
        while said.WhichOneof("frame") != "goodbye":
            said = await frames.next(30)
        assert said.goodbye.reason == "SESSION_REVOKED"
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await customer.balances(account_id)
    assert from_call(failed.value).reason == "UNAUTHENTICATED"

    async def cancelled() -> bool:
        (row,) = await desk.rows("SELECT status FROM orders WHERE number = %s", int(resting.order_id.split("-")[1]))
        return bool(row == (order_pb2.ORDER_STATUS_CANCELLED,))

    await desk.eventually(cancelled, "the order is cancelled in the tables")
    assert await desk.audited("USER_FREEZE") == [
        (
            user_id("cleo"),
            f"user/{user_id('ulla')}",
            {"status": "ACTIVE"},
            {"status": "FROZEN", "sessions_ended": 1, "reason": WHY},
            "OK",
        )
    ]
    assert [row[3] for row in await desk.audited("USER_ORDERS_CANCEL")] == [{"accounts": [account_id]}]
    again = await desk.ask("ada", pb.FreezeUserRequest(user_id=user_id("ulla"), reason=WHY))
    assert (again.user.status, again.sessions_ended) == (pb.USER_STATUS_FROZEN, 0)
    unfreeze = pb.UnfreezeUserRequest(user_id=user_id("ulla"), reason=WHY)
    action = (await desk.ask("cleo", unfreeze)).pending_action
    await desk.ask("ada", approve(action))
    shown = await desk.ask("ada", pb.GetUserRequest(user_id=user_id("ulla")))
    assert shown.user.status == pb.USER_STATUS_ACTIVE
    assert await desk.refused("ada", unfreeze) == ("FAILED_PRECONDITION", "NOTHING_TO_CHANGE")
    nobody = pb.FreezeUserRequest(user_id="usr-none", reason=WHY)
    assert await desk.refused("ada", nobody) == ("NOT_FOUND", "USER_NOT_FOUND")
    assert (await desk.audited("USER_FREEZE"))[-1][4] == "USER_NOT_FOUND"


async def test_another_role_ends_tokens_and_streams_of_the_old_one(desk: Desk) -> None:
    sam = (("authorization", f"Bearer {desk.token('sam')}"),)
    cleo = (("authorization", f"Bearer {desk.token('cleo')}"),)
    stream: Any = desk.stub.StreamSystem(pb.StreamSystemRequest(), metadata=cleo)
    assert (await stream.read()).WhichOneof("frame") == "ready"
    for name in ("sam", "cleo"):
        action = (await desk.ask("ada", role_request(name, access_pb2.ROLE_USER))).pending_action
        await desk.ask("ben", approve(action))

    async def refused() -> bool:
        return (await code_of(desk.stub.GetSystemStatus(pb.GetSystemStatusRequest(), metadata=sam)))[0] != "OK"

    await desk.eventually(refused, "the token of the old role is not good any more")
    async with asyncio.timeout(60):
        while (frame := await stream.read()).WhichOneof("frame") != "goodbye":
            pass
    assert frame.goodbye.reason == "SESSION_REVOKED"
    changed = [(row[1], row[2], row[3]["role"]) for row in await desk.audited("USER_ROLE_SET")]
    assert changed == [
        (f"user/{user_id('sam')}", {"role": "SUPPORT"}, "USER"),
        (f"user/{user_id('cleo')}", {"role": "COMPLIANCE"}, "USER"),
    ]


async def test_sessions_are_listed_and_ended_and_waits_forgotten(desk: Desk) -> None:
    await desk.rows(
        "INSERT INTO sessions (session_id, user_id, expire_time) SELECT 'ses-v' || n, %s, now() + interval '1 day'"
        " FROM generate_series(1, 3) n",
        user_id("vera"),
    )
    some = pb.RevokeUserSessionsRequest(user_id=user_id("vera"), session_ids=["ses-v1", "ses-ada", "none"], reason=WHY)
    assert (await desk.ask("cleo", some)).sessions_ended == 1
    assert (await desk.ask("cleo", some)).sessions_ended == 0
    request = pb.ListUserSessionsRequest(user_id=user_id("vera"), page_size=3)
    first = await desk.ask("sam", request)
    request.page_token = first.next_page_token
    second = await desk.ask("sam", request)
    listed = {session.session_id: session.revoke_reason for session in [*first.sessions, *second.sessions]}
    assert (len(first.sessions), listed) == (
        3,
        {"ses-v1": "ADMINISTRATION", "ses-v2": "", "ses-v3": "", "ses-vera": ""},
    )
    everything = pb.RevokeUserSessionsRequest(user_id=user_id("vera"), reason=WHY)
    assert (await desk.ask("ada", everything)).sessions_ended == 3
    await desk.ask("sam", pb.UnlockUserRequest(user_id=user_id("vera"), reason=WHY))
    assert desk.unlocked == ["vera@example.com"]
    assert [row[1] for row in await desk.audited("USER_UNLOCK")] == [f"user/{user_id('vera')}"]


async def test_s22_every_call_is_in_the_audit_log_that_those_at_the_desk_read(desk: Desk) -> None:
    await desk.ask("sam", pb.ListUsersRequest(query="ulla"))
    await desk.ask("ada", pb.FreezeUserRequest(user_id=user_id("vera"), reason=WHY))
    await desk.refused("ada", pb.FreezeUserRequest(user_id="usr-none", reason=WHY))
    page = await desk.ask("cleo", pb.ListAuditEntriesRequest(page_size=3))
    said = [(entry.actor, entry.action, entry.object, entry.outcome) for entry in page.entries]
    assert said == [
        (user_id("cleo"), "ADMIN_READ", "rpc/ListAuditEntries", "OK"),
        (user_id("ada"), "USER_FREEZE", "rpc/FreezeUser", "USER_NOT_FOUND"),
        (user_id("ada"), "USER_FREEZE", f"user/{user_id('vera')}", "OK"),
    ]
    frozen = page.entries[2]
    assert (json.loads(frozen.before), json.loads(frozen.after)["status"]) == ({"status": "ACTIVE"}, "FROZEN")
    assert (frozen.actor_kind, frozen.credential_id, len(frozen.hash)) == ("USER", "ses-ada", 64)
    older = await desk.ask("cleo", pb.ListAuditEntriesRequest(page_size=3, page_token=page.next_page_token))
    assert [(entry.actor, entry.object, entry.after) for entry in older.entries] == [
        (user_id("sam"), "rpc/ListUsers", '{"query": "ulla"}')
    ]
    search = pb.ListAuditEntriesRequest(actor=user_id("ada"), outcome="OK")
    asking, *rest = (await desk.ask("ada", search)).entries
    assert (asking.object, [entry.sequence for entry in rest]) == ("rpc/ListAuditEntries", [frozen.sequence])
    search = pb.ListAuditEntriesRequest(action="USER_FREEZE", end_time=frozen.time)
    assert not (await desk.ask("ada", search)).entries
    search.end_time.seconds = 10**15
    assert await desk.refused("ada", search) == ("INVALID_ARGUMENT", "INVALID_FIELD")


async def test_the_monitor_shows_the_venue_and_every_entry_and_goes_on_where_it_was(desk: Desk) -> None:
    metadata = (("authorization", f"Bearer {desk.token('cleo')}"),)

    async def projected() -> bool:
        return len(await desk.rows("SELECT DISTINCT partition FROM projections")) == 3

    await desk.eventually(projected, "each partition has a reader")
    stream: Any = desk.stub.StreamSystem(pb.StreamSystemRequest(), metadata=metadata)
    ready, shown = await stream.read(), await stream.read()
    assert ready.WhichOneof("frame") == "ready"
    assert not ready.ready.resumed
    assert {(each.partition, each.led) for each in shown.status.partitions} == {(1, True), (2, True), (3, True)}
    assert all(each.leader_address and each.last_sequence for each in shown.status.partitions)
    assert {reader.reader for reader in shown.status.partitions[0].readers} == {"tables"}
    assert [(each.process, each.answering) for each in shown.status.processes] == [("api", False)]
    await desk.ask("ada", pb.FreezeUserRequest(user_id=user_id("vera"), reason=WHY))

    async def next_entry(frames: Any) -> Any:
        async with asyncio.timeout(60):
            while (frame := await frames.read()).WhichOneof("frame") != "entry":
                pass
        return frame

    told = await next_entry(stream)
    stream.cancel()
    assert (told.entry.action, told.sequence, told.previous_sequence) == (
        "USER_FREEZE", told.entry.sequence, shown.sequence,
    )  # fmt: skip
    await desk.ask("sam", pb.GetSystemStatusRequest())
    resumed: Any = desk.stub.StreamSystem(pb.StreamSystemRequest(resume_after=told.position), metadata=metadata)
    assert (await resumed.read()).ready.resumed
    missed = await next_entry(resumed)
    assert (missed.entry.object, missed.previous_sequence) == ("rpc/GetSystemStatus", told.sequence)
    resumed.cancel()
    for position in ("later", "999999"):
        refused = desk.stub.StreamSystem(pb.StreamSystemRequest(resume_after=position), metadata=metadata)
        assert await code_of(refused) == ("INVALID_ARGUMENT", "POSITION_INVALID")
