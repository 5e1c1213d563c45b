"""All simulated sources together, as the embedded venue has them."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from servers.feed.pairs import BINANCE, COINMARKETCAP, YAHOO
from servers.feed.simulator.binance import BinanceSimulator
from servers.feed.simulator.coinmarketcap import CoinMarketCapSimulator
from servers.feed.simulator.server import Simulator
from servers.feed.simulator.walk import Walks
from servers.feed.simulator.yahoo import YahooSimulator

KEY: Final = "simulated"
STEP_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Simulated:
    """What runs."""

    walks: Walks
    binance: BinanceSimulator
    yahoo: YahooSimulator
    coinmarketcap: CoinMarketCapSimulator

    @property
    def all(self) -> tuple[Simulator, ...]:
        return (self.binance, self.yahoo, self.coinmarketcap)


@asynccontextmanager
async def simulated(
    seeds: Mapping[str, str], names: Mapping[str, Mapping[str, str]], step_s: float = STEP_S
) -> AsyncGenerator[Simulated, None]:
    """Sources that tell of `seeds` (pair to price) under each source's own names by pair, walking a step every `step_s`."""
    known = {source: {name: pair for pair, name in of.items() if pair in seeds} for source, of in names.items()}
    walks = Walks(seeds)
    made = Simulated(
        walks,
        BinanceSimulator(walks, known[BINANCE], step_s),
        YahooSimulator(walks, known[YAHOO]),
        CoinMarketCapSimulator(walks, known[COINMARKETCAP], KEY),
    )
    async with AsyncExitStack() as held:
        for simulator in made.all:
            await simulator.start()
            held.push_async_callback(simulator.stop)
        walking = asyncio.create_task(_walk(walks, step_s))
        held.callback(walking.cancel)
        yield made


async def _walk(walks: Walks, step_s: float) -> None:
    while True:
        await asyncio.sleep(step_s)
        walks.step()
