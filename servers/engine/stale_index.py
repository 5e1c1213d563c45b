"""An index price that nobody has confirmed for a while is taken back, by a command like any other.

Only a leader looks, whoever set the price; the time it was set is part of the machine, so a successor knows it. The command names
that time, and is refused where a newer price came meanwhile.
"""

import asyncio
from typing import Final

import structlog

from servers.domain.errors import VenueError
from servers.engine.clock import VenueClock
from servers.engine.messages import timestamp
from servers.engine.sequencer import Sequencer
from venue.engine.v1 import engine_pb2 as pb

log = structlog.get_logger()
CHECK_S: Final = 1.0
SUBMIT_S: Final = 5.0


async def watch_index(sequencer: Sequencer, clock: VenueClock, stale_s: float) -> None:
    """Until cancelled; `stale_s` is how long an index price holds without being set again, 0: for ever."""
    while stale_s:
        await asyncio.sleep(min(CHECK_S, stale_s))
        before = clock.now_us() - int(stale_s * 1e6)
        markets = sequencer.exchange.floor.markets.values()
        old = [market for market in markets if market.index_price and market.index_time < before]
        if not old:
            continue
        withdrawn = [
            pb.SetReferencePrices(symbol=market.symbol, stale_index_time=timestamp(market.index_time)) for market in old
        ]
        symbols = [market.symbol for market in old]
        try:
            outcomes = await sequencer.submit([pb.Command(set_reference_prices=one) for one in withdrawn], SUBMIT_S, {})
        except VenueError as error:
            log.warning("stale index prices stay for now", symbols=symbols, reason=error.reason)
            continue
        refused = [str(outcome) for outcome in outcomes if isinstance(outcome, VenueError)]
        log.warning("index prices are stale", symbols=symbols, refused=refused)
