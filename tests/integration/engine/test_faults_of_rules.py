"""Commands that break the machine, and a machine that is broken: healed, or stopped for good."""

import asyncio

import pytest

from db.journal import find_partition
from db.session import Connection
from servers.domain.commands import PlaceOrder
from servers.domain.errors import Fault, NotLeader, PartUnavailable, VenueError
from servers.domain.exchange import Exchange
from servers.domain.invariants import breaches
from tests.integration.engine.conftest import Lead
from tests.integration.engine.leading import PARTITION, cancel, commands, place, stalled, until
from tests.integration.engine.line import line
from venue.order.v1 import order_service_pb2 as wire

# No command breaks the rules as they are, so they are given a fault: a label that they cannot read.
POISON = "poison"


@pytest.fixture(autouse=True)
def _fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def place_order(exchange: Exchange, command: PlaceOrder) -> None:
        if command.client_order_id == POISON:
            raise KeyError(POISON)
        whole(exchange, command)

    whole = Exchange._place_order
    monkeypatch.setattr(Exchange, "_place_order", place_order)


async def test_a_poison_command_is_refused_and_nobody_else_notices(lead: Lead, database: Connection) -> None:
    led = await lead()
    account_id = await led.open_account()
    machine = led.exchange
    before = [led.submit(place(account_id, client_order_id=f"before-{n}")) for n in range(5)]
    after = [led.submit(place(account_id, client_order_id=f"after-{n}")) for n in range(5)]
    looks = [led.balances(account_id) for _ in range(3)]
    results = await asyncio.gather(
        *before, led.submit(place(account_id, client_order_id=POISON)), *looks, *after, return_exceptions=True
    )
    assert isinstance(results.pop(5), Fault)
    seen, told = results[5:8], results[:5] + results[8:]
    assert led.exchange is not machine
    placed = [c.place_order.client_order_id for c in await commands(database) if c.HasField("place_order")]
    assert placed == [*(f"before-{n}" for n in range(5)), *(f"after-{n}" for n in range(5))]
    orders = [wire.PlaceOrderResponse.FromString(answer).order for answer in told]  # type: ignore[arg-type]
    assert [order.client_order_id for order in orders] == placed
    assert set(led.exchange.floor.orders) == {order.sequence for order in orders}
    # What was read meanwhile holds for a sequence that is in the journal.
    assert all(funds["USD"] in {(str(1_000_000 - 501 * n), str(501 * n)) for n in range(11)} for funds in seen)  # type: ignore[index]
    assert breaches(led.exchange) == []
    assert (await led.place(account_id)).order.order_id


async def test_a_poison_in_a_batch_spoils_only_itself(lead: Lead) -> None:
    led = await lead()
    account_id = await led.open_account()
    batch = [place(account_id), place(account_id, client_order_id=POISON), place(account_id)]
    outcomes = await led.engine.submit(batch, None)
    assert [type(outcome) for outcome in outcomes] == [bytes, Fault, bytes]
    assert len(led.exchange.floor.orders) == 2


async def test_what_is_under_way_to_the_journal_is_not_touched_by_a_poison(lead: Lead, database: Connection) -> None:
    led = await lead(lease_s=30.0)
    account_id = await led.open_account()
    async with stalled(database):
        flying = asyncio.ensure_future(led.place(account_id))
        await asyncio.sleep(0.05)
        forming = asyncio.ensure_future(led.place(account_id))
        poison = asyncio.ensure_future(led.place(account_id, client_order_id=POISON))
        behind = asyncio.ensure_future(led.place(account_id))
        look = asyncio.ensure_future(led.balances(account_id))
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in (flying, forming, poison, behind, look))
    with pytest.raises(Fault):
        await poison
    sequences = [(await task).order.sequence for task in (flying, forming, behind)]
    assert sequences == [sequences[0], sequences[0] + 1, sequences[0] + 2]
    await look


async def test_a_broken_invariant_stops_the_partition_before_the_commit(lead: Lead, database: Connection) -> None:
    led = await lead(lease_s=30.0)
    account_id = await led.open_account()
    resting = await led.place(account_id)
    rows = len(await commands(database))
    sequencer = led.sequencer
    async with stalled(database):
        good = asyncio.ensure_future(led.place(account_id))
        await asyncio.sleep(0.05)
        # What no command can do: the hold of a resting order is gone.
        led.exchange.ledger.accounts[account_id].balances["USD"].held = 0
        calls = {
            "cancel": led.submit(cancel(resting.order.order_id)),
            "place": led.submit(place(account_id)),
            "balances": led.balances(account_id),
        }
        tasks = {name: asyncio.ensure_future(call) for name, call in calls.items()}
        await asyncio.sleep(0.05)
    assert (await good).order.sequence == rows + 1
    results = await asyncio.gather(*tasks.values(), return_exceptions=True)
    assert {type(result) for result in results} == {PartUnavailable}
    await until(lambda: led.engine.sequencer is None)
    assert len(await commands(database)) == rows + 1
    state = await find_partition(database, PARTITION)
    assert state is not None
    assert state.halted_reason is not None
    assert state.halted_reason.startswith("invariant broken: ")
    assert (state.holder, state.last_sequence) == ("", rows + 1)
    with pytest.raises(VenueError):
        await sequencer.submit([place(account_id)], None, {})
    with pytest.raises(NotLeader):
        await led.balances(account_id)


async def test_a_database_that_is_away_while_the_machine_is_loaded_again_leaves_nobody_waiting(
    lead: Lead, database_url: str
) -> None:
    async with line(database_url) as (address, between):
        led = await lead(through=address)
        account_id = await led.open_account()
        between.refuses = True
        calls = [
            led.submit(place(account_id, client_order_id=POISON)),
            led.submit(place(account_id)),
            led.balances(account_id),
        ]
        results = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 5)
        # Those that ran again one by one may be durable; whoever only read has lost nothing.
        assert [type(result) for result in results] == [PartUnavailable, NotLeader, NotLeader]
        await until(lambda: led.engine.sequencer is None)
        between.refuses = False
        await led.leads()
        await led.place(account_id)
        await led.stop()
