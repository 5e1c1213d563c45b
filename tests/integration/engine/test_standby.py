"""A process that waits to lead has the machine ready: a take-over goes on with it."""

import pytest

from db.journal import find_partition
from db.session import Connection
from servers.domain.state import state_hash
from tests.integration.engine.conftest import Lead
from tests.integration.engine.leading import PARTITION, place, until


async def test_a_standby_follows_and_takes_over_with_what_it_has(
    lead: Lead, capsys: pytest.CaptureFixture[str]
) -> None:
    first = await lead()
    account_id = await first.open_account()
    for n in range(20):
        await first.place(account_id, price=str(40_000 + n))
    second = await lead(waits=True)
    standby = second.leader.standby
    await until(lambda: standby.sequence == first.sequencer.tail.sequence)
    await first.submit(place(account_id, price="39000", client_order_id="last"))
    await until(lambda: standby.sequence == first.sequencer.tail.sequence)
    before = state_hash(first.exchange)
    machine = standby.machine
    assert machine is not None
    assert state_hash(machine) == before
    await first.stop()
    await second.leads()
    assert second.exchange is machine
    assert len(second.exchange.floor.orders) == 21
    assert "taking over warm" in capsys.readouterr().out


async def test_a_standby_that_comes_to_another_result_halts_the_partition(lead: Lead, database: Connection) -> None:
    first = await lead()
    account_id = await first.open_account()
    second = await lead(waits=True)
    standby = second.leader.standby
    await until(lambda: standby.sequence == first.sequencer.tail.sequence)
    assert standby.machine is not None
    standby.machine.clock.digest += 1
    await first.place(account_id)
    await until(lambda: first.engine.sequencer is None)
    state = await find_partition(database, PARTITION)
    assert state is not None
    assert state.halted_reason is not None
    assert "digest" in state.halted_reason
