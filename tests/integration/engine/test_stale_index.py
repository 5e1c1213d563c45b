"""An index price that nobody sets again is taken back by the leader, as a command; trading goes on, and so does a successor."""

import asyncio

from db.session import Connection
from tests.integration.engine.conftest import Lead
from tests.integration.engine.leading import Led, commands, until
from venue.engine.v1 import engine_pb2 as pb
from venue.order.v1 import order_pb2

SYMBOL = "BTC-USD"


async def tell(led: Led, index: str = "50000", symbol: str = SYMBOL) -> None:
    await led.submit(pb.Command(set_reference_prices=pb.SetReferencePrices(symbol=symbol, index_price=index)))


def index_of(led: Led, symbol: str = SYMBOL) -> int:
    return led.exchange.floor.markets[symbol].index_price


async def test_an_index_is_taken_back_once_it_is_stale_and_the_others_stay(lead: Lead, database: Connection) -> None:
    led = await lead(index_stale_s=0.5)
    account_id = await led.open_account()
    await tell(led)
    seen = 0
    while index_of(led):
        # The same price again: another market's index that is confirmed holds.
        await tell(led, "3000", "ETH-USD")
        seen += 1
        await asyncio.sleep(0.05)
    assert seen > 2
    assert index_of(led, "ETH-USD")
    await led.sequencer.settled(led.exchange.clock.sequence)
    sent = [one for one in await commands(database) if one.HasField("set_reference_prices")]
    (withdrawn,) = [one for one in sent if one.set_reference_prices.HasField("stale_index_time")]
    told = next(one for one in sent if one.set_reference_prices.symbol == SYMBOL)
    assert withdrawn.set_reference_prices.symbol == SYMBOL
    assert withdrawn.set_reference_prices.stale_index_time.ToMicroseconds() == told.time_us
    assert withdrawn.time_us - told.time_us >= 500_000
    shown = await led.engine.query(pb.QueryRequest(markets=pb.MarketsQuery()))
    assert {market.symbol: market.index_price for market in shown.markets}[SYMBOL] == ""
    # Far from the index that was: the band has nothing to go by any more.
    placed = await led.place(account_id, price="10000")
    assert placed.order.status == order_pb2.ORDER_STATUS_OPEN
    await tell(led, "51000")
    assert index_of(led)


async def test_a_successor_knows_how_old_an_index_is(lead: Lead) -> None:
    first = await lead()
    await tell(first)
    set_at = first.exchange.floor.markets[SYMBOL].index_time
    await first.sequencer.settled(first.exchange.clock.sequence)
    await first.stop()
    second = await lead(index_stale_s=0.3)
    assert second.exchange.floor.markets[SYMBOL].index_time in (set_at, 0)
    await until(lambda: not index_of(second))
