"""Each source against a server that speaks as it does, and against each way in which that may go wrong."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest
from aiohttp import web

from servers.domain.money import ATTO, parse
from servers.feed.binance import Binance
from servers.feed.coinmarketcap import CoinMarketCap
from servers.feed.exchange import Exchange
from servers.feed.faults import Cause, SourceFault
from servers.feed.pairs import BINANCE, COINMARKETCAP, NAMES, YAHOO
from servers.feed.simulator.faults import Behaviour
from servers.feed.simulator.run import KEY, Simulated
from servers.feed.simulator.server import Simulator
from servers.feed.source import Observation, Source
from servers.feed.yahoo import Yahoo
from tests.integration.feed.conftest import SEEDS

# How long a source is waited for that says nothing on purpose; any other is given all the time of a slow machine.
BRIEFLY_S = 0.3
LONG_S = 30.0
PATIENCE_S = 60.0
Make = Callable[[Simulated, float], tuple[Source, Simulator]]


def of_binance(sources: Simulated, silence_s: float) -> tuple[Source, Simulator]:
    return Binance(sources.binance.address, NAMES[BINANCE], silence_s), sources.binance


def of_yahoo(sources: Simulated, silence_s: float) -> tuple[Source, Simulator]:
    return Yahoo(sources.yahoo.address, NAMES[YAHOO], 0.05, silence_s), sources.yahoo


def of_coinmarketcap(sources: Simulated, silence_s: float) -> tuple[Source, Simulator]:
    address = sources.coinmarketcap.address
    return CoinMarketCap(address, NAMES[COINMARKETCAP], KEY, 0.05, silence_s), sources.coinmarketcap


ALL: list[tuple[Make, str]] = [(of_binance, BINANCE), (of_yahoo, YAHOO), (of_coinmarketcap, COINMARKETCAP)]


async def told(source: Source, pairs: set[str]) -> dict[str, Observation]:
    """One observation of each pair at least."""
    found: dict[str, Observation] = {}
    async with asyncio.timeout(PATIENCE_S), aclosing(source.read()) as reading:
        async for observations in reading:
            found |= {each.pair: each for each in observations}
            if set(found) >= pairs:
                return found
    raise AssertionError("a source ended by itself")


async def fault_of(source: Source) -> SourceFault:
    try:
        await told(source, {"a pair that no source has"})
    except SourceFault as fault:
        return fault
    raise AssertionError("it works")


@pytest.mark.parametrize(("make", "name"), ALL)
async def test_a_source_tells_every_pair_it_is_asked_for(sources: Simulated, make: Make, name: str) -> None:
    source, _ = make(sources, LONG_S)
    found = await told(source, set(NAMES[name]))
    assert set(found) == set(NAMES[name])
    for pair, observation in found.items():
        assert abs(observation.price - parse(SEEDS[pair])) * 100 <= 3 * parse(SEEDS[pair])
        assert 0 <= observation.age_s < 5


@pytest.mark.parametrize(("make", "name"), ALL)
async def test_a_price_arrives_to_the_last_digit(sources: Simulated, make: Make, name: str) -> None:
    source, simulator = make(sources, LONG_S)
    # More digits than a float holds.
    simulator._walks.price = lambda _pair: "123456.12345678"  # type: ignore[attr-defined]
    found = await told(source, set(NAMES[name]))
    # Binance's is the middle of a bid and an ask that are as far away on both sides.
    assert {each.price // 10**10 for each in found.values()} == {12345612345678}


@pytest.mark.parametrize(("make", "name"), ALL)
@pytest.mark.parametrize(
    ("behaviour", "cause"),
    [
        (Behaviour.HANGS, {Cause.SILENT}),
        (Behaviour.CLOSES, {Cause.CLOSED, Cause.UNREACHABLE}),
        (Behaviour.GARBAGE, {Cause.MALFORMED}),
        (Behaviour.WRONG_SHAPE, {Cause.MALFORMED}),
        (Behaviour.HUGE_NUMBER, {Cause.MALFORMED}),
        (Behaviour.NOT_A_NUMBER, {Cause.MALFORMED}),
        (Behaviour.HUGE_BODY, {Cause.MALFORMED, Cause.CLOSED}),
        (Behaviour.AHEAD, {Cause.CLOCK}),
        (Behaviour.LIMITED, {Cause.LIMITED}),
        (Behaviour.BROKEN, {Cause.REFUSED}),
    ],
)
async def test_a_source_that_fails_says_how(
    sources: Simulated, make: Make, name: str, behaviour: Behaviour, cause: set[Cause]
) -> None:
    source, simulator = make(sources, BRIEFLY_S if behaviour is Behaviour.HANGS else LONG_S)
    simulator.behaviour = behaviour
    fault = await fault_of(source)
    assert fault.cause in cause, fault
    if behaviour is Behaviour.LIMITED and name != BINANCE:
        assert fault.retry_after_s == 7


@pytest.mark.parametrize(("make", "name"), ALL)
async def test_a_source_that_is_not_there_is_unreachable(sources: Simulated, make: Make, name: str) -> None:
    source, simulator = make(sources, LONG_S)
    await simulator.stop()
    assert (await fault_of(source)).cause is Cause.UNREACHABLE


async def test_a_key_that_is_wrong_is_refused(sources: Simulated) -> None:
    source = CoinMarketCap(sources.coinmarketcap.address, NAMES[COINMARKETCAP], "wrong", 1.0)
    assert str(await fault_of(source)) == "refused: HTTP 401"


async def test_a_symbol_of_another_currency_is_not_taken(sources: Simulated) -> None:
    source = Yahoo(sources.yahoo.address, {"BTC-EUR": "BTC-USD"}, 1.0)
    assert (await fault_of(source)).cause is Cause.MALFORMED
    unknown = Yahoo(sources.yahoo.address, {"X-USD": "NO-SUCH"}, 1.0)
    assert str(await fault_of(unknown)) == "refused: HTTP 404"


class Bitstamp(Simulator):
    """As much of Bitstamp's public API as ccxt asks of it for a ticker."""

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/{tail:.*}", self._ask)]

    async def _ask(self, request: web.Request) -> web.StreamResponse:
        def body() -> str:
            if "ticker" in request.path:
                return (
                    '{"timestamp": "1700000000", "open": "64000", "high": "66000", "low": "63000", "last": "65000.25",'
                    ' "volume": "10", "vwap": "65000", "bid": "65000.1234567", "ask": "65000.1234569",'
                    ' "open_24": "64000", "percent_change_24": "1.5"}'
                )
            return (
                '[{"name": "BTC/USD", "url_symbol": "btcusd", "base_decimals": 8, "counter_decimals": 0,'
                ' "minimum_order": "10.0 USD", "trading": "Enabled", "instant_and_market_orders": "Enabled",'
                ' "description": "Bitcoin / U.S. dollar", "market_type": "SPOT", "base_currency": "BTC",'
                ' "counter_currency": "USD", "market_symbol": "btcusd", "instant_order_counter_decimals": 2}]'
            )

        return await self.answer(request, body)


@pytest.fixture
async def bitstamp() -> Any:
    simulator = Bitstamp()
    await simulator.start()
    yield simulator
    await simulator.stop()


def through_ccxt(simulator: Simulator, silence_s: float = LONG_S) -> Exchange:
    address = f"http://127.0.0.1:{simulator.port}"
    urls = {"api": {"public": f"{address}/api", "private": f"{address}/api"}}
    options = {"urls": urls, "has": {"fetchTickers": False, "fetchCurrencies": False}, "timeout": int(silence_s * 1000)}
    return Exchange("bitstamp", {"BTC-USD": "BTC/USD"}, 0.05, options)


# Its parser of fees makes no difference here, but warns.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_an_exchange_tells_through_ccxt(bitstamp: Bitstamp) -> None:
    found = await told(through_ccxt(bitstamp), {"BTC-USD"})
    assert found["BTC-USD"].price == 650001234568 * ATTO // 10**7
    assert found["BTC-USD"].age_s > 1_000_000


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("behaviour", "causes"),
    [
        (Behaviour.HANGS, {Cause.SILENT}),
        (Behaviour.CLOSES, {Cause.UNREACHABLE}),
        (Behaviour.GARBAGE, {Cause.REFUSED, Cause.MALFORMED, Cause.UNREACHABLE}),
        (Behaviour.WRONG_SHAPE, {Cause.REFUSED, Cause.MALFORMED}),
        (Behaviour.LIMITED, {Cause.LIMITED}),
        (Behaviour.BROKEN, {Cause.UNREACHABLE, Cause.REFUSED}),
    ],
)
async def test_an_exchange_that_fails_says_how(bitstamp: Bitstamp, behaviour: Behaviour, causes: set[Cause]) -> None:
    bitstamp.behaviour = behaviour
    fault = await fault_of(through_ccxt(bitstamp, BRIEFLY_S if behaviour is Behaviour.HANGS else LONG_S))
    assert fault.cause in causes, fault


async def test_an_exchange_that_nobody_knows_is_refused() -> None:
    assert (await fault_of(Exchange("no_such_exchange", {}, 1.0))).cause is Cause.REFUSED
