"""Process `bot`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from servers.bot.maker import Addresses, Instrument
from servers.bot.maker import run as quote
from servers.config import Settings
from servers.domain.terms import MarketState
from servers.engine.catalogue import LISTINGS
from servers.transport.caller import CallerError, credentials_of
from servers.wiring.parts import Process

MAKER: Final = "maker@venue.local"
TAKER: Final = "demo@venue.local"


@asynccontextmanager
async def build(process: Process) -> AsyncIterator[None]:
    """The market maker of the demo books."""
    settings = process.settings
    addresses = Addresses(f"{settings.host}:{settings.order_port}", f"{settings.host}:{settings.api_port}")
    logins = {email: await _password(settings, email) for email in (MAKER, TAKER)}
    instruments = [
        Instrument(listing.symbol, listing.tick_size, listing.lot_size, listing.seed_price)
        for listing in LISTINGS
        if listing.state == MarketState.OPEN and listing.symbol.split("-")[0] in ("BTC", "ETH")
    ]
    quoting = process.tasks.create_task(quote(addresses, logins, instruments, seed=1))
    yield
    quoting.cancel()


async def _password(settings: Settings, email: str) -> str:
    """What the api process drew for a seeded user, once it has."""
    while True:
        try:
            return credentials_of(settings.state.logins, email, "").password
        except CallerError:
            await asyncio.sleep(0.1)
