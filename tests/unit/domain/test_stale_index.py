"""An index price that was taken back: nothing is triggered by it, bands go by what else is known, and trading goes on."""

import pytest

from servers.domain import commands as c
from servers.domain.errors import DefinitionInvalid
from servers.domain.invariants import breaches
from servers.domain.terms import OrderStatus, TriggerSource
from tests.unit.domain.desk import SYMBOL, Desk, outcome

INDEX = TriggerSource.INDEX


def taken_back(desk: Desk) -> None:
    desk.run(c.SetReferencePrices, SYMBOL, 0, 0, desk.exchange.floor.markets[SYMBOL].index_time)


def test_what_waits_for_the_index_goes_on_waiting_for_the_next_one() -> None:
    desk = Desk()
    desk.references(index="100")
    desk.buy("ann", "1", "90")
    falling = desk.sell("ben", "0.1", "89", stop="95", source=INDEX)
    rising = desk.buy("ben", "0.1", "111", stop="110", source=INDEX)
    taken_back(desk)
    assert [order.status for order in (falling, rising)] == [OrderStatus.PENDING_TRIGGER] * 2
    assert breaches(desk.exchange) == []
    assert outcome(desk.sell("ben", "0.1", "89", stop="95", source=INDEX)).reason == "TRIGGER_PRICE_UNKNOWN"
    desk.references(index="94")
    assert falling.status == OrderStatus.FILLED
    assert rising.status == OrderStatus.PENDING_TRIGGER


def test_bands_go_by_the_mark_price_then_the_last_then_nothing() -> None:
    desk = Desk()
    desk.limit("demo-ann", band="10")
    desk.references(index="200")
    assert outcome(desk.buy("ann", "0.01", "100")).reason == "PRICE_OUT_OF_BAND"
    taken_back(desk)
    assert outcome(desk.buy("ann", "0.01", "100")).status == "OPEN"
    desk.print("150")
    assert outcome(desk.buy("ann", "0.01", "100")).reason == "PRICE_OUT_OF_BAND"
    desk.references(mark="101", index="200")
    taken_back(desk)
    assert outcome(desk.buy("ann", "0.01", "100")).status == "OPEN"


def test_only_the_index_that_is_meant_is_taken_back() -> None:
    desk = Desk()
    desk.references(index="100")
    market = desk.exchange.floor.markets[SYMBOL]
    before = market.index_price, market.index_time
    digest = desk.exchange.clock.digest
    for prices in ((0, 0, before[1] - 1), (0, 0, before[1] + 1), (0, 5, before[1]), (5, 0, before[1])):
        with pytest.raises(DefinitionInvalid):
            desk.run(c.SetReferencePrices, SYMBOL, *prices)
    assert (market.index_price, market.index_time) == before
    assert desk.exchange.clock.digest == digest
    taken_back(desk)
    assert (market.index_price, market.index_time) == (0, 0)
    with pytest.raises(DefinitionInvalid):
        desk.run(c.SetReferencePrices, SYMBOL, 0, 0, before[1])
