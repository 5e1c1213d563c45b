"""The bounded queue in front of the machine: what waits there, and what never leaves it."""

import asyncio

import pytest

from db.session import Connection
from servers.domain.errors import DeadlinePassed, Overloaded
from tests.integration.engine.conftest import Lead
from tests.integration.engine.leading import Led, cancel, commands, place, projecting, stalled, until
from venue.engine.v1 import engine_pb2 as pb


def labels(found: list[pb.Command]) -> list[str]:
    """Labels of the orders that were executed."""
    return [command.place_order.client_order_id for command in found if command.HasField("place_order")]


async def blocked(led: Led, account_id: str) -> "list[asyncio.Future[object]]":
    """One order under way to the journal and one in the batch behind it; what comes now has to queue."""
    tasks: list[asyncio.Future[object]] = []
    for label in ("flying", "forming"):
        tasks.append(asyncio.ensure_future(led.place(account_id, client_order_id=label)))
        await asyncio.sleep(0.02)
    return tasks


async def test_an_order_whose_deadline_passed_is_never_accepted(lead: Lead, database: Connection) -> None:
    led = await lead(batch_max=1, lease_s=30.0)
    account_id = await led.open_account()
    async with stalled(database):
        before = await blocked(led, account_id)
        late = asyncio.ensure_future(led.submit(place(account_id, client_order_id="late"), timeout_s=0.05))
        patient = asyncio.ensure_future(led.submit(place(account_id, client_order_id="patient"), timeout_s=20))
        await asyncio.sleep(0.1)
    with pytest.raises(DeadlinePassed):
        await late
    await asyncio.gather(patient, *before)
    assert labels(await commands(database)) == ["flying", "forming", "patient"]


async def test_a_call_given_up_in_the_queue_is_not_executed(lead: Lead, database: Connection) -> None:
    led = await lead(batch_max=1, lease_s=30.0)
    account_id = await led.open_account()
    async with stalled(database):
        before = await blocked(led, account_id)
        given_up = asyncio.ensure_future(led.submit(place(account_id, client_order_id="given-up")))
        patient = asyncio.ensure_future(led.submit(place(account_id, client_order_id="patient")))
        await asyncio.sleep(0.02)
        given_up.cancel()
        await asyncio.sleep(0)
    await asyncio.gather(patient, *before)
    assert labels(await commands(database)) == ["flying", "forming", "patient"]


async def test_a_full_queue_takes_no_order_but_still_cancels(lead: Lead, database: Connection) -> None:
    led = await lead(batch_max=1, queue_max=16, lease_s=30.0)
    account_id = await led.open_account()
    resting = [(await led.place(account_id)).order.order_id for _ in range(3)]
    async with stalled(database):
        before = await blocked(led, account_id)
        queued = [asyncio.ensure_future(led.place(account_id, client_order_id=f"queued-{n}")) for n in range(8)]
        await asyncio.sleep(0.02)
        with pytest.raises(Overloaded) as shed:
            await led.place(account_id, client_order_id="shed")
        assert shed.value.retry_after_s > 0
        cancels = [asyncio.ensure_future(led.submit(cancel(order_id))) for order_id in resting[:2]]
        await asyncio.sleep(0.02)
        with pytest.raises(Overloaded):
            await led.submit(cancel(resting[2]))
    await asyncio.gather(*before, *queued, *cancels)
    executed = labels(await commands(database))
    assert executed[3:] == ["flying", "forming", *(f"queued-{n}" for n in range(8))]
    await led.place(account_id, client_order_id="afterwards")


async def test_a_flood_neither_delays_nor_shuts_out_others(lead: Lead, database: Connection) -> None:
    led = await lead(batch_max=1, queue_max=64, lease_s=30.0)
    loud, quiet = await led.open_account("loud"), await led.open_account("quiet")

    def placing(user_id: str, account_id: str, label: str) -> "asyncio.Future[bytes]":
        return asyncio.ensure_future(led.submit(place(account_id, user_id=user_id, client_order_id=label)))

    async with stalled(database):
        first = placing("loud", loud, "flying")
        await asyncio.sleep(0.02)
        flood = [placing("loud", loud, f"loud-{n}") for n in range(100)]
        await asyncio.sleep(0.02)
        others = [placing("quiet", quiet, f"quiet-{n}") for n in range(10)]
        await asyncio.sleep(0.02)
    results = await asyncio.gather(*flood, return_exceptions=True)
    await asyncio.gather(first, *others)
    taken = [result for result in results if isinstance(result, bytes)]
    assert {type(result) for result in results} == {bytes, Overloaded}
    assert len(taken) == 33
    executed = labels(await commands(database))
    assert [label for label in executed if label.startswith("quiet")] == [f"quiet-{n}" for n in range(10)]
    assert [label for label in executed if label.startswith("loud")] == [f"loud-{n}" for n in range(33)]
    # Two turns of eight before the last of the ten, where it would have been all of the flood.
    assert executed.index("quiet-9") < 2 + 10 + 2 * 8


async def test_orders_are_shed_while_the_projector_is_far_behind(lead: Lead, database_url: str, redis_url: str) -> None:
    led = await lead(projector_lag_max=20)
    account_id = await led.open_account()
    resting = await led.place(account_id)
    await until(lambda: led.sequencer.shedding)
    with pytest.raises(Overloaded):
        await led.place(account_id)
    await led.submit(cancel(resting.order.order_id))
    async with projecting(database_url, redis_url):
        await until(lambda: not led.sequencer.shedding)
    await led.place(account_id)
