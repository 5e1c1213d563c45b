"""Process `feed`."""

import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from servers.config import Settings
from servers.domain.terms import Environment
from servers.engine.catalogue import LISTINGS
from servers.feed.binance import Binance
from servers.feed.coinmarketcap import CoinMarketCap
from servers.feed.collect_prices import Collector
from servers.feed.exchange import Exchange
from servers.feed.measures import FeedMeasures
from servers.feed.pairs import BINANCE, COINMARKETCAP, NAMES, OWN, YAHOO, names_of
from servers.feed.publish_index import IndexPublisher, Pacing
from servers.feed.record_ticks import TickRecorder
from servers.feed.simulator.run import KEY, Simulated, simulated
from servers.feed.source import Source
from servers.feed.yahoo import Yahoo
from servers.wiring.parts import Process, bus_of, pool_of, remote_engines

# Seconds between two polls. CoinMarketCap's free plan has some 300 calls a day.
POLL_S: Final[Mapping[str, float]] = {YAHOO: 15.0, COINMARKETCAP: 300.0}
SIMULATED_POLL_S: Final = 2.0
EXCHANGE_POLL_S: Final = 5.0


@asynccontextmanager
async def build(process: Process) -> AsyncIterator[None]:
    """A collector for each source and the publisher of index prices, each working while its lease is held here."""
    settings = process.settings
    # A line for every poll tells nobody anything.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    async with AsyncExitStack() as held:
        pool = await held.enter_async_context(pool_of(settings, "feed"))
        engines = await held.enter_async_context(remote_engines(settings, pool))
        bus = await held.enter_async_context(bus_of(settings))
        given = await held.enter_async_context(simulated(seeds(), names(settings))) if settings.simulates else None
        measures, holder = FeedMeasures(process.metrics.registry), holder_name()
        sources = sources_of(settings, given)
        publisher = IndexPublisher(
            engines,
            [Environment[name] for name in sorted(settings.fed)],
            bus,
            holder,
            {source.name: source.stale_s for source in sources},
            settings.feed_usdt,
            measures,
            pacing=Pacing(settings.feed_pace_s, settings.feed_step_bps, settings.feed_refresh_s),
        )
        ticks = TickRecorder(pool, measures)
        collectors = [Collector(source, bus, holder, measures, ticks) for source in sources]
        tasks = [process.tasks.create_task(collector.run()) for collector in collectors]
        tasks += [process.tasks.create_task(publisher.run()), process.tasks.create_task(ticks.run())]
        yield
        for task in tasks:
            task.cancel()


def holder_name() -> str:
    """Who holds a lease, for people to read; no two processes have the same."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def names(settings: Settings) -> dict[str, dict[str, str]]:
    """What each source of ours calls each pair."""
    return {source: names_of(source, settings.feed_names) for source in OWN}


def seeds() -> dict[str, str]:
    """Where the simulated prices begin, by pair: the catalogue's seed prices, and what else sources quote."""
    known = {listing.symbol: listing.seed_price for listing in LISTINGS}
    told = {pair for of in NAMES.values() for pair in of}
    tethered = {pair: known[f"{pair.partition('-')[0]}-USD"] for pair in told if pair.endswith("-USDT")}
    return {**known, **tethered, "USDT-USD": "1"}


def sources_of(settings: Settings, given: Simulated | None) -> list[Source]:
    """The sources in order of preference; all simulated ones where none is named."""
    own = names(settings)
    polls = {**POLL_S, **(dict.fromkeys(POLL_S, SIMULATED_POLL_S) if given else {}), **settings.feed_poll_s}

    def make(name: str) -> Source:
        match name:
            case "binance":
                return Binance(given.binance.address if given else settings.binance_url, own[BINANCE])
            case "yahoo":
                return Yahoo(given.yahoo.address if given else settings.yahoo_url, own[YAHOO], polls[YAHOO])
            case "coinmarketcap":
                key = settings.coinmarketcap_key.get_secret_value() if settings.coinmarketcap_key else ""
                return CoinMarketCap(
                    given.coinmarketcap.address if given else settings.coinmarketcap_url,
                    own[COINMARKETCAP],
                    KEY if given else key,
                    polls[COINMARKETCAP],
                )
            case _:
                return Exchange(name, exchange_names(settings, name), polls.get(name, EXCHANGE_POLL_S))

    wanted = settings.feed_sources or (list(OWN) if given else [])
    return [make(name) for name in dict.fromkeys(wanted)]


def exchange_names(settings: Settings, source: str) -> dict[str, str]:
    """The names of ccxt by pair: those of the deployment, else what every large exchange has."""
    return settings.feed_names.get(source) or {pair: pair.replace("-", "/") for pair in NAMES[BINANCE]}
