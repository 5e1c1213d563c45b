"""Process `bot`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from servers.account.create_account import PAPER_FUNDS
from servers.bot.maker import Addresses, Instrument
from servers.bot.maker import run as quote
from servers.bot.measures import BotMeasures
from servers.config import Settings
from servers.domain.terms import MarketState
from servers.engine.catalogue import LISTINGS
from servers.transport.caller import CallerError, credentials_of
from servers.wiring.parts import Process

MAKER: Final = "maker@venue.local"


@asynccontextmanager
async def build(process: Process) -> AsyncIterator[None]:
    """The market maker of the demo books."""
    settings = process.settings
    ports = (settings.order_port, settings.api_port, settings.marketdata_port)
    order, api, marketdata = (f"{settings.host}:{port}" for port in ports)
    addresses = Addresses(order, api, marketdata, settings.papers())
    quoted = instruments(settings)
    measures = BotMeasures((one.symbol for one in quoted), process.metrics.registry)
    password = await _password(settings, MAKER)
    quoting = process.tasks.create_task(quote(addresses, MAKER, password, quoted, measures, seed=1))
    yield
    quoting.cancel()


def instruments(settings: Settings) -> list[Instrument]:
    """The open markets whose both assets a demo account opens with, of the partition in which the maker's accounts are."""
    home = min(number for number, name in settings.partitions.items() if name == "DEMO")
    paper = {asset for asset, _ in PAPER_FUNDS}
    listed = [
        Instrument(listing.symbol, listing.tick_size, listing.lot_size, listing.seed_price)
        for listing in LISTINGS
        if listing.state == MarketState.OPEN and settings.lists(home, listing.symbol)
    ]
    return [instrument for instrument in listed if paper.issuperset(instrument.assets)]


async def _password(settings: Settings, email: str) -> str:
    """What the api process drew for a seeded user, once it has."""
    while True:
        try:
            return credentials_of(settings.state.logins, email, "").password
        except CallerError:
            await asyncio.sleep(0.1)
