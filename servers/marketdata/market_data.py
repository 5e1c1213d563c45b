"""The market data of a process: one tail a partition, and the fan-out they share."""

import asyncio
from contextlib import suppress

from redis.asyncio import Redis

from db.session import Pool
from servers.domain.errors import MarketNotFound
from servers.domain.terms import Environment
from servers.engine.client import Engine, Engines
from servers.engine.markets import Markets
from servers.marketdata.fan_out import FanOut
from servers.marketdata.series import Bounds
from servers.marketdata.tail import Tail
from servers.marketdata.tails import Tails


class MarketData:
    """Everything that the servicer answers from. `start` it before it is asked."""

    def __init__(
        self,
        engines: Engines[Engine],
        bus: Redis,
        pool: Pool,
        markets: Markets,
        *,
        default_environment: int,
        book_window_s: float = 0.1,
        silence_s: float = 15.0,
        bounds: Bounds | None = None,
    ) -> None:
        self.pool = pool
        self.markets = markets
        self.fan_out = FanOut(book_window_s=book_window_s, silence_s=silence_s, bounds=bounds or Bounds())
        self._default = default_environment
        self._tails: dict[int, Tails] = {}

        def made(engine: Engine, environment: int) -> Tail:
            return Tail(engine, environment, bus, pool, markets, self.fan_out)

        for environment in (Environment.LIVE, Environment.DEMO):
            with suppress(MarketNotFound):
                first = made(engines.for_environment(environment), environment)
                beside = engines.beside(environment)
                others = {engine: made(engine, environment) for engine in dict.fromkeys(beside.values())}
                by_symbol = {symbol: others[engine] for symbol, engine in beside.items()}
                self._tails[environment] = Tails(first, by_symbol)

    def tails(self, environment: int) -> Tails:
        """The tails of an environment; 0 means the default. Raises MarketNotFound: none is served here."""
        tails = self._tails.get(environment or self._default)
        if tails is None:
            raise MarketNotFound("")
        return tails

    def tail(self, environment: int, symbol: str = "") -> Tail:
        """The tail of a market's partition, or of the environment's first. Raises MarketNotFound: none is served here."""
        return self.tails(environment).of(symbol)

    async def start(self, tasks: asyncio.TaskGroup, wait_s: float = 5.0) -> None:
        """Follow every partition in tasks of the group. Returns when all are known, or after `wait_s`: the engine may be away."""
        every = [tail for tails in self._tails.values() for tail in tails.all]
        for tail in every:
            tasks.create_task(tail.run())
        tasks.create_task(self.fan_out.run())
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                for tail in every:
                    await tail.synced.wait()
                    await tail.past.complete.wait()
