"""Request ids: repeated, reused, forgotten, and remembered by the journal."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Callable

import pytest

from db.session import Connection
from servers.domain.errors import PartUnavailable, RequestIdFromFuture, RequestIdReused
from tests.integration.engine.conftest import Lead
from tests.integration.engine.leading import USER, Led, cancel, commands, place, projecting
from venue.engine.v1 import engine_pb2 as pb
from venue.order.v1 import order_service_pb2 as wire


def uuid7(ahead_s: float = 0.0) -> str:
    """A UUIDv7 made now, or some seconds ahead."""
    milliseconds = int((time.time() + ahead_s) * 1000)
    value = milliseconds << 80 | 7 << 76 | uuid.uuid4().int & ((1 << 76) - 1)
    return str(uuid.UUID(int=value & ~(3 << 62) | 2 << 62))


def placements(found: list[pb.Command], request_id: str) -> int:
    return sum(command.place_order.request_id == request_id for command in found)


@pytest.mark.parametrize("make", [lambda: str(uuid.uuid4()), uuid7], ids=["uuid4", "uuid7"])
async def test_a_request_sent_fifty_times_at_once_is_one_order(
    lead: Lead, database: Connection, make: Callable[[], str]
) -> None:
    led = await lead()
    account_id, request_id = await led.open_account(), make()
    told = await asyncio.gather(*(led.submit(place(account_id, request_id=request_id)) for _ in range(50)))
    answers = [wire.PlaceOrderResponse.FromString(answer) for answer in told]
    first = [answer for answer in answers if not answer.replayed]
    assert len(first) == 1
    again = wire.PlaceOrderResponse()
    again.CopyFrom(first[0])
    again.replayed = True
    assert {answer for answer in told if wire.PlaceOrderResponse.FromString(answer).replayed} == {
        again.SerializeToString()
    }
    assert placements(await commands(database), request_id) == 1
    assert (await led.balances(account_id))["USD"] == ("999499", "501")


async def test_another_body_under_the_same_id_is_refused(lead: Lead) -> None:
    led = await lead()
    account_id, request_id = await led.open_account(), str(uuid.uuid4())
    await led.place(account_id, request_id=request_id)
    with pytest.raises(RequestIdReused):
        await led.place(account_id, request_id=request_id, quantity="0.02")
    with pytest.raises(RequestIdReused):
        await led.submit(cancel("2-1", request_id=request_id))


async def test_ids_of_two_users_do_not_meet(lead: Lead) -> None:
    led = await lead()
    mine, theirs = await led.open_account(), await led.open_account("user-2")
    request_id = str(uuid.uuid4())
    first = await led.place(mine, request_id=request_id)
    second = await led.place(theirs, user_id="user-2", request_id=request_id)
    assert (first.replayed, second.replayed) == (False, False)


async def test_an_id_from_the_future_is_refused(lead: Lead) -> None:
    led = await lead()
    account_id = await led.open_account()
    with pytest.raises(RequestIdFromFuture):
        await led.place(account_id, request_id=uuid7(ahead_s=90))
    assert not (await led.place(account_id, request_id=uuid7(ahead_s=30))).replayed


async def test_a_refused_request_may_be_sent_again(lead: Lead) -> None:
    led = await lead()
    request_id = str(uuid.uuid4())
    with pytest.raises(Exception, match="account not found"):
        await led.place("demo-nobody", request_id=request_id)
    assert not (await led.place(await led.open_account(), request_id=request_id)).replayed


async def sent(led: Led, account_id: str, request_id: str) -> bytes:
    """The answer, asked for again while the tables are behind."""
    for _ in range(400):
        try:
            return await led.submit(place(account_id, request_id=request_id))
        except PartUnavailable:
            await asyncio.sleep(0.01)
    raise AssertionError(request_id)


async def test_what_memory_forgot_is_looked_up(
    lead: Lead, database: Connection, database_url: str, redis_url: str
) -> None:
    led = await lead(request_memory=10)
    account_id = await led.open_account()
    ids = [str(uuid.uuid4()) for _ in range(40)]
    async with projecting(database_url, redis_url, request_memory=10):
        first = [await sent(led, account_id, request_id) for request_id in ids]
        assert (USER, ids[0]) not in led.exchange.requests
        again = [await sent(led, account_id, request_id) for request_id in ids]
        assert [wire.PlaceOrderResponse.FromString(answer).replayed for answer in again] == [True] * 40
        assert [answer[: len(told)] for answer, told in zip(again, first, strict=True)] == first
        with pytest.raises(RequestIdReused):
            await led.place(account_id, request_id=ids[0], quantity="0.5")
        found = await led.engine.outcome(USER, ids[0])
        assert found == ("place_order", again[0])
        # Those at the edge of memory, repeated while new ones push them out.
        edge = [request_id for _, request_id in led.exchange.requests]
        mixed = [request_id for old in edge for request_id in (str(uuid.uuid4()), old)]
        await asyncio.gather(*(sent(led, account_id, request_id) for request_id in mixed))
    counted = Counter(command.place_order.request_id for command in await commands(database))
    assert {counted[request_id] for request_id in (*ids, *mixed)} == {1}


async def test_what_memory_forgot_and_the_tables_do_not_have_yet_is_not_guessed(lead: Lead) -> None:
    led = await lead(request_memory=2)
    account_id = await led.open_account()
    for _ in range(3):
        await led.place(account_id, request_id=str(uuid.uuid4()))
    with pytest.raises(PartUnavailable):
        await led.place(account_id, request_id=str(uuid.uuid4()))
    assert (await led.place(account_id)).order.order_id


async def test_a_repeat_after_a_restart_is_answered_from_the_journal(lead: Lead, database: Connection) -> None:
    led = await lead()
    account_id, request_id = await led.open_account(), str(uuid.uuid4())
    first = await led.submit(place(account_id, request_id=request_id))
    await led.stop()
    second = await lead()
    again = await second.submit(place(account_id, request_id=request_id))
    assert again[: len(first)] == first
    assert wire.PlaceOrderResponse.FromString(again).replayed
    assert placements(await commands(database), request_id) == 1
    outcome = await second.engine.outcome(USER, request_id)
    assert outcome == ("place_order", again)
    assert await second.engine.outcome(USER, str(uuid.uuid4())) is None


async def test_a_request_that_is_forgotten_while_its_repeat_queues_is_not_executed_again(
    lead: Lead, database: Connection, database_url: str, redis_url: str
) -> None:
    led = await lead(request_memory=4, batch_max=2, lease_s=30.0)
    account_id = await led.open_account()
    async with projecting(database_url, redis_url, request_memory=4):
        for _ in range(5):
            await sent(led, account_id, str(uuid.uuid4()))
    # Two of the fresh ones fit into the batch and push out two; the others, before the repeat, push out this one.
    oldest = list(led.exchange.requests)[2][1]
    fresh = [place(account_id, request_id=str(uuid.uuid4())) for _ in range(8)]
    for command in fresh:
        # As if looked up: what this test is about is the last one.
        command.verdict = pb.VERDICT_NEW
    tickets = [led.sequencer.enqueue([command], None, {}) for command in fresh]
    repeat = asyncio.ensure_future(led.submit(place(account_id, request_id=oldest)))
    await asyncio.gather(*(ticket.done for ticket in tickets))
    with pytest.raises(PartUnavailable):
        await repeat
    assert Counter(command.place_order.request_id for command in await commands(database))[oldest] == 1
