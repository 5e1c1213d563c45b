"""Simulated sources that can be told how to fail, and a venue that takes their index prices."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from db.streams import open_bus
from servers.feed.pairs import NAMES
from servers.feed.simulator.run import Simulated, simulated
from tests.integration.order.conftest import floor  # noqa: F401  a fixture

SEEDS = {
    "BTC-USD": "65000",
    "BTC-USDT": "65000",
    "ETH-USD": "3200",
    "ETH-USDT": "3200",
    "SOL-USD": "150",
    "SOL-USDT": "150",
    "AAPL-USD": "230",
    "EUR-USD": "1.08",
    "USDT-USD": "1",
}
STEP_S = 0.05


@pytest.fixture
async def sources() -> AsyncIterator[Simulated]:
    async with simulated(SEEDS, {source: dict(of) for source, of in NAMES.items()}, STEP_S) as running:
        yield running


@pytest.fixture
async def bus(redis_url: str) -> AsyncIterator[Redis]:
    opened = open_bus(redis_url)
    yield opened
    await opened.aclose()
