"""Batches: many commands a row, and nothing told before the row is there."""

import asyncio
import uuid
from collections.abc import Coroutine
from typing import Any

import pytest

from db.session import Connection
from servers.domain.errors import AccountNotFound, OrderNotFound, VenueError
from servers.engine import gathering
from servers.engine.effort import Effort
from tests.integration.engine.conftest import Lead
from tests.integration.engine.leading import PARTITION, USER, cancel, commands, journal, place, stalled
from venue.engine.v1 import engine_pb2 as pb
from venue.order.v1 import order_pb2
from venue.order.v1 import order_service_pb2 as wire


async def test_callers_of_one_moment_share_a_row(lead: Lead, database: Connection) -> None:
    led = await lead()
    account_id = await led.open_account()
    before = len(await journal(database))
    answers = await asyncio.gather(*(led.place(account_id, price=str(40_000 + n)) for n in range(300)))
    assert len(await journal(database)) - before <= 3
    assert len({answer.order.order_id for answer in answers}) == 300
    assert [answer.order.price for answer in answers] == [str(40_000 + n) for n in range(300)]


def work(monkeypatch: pytest.MonkeyPatch, share: float, row_s: float) -> None:
    """Have the thread busy for a share of its time, and the wait for callers as long where that is much."""
    monkeypatch.setattr(Effort, "look", lambda _self: share)
    monkeypatch.setattr(gathering, "FULL_S", row_s)


async def test_many_callers_who_come_one_after_the_other_share_rows_too(
    lead: Lead, database: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    led = await lead()
    account_id = await led.open_account()
    # A fast machine has time to itself all the while.
    work(monkeypatch, 1.0, gathering.FULL_S)

    async def come(moment: int) -> None:
        await asyncio.sleep(moment / 1000)
        await led.send(account_id)

    before = len(await journal(database))
    await asyncio.gather(*(come(number // 4) for number in range(800)))
    # A row is there within a moment or less: without a wait there would be one for nearly each of the 200 moments.
    assert len(await journal(database)) - before <= 120


async def test_who_comes_alone_waits_for_nobody_also_after_many_came(
    lead: Lead, monkeypatch: pytest.MonkeyPatch
) -> None:
    led = await lead()
    account_id = await led.open_account()
    await asyncio.gather(*(led.send(account_id) for _ in range(40)))
    work(monkeypatch, 1.0, 0.01)
    await led.send(account_id)
    # Longer than anybody waits.
    work(monkeypatch, 1.0, 3_600.0)
    for _ in range(20):
        await led.send(account_id)


async def test_a_busy_thread_waits_for_those_who_came_last_time(
    lead: Lead, database: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    led = await lead()
    account_id = await led.open_account()
    work(monkeypatch, 1.0, 3_600.0)
    await led.send(account_id)
    await asyncio.gather(*(led.send(account_id) for _ in range(3)))
    before = len(await journal(database))
    two = [asyncio.ensure_future(led.send(account_id)) for _ in range(2)]
    done, _ = await asyncio.wait(two, timeout=0.3)
    assert not done
    await led.send(account_id)
    await asyncio.gather(*two)
    assert len(await journal(database)) == before + 1


async def test_a_thread_with_time_to_itself_waits_for_nobody(lead: Lead, monkeypatch: pytest.MonkeyPatch) -> None:
    led = await lead()
    account_id = await led.open_account()
    work(monkeypatch, 0.4, 3_600.0)
    await asyncio.gather(*(led.send(account_id) for _ in range(5)))
    for _ in range(3):
        await led.send(account_id)


def test_the_busier_a_thread_is_the_longer_it_waits() -> None:
    assert 0 < gathering.BUSY < gathering.FULL < 1
    assert 0 < gathering.BUSY_S < gathering.FULL_S


async def test_a_full_thread_waits_for_another_time_than_a_busy_one(
    lead: Lead, monkeypatch: pytest.MonkeyPatch
) -> None:
    led = await lead()
    account_id = await led.open_account()
    loop = asyncio.get_running_loop()
    # The wait that is not meant would last longer than any test.
    for share, busy_s, full_s in ((0.55, 1.0, 3_600.0), (0.65, 3_600.0, 1.0)):
        monkeypatch.setattr(gathering, "BUSY_S", busy_s)
        work(monkeypatch, share, full_s)
        # The next row waits for as many callers, who never come.
        await asyncio.gather(*(led.send(account_id) for _ in range(5)))
        began = loop.time()
        await led.send(account_id)
        assert loop.time() - began > 0.3


async def test_a_row_that_nobody_adds_to_is_written_all_the_same(lead: Lead, monkeypatch: pytest.MonkeyPatch) -> None:
    led = await lead()
    account_id = await led.open_account()
    work(monkeypatch, 1.0, 0.2)
    await asyncio.gather(*(led.send(account_id) for _ in range(5)))
    loop = asyncio.get_running_loop()
    began = loop.time()
    await led.send(account_id)
    assert loop.time() - began < 5.0


async def test_who_waits_for_each_answer_waits_for_nobody_else(lead: Lead, monkeypatch: pytest.MonkeyPatch) -> None:
    led = await lead()
    account_id = await led.open_account()
    work(monkeypatch, 1.0, 3_600.0)
    for callers in (5, 3, 1):
        await asyncio.gather(*(led.place(account_id) for _ in range(callers)))


async def test_the_journal_keeps_what_every_caller_was_told(lead: Lead, database: Connection) -> None:
    led = await lead()
    account_id = await led.open_account()
    told = await asyncio.gather(*(led.submit(place(account_id)) for _ in range(20)))
    rows = await journal(database)
    kept = [answer for row in rows for answer in pb.AnswerBatch.FromString(row.answers).answers]
    assert kept[-20:] == told
    assert [command.sequence for command in await commands(database)] == list(range(1, len(kept) + 1))
    times = [command.time_us for command in await commands(database)]
    assert times == sorted(times)


async def test_nothing_that_saw_memory_is_told_before_the_row_is_there(lead: Lead, database: Connection) -> None:
    led = await lead(lease_s=30.0)
    account_id = await led.open_account()
    resting = await led.place(account_id)
    rows = len(await journal(database))
    request_id = str(uuid.uuid4())
    account = pb.AccountsQuery(user_id=USER, account_id=account_id)
    async with stalled(database):
        waiting: dict[str, Coroutine[Any, Any, Any]] = {
            "order": led.submit(place(account_id, request_id=request_id)),
            "repeat": led.submit(place(account_id, request_id=request_id)),
            "cancel": led.submit(cancel(resting.order.order_id)),
            "refusal": led.submit(cancel(resting.order.order_id)),
            "reject": led.submit(place(account_id, quantity="20", price="50001")),
            "balances": led.balances(account_id),
            "account": led.engine.query(pb.QueryRequest(accounts=account)),
            "gone": led.engine.query(
                pb.QueryRequest(open_orders=pb.OpenOrdersQuery(user_id=USER, order_id=resting.order.order_id))
            ),
            "outcome": led.engine.outcome(USER, request_id),
            "following": led.engine.follow(account_id, USER, snapshot=True),
        }
        tasks = {name: asyncio.ensure_future(work) for name, work in waiting.items()}
        await asyncio.sleep(0.4)
        assert [name for name, task in tasks.items() if task.done()] == []
        cursor = await database.execute("SELECT count(*) FROM journal")
        assert await cursor.fetchone() == (rows,)
    results: dict[str, Any] = dict(
        zip(tasks, await asyncio.gather(*tasks.values(), return_exceptions=True), strict=True)
    )
    assert isinstance(results["refusal"], OrderNotFound)
    assert isinstance(results["gone"], OrderNotFound)
    assert not wire.PlaceOrderResponse.FromString(results["order"]).replayed
    assert wire.PlaceOrderResponse.FromString(results["repeat"]).replayed
    rejected = wire.PlaceOrderResponse.FromString(results["reject"])
    assert rejected.order.reject_reason == order_pb2.REJECT_REASON_INSUFFICIENT_FUNDS
    assert results["balances"]["USD"] == ("999499", "501")
    assert results["outcome"][1] == results["repeat"]
    assert [order.request_id for order in results["following"].orders] == [request_id]
    led.engine.unfollow(results["following"])


async def test_commands_of_one_call_are_executed_in_order_and_fail_one_by_one(lead: Lead) -> None:
    led = await lead()
    account_id = await led.open_account()
    first = await led.place(account_id, client_order_id="mine")
    batch = [
        cancel(first.order.order_id),
        cancel(first.order.order_id),
        place(account_id, client_order_id="mine"),
        place("demo-nobody"),
    ]
    outcomes = await led.engine.submit(batch, None)
    assert [type(outcome) for outcome in outcomes] == [bytes, OrderNotFound, bytes, AccountNotFound]
    assert not isinstance(outcomes[2], VenueError)
    assert wire.PlaceOrderResponse.FromString(outcomes[2]).order.status == order_pb2.ORDER_STATUS_OPEN


async def test_a_follower_gets_each_event_after_its_snapshot_once(lead: Lead, database: Connection) -> None:
    led = await lead(lease_s=30.0)
    account_id = await led.open_account()
    early = await led.engine.follow(account_id, USER, snapshot=True)
    async with stalled(database):
        placing = asyncio.ensure_future(led.place(account_id))
        joining = asyncio.ensure_future(led.engine.follow(account_id, USER, snapshot=True))
        await asyncio.sleep(0.1)
    placed, late = await placing, await joining
    again = await led.place(account_id)
    frames = [await follower.follower.take() for follower in (early, late)]
    sequences = [[frame.sequence for frame in taken] for taken in frames]
    assert [order.order_id for order in late.orders] == [placed.order.order_id]
    assert sequences == [[placed.order.sequence, again.order.sequence], [again.order.sequence]]
    assert frames[1][0].previous_sequence == late.account_sequence == placed.order.sequence
    for following in (early, late):
        led.engine.unfollow(following)
    assert led.sequencer.feed.followers == {}


async def test_ids_tell_partition_and_sequence(lead: Lead) -> None:
    led = await lead()
    account_id = await led.open_account()
    answer = await led.place(account_id)
    assert answer.order.order_id == f"{PARTITION}-{answer.order.sequence}"
    assert answer.position == f"{PARTITION}.{led.exchange.clock.epoch}.{answer.order.sequence}"


async def test_an_order_that_nothing_under_way_changes_is_read_without_a_wait(lead: Lead, database: Connection) -> None:
    led = await lead(lease_s=30.0)
    account_id, other = await led.open_account(), await led.open_account()
    quiet, changed = [(await led.place(account_id, client_order_id=name)).order for name in ("quiet", "changed")]
    elsewhere = (await led.place(other)).order
    durable = led.sequencer.tail.sequence

    async def listed(of: str) -> pb.QueryResponse:
        return await led.engine.query(pb.QueryRequest(open_orders=pb.OpenOrdersQuery(user_id=USER, account_id=of)))

    def read(order_id: str = "", label: str = "") -> Coroutine[Any, Any, pb.QueryResponse]:
        named = pb.OpenOrdersQuery(user_id=USER, order_id=order_id, account_id=account_id, client_order_id=label)
        return led.engine.query(pb.QueryRequest(open_orders=named))

    amendment = wire.AmendOrderRequest(order_id=changed.order_id, quantity="0.005")
    async with stalled(database):
        amending = asyncio.ensure_future(led.submit(pb.Command(user_id=USER, amend_order=amendment)))
        await asyncio.sleep(0)
        waiting, listing = asyncio.ensure_future(read(changed.order_id)), asyncio.ensure_future(listed(account_id))
        for found, order in (
            (await read(quiet.order_id), quiet),
            (await read(label="quiet"), quiet),
            (await listed(other), elsewhere),
        ):
            assert list(found.orders) == [order]
            # As new as what its reader may have seen before.
            assert found.sequence == durable == led.sequencer.tail.sequence < led.exchange.clock.sequence
        await asyncio.sleep(0.2)
        assert not amending.done()
        assert not waiting.done()
        assert not listing.done()
    amended = wire.AmendOrderResponse.FromString(await amending)
    assert (await waiting).orders[0].quantity == "0.005"
    assert [order.quantity for order in (await listing).orders] == [quiet.quantity, "0.005"]
    assert (await listing).position == amended.position
