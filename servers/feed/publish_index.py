"""Turns what the sources told into index prices, and sends those that changed to the engines as commands.

A price goes out when it moved by a step, or after a while anyway, at most so often a market; what an engine did not
take is not kept for it: the next turn has a newer one. Nothing here is waited for by anybody.
"""

import asyncio
import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import structlog
from redis.asyncio import Redis

from db import feeds
from db.feeds import Told
from servers.domain.errors import VenueError
from servers.domain.money import ATTO, ATTO_SCALE, format_units, parse
from servers.domain.terms import Environment, MarketKind
from servers.engine.client import Engine, Engines
from servers.feed.aggregation import SCORE_FULL, Quote, Rules, Scores, Settling, Verdict, near
from servers.feed.conversion import TETHER_PAIR, Price, Tether, on_tick, price_for
from servers.feed.lease import Lease, LeaseLostError
from servers.feed.measures import FeedMeasures
from venue.engine.v1 import engine_pb2 as pb

log = structlog.get_logger()
LEASE: Final = "index"
TURN_S: Final = 0.5
SUBMIT_S: Final = 2.0
MARKETS_EVERY_S: Final = 30.0
_PAR: Final = Price(ATTO, 0, 0)


@dataclass(frozen=True, slots=True)
class Pacing:
    """A command a market at most every `pace_s`: after a move of `step_bps`; after `refresh_s` also if it did not move.

    So an index that nobody sets again is one that nobody knows: the engine takes it back.
    """

    pace_s: float = 1.0
    step_bps: int = 1
    refresh_s: float = 10.0

    def due(self, price: int, sent: tuple[int, float] | None, now: float) -> bool:
        """Whether a price goes out now, after what was sent last and when."""
        if sent is None:
            return True
        last, when = sent
        if now < when + self.pace_s:
            return False
        return now >= when + self.refresh_s or (price != last and not near(price, last, self.step_bps))


class Listed(NamedTuple):
    """A market that wants an index; its tick in atto."""

    environment: Environment
    symbol: str
    pair: str
    tick_size: int
    marked: bool
    engine: Engine


class IndexPublisher:
    """All markets of some environments. `stale_s` has the sources in order of preference."""

    def __init__(
        self,
        engines: Engines[Engine],
        environments: Collection[Environment],
        bus: Redis,
        holder: str,
        stale_s: Mapping[str, float],
        tether: Tether,
        measures: FeedMeasures,
        rules: Rules | None = None,
        pacing: Pacing | None = None,
    ) -> None:
        self.lease = Lease(bus, LEASE, holder)
        self.scores = Scores()
        self._engines, self._environments, self._bus = engines, list(environments), bus
        self._stale_ms = {source: int(seconds * 1000) for source, seconds in stale_s.items()}
        self._tether: Tether = tether
        self._measures, self._rules, self._pacing = measures, rules or Rules(), pacing or Pacing()
        self._settling: dict[str, Settling] = {}
        self._markets: list[Listed] = []
        self._markets_at = 0.0
        self._sent: dict[tuple[Environment, str], tuple[int, float]] = {}

    async def run(self) -> None:
        """Until cancelled."""
        await self.lease.work(self._work)

    async def _work(self) -> None:
        # What another process sent meanwhile is unknown.
        self._sent.clear()
        self._settling.clear()
        self._measures.leads.labels(LEASE).set(1)
        try:
            while True:
                await self.turn()
                await asyncio.sleep(TURN_S)
        finally:
            self._measures.leads.labels(LEASE).set(0)

    async def turn(self) -> None:
        """Look at everything once. Raises BusError, LeaseLostError."""
        await self._list_markets()
        told = await feeds.read_quotes(self._bus, self._stale_ms)
        verdicts = self._verdicts(told, {market.pair for market in self._markets})
        for source, pairs in told.items():
            self._measures.age.labels(source).set(min((each.age_ms for each in pairs.values()), default=0) / 1000)
            self._measures.score.labels(source).set(self.scores.of.get(source, SCORE_FULL))
        for market in self._markets:
            used = verdicts[market.pair].used
            self._measures.used.labels(market.environment.name, market.symbol).set(len(used))
        if not self.lease.held:
            raise LeaseLostError(LEASE)
        await self._send(verdicts)
        entries = {pair: entry_of(verdict) for pair, verdict in verdicts.items()}
        scores = json.dumps(self.scores.of)
        if not await feeds.write_index(self._bus, LEASE, self.lease.epoch, {**entries, "scores": scores}):
            raise LeaseLostError(LEASE)

    def _verdicts(self, told: Mapping[str, Mapping[str, Told]], pairs: Collection[str]) -> dict[str, Verdict]:
        now_ms = time.monotonic_ns() // 1_000_000
        prices = {source: {pair: Price(*each) for pair, each in of.items()} for source, of in told.items()}
        tether = _PAR if self._tether == "par" else None
        # First what others are converted with.
        verdicts = {}
        for pair in sorted({*pairs, TETHER_PAIR}, key=lambda pair: (pair != TETHER_PAIR, pair)):
            quotes = [
                Quote(source, price.price, price.age_ms, price.heard_ms, self._stale_ms[source])
                for source, of in prices.items()
                if (price := price_for(pair, of, tether)) is not None
            ]
            settling = self._settling.setdefault(pair, Settling(self._rules))
            verdict = verdicts[pair] = settling.step(quotes, self.scores.of, now_ms)
            if pair == TETHER_PAIR and self._tether == "rate":
                tether = None if verdict.price is None else Price(verdict.price, 0, 0)
        self.scores.count(verdicts.values())
        return verdicts

    async def _send(self, verdicts: Mapping[str, Verdict]) -> None:
        now = time.monotonic()
        due: dict[Engine, list[tuple[Listed, int]]] = {}
        for market in self._markets:
            price = verdicts[market.pair].price
            if price is None:
                continue
            price = on_tick(price, market.tick_size)
            if self._pacing.due(price, self._sent.get((market.environment, market.symbol)), now):
                due.setdefault(market.engine, []).append((market, price))
        await asyncio.gather(*(self._submit(engine, prices, now) for engine, prices in due.items()))

    async def _submit(self, engine: Engine, prices: Sequence[tuple[Listed, int]], now: float) -> None:
        outcomes: Sequence[bytes | VenueError]
        try:
            outcomes = await engine.submit([command_of(market, price) for market, price in prices], SUBMIT_S)
        except VenueError as error:
            outcomes = [error] * len(prices)
        for (market, price), outcome in zip(prices, outcomes, strict=True):
            if isinstance(outcome, VenueError):
                log.warning("index price refused", symbol=market.symbol, reason=outcome.reason, cause=outcome.message)
                self._measures.commands.labels(market.environment.name, outcome.reason).inc()
            else:
                self._sent[market.environment, market.symbol] = price, now
                self._measures.commands.labels(market.environment.name, "OK").inc()

    async def _list_markets(self) -> None:
        """Ask the engines now and then; while one is away its markets stay as they were."""
        if time.monotonic() < self._markets_at:
            return
        known = {(market.environment, market.symbol): market for market in self._markets}
        for environment in self._environments:
            engines = [self._engines.for_environment(environment), *self._engines.beside(environment).values()]
            for engine in dict.fromkeys(engines):
                try:
                    answer = await engine.query(pb.QueryRequest(markets=pb.MarketsQuery()))
                except VenueError as error:
                    log.info("engine away", partition=engine.partition, cause=error.message)
                    continue
                for market in answer.markets:
                    known[environment, market.symbol] = Listed(
                        environment,
                        market.symbol,
                        f"{market.base_asset}-{market.quote_asset}",
                        parse(market.tick_size),
                        int(market.kind) == MarketKind.PERPETUAL,
                        engine,
                    )
        self._markets = list(known.values())
        self._markets_at = time.monotonic() + (MARKETS_EVERY_S if known else TURN_S)


def command_of(market: Listed, price: int) -> pb.Command:
    """The command that sets an index price; a perpetual is marked by it too."""
    text = format_units(price, ATTO_SCALE)
    mark = text if market.marked else ""
    return pb.Command(
        set_reference_prices=pb.SetReferencePrices(symbol=market.symbol, index_price=text, mark_price=mark)
    )


def entry_of(verdict: Verdict) -> str:
    """A verdict as `venue feed` reads it."""
    price = "" if verdict.price is None else format_units(verdict.price, ATTO_SCALE)
    return json.dumps({"price": price, "used": verdict.used, "refused": dict(verdict.refused)})
