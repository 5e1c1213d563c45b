"""Yahoo: the chart of each symbol, polled; its `meta` has the last price of the regular session and when it was made."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

import httpx

from servers.feed.faults import Cause, SourceFault
from servers.feed.pairs import YAHOO
from servers.feed.polling import CALL_S, get_json, http_client
from servers.feed.reading import age_of, field, price_of, seconds_of
from servers.feed.source import Observation

# Without a browser's name it answers 429 at once.
AGENT: Final = "Mozilla/5.0 (compatible; venue)"
# Prices of exchanges come with the delay that they allow.
DELAY_S: Final = 60.0


class Yahoo:
    """A source. `names` are its symbols by pair."""

    name = YAHOO

    def __init__(self, address: str, names: Mapping[str, str], poll_s: float, call_s: float = CALL_S) -> None:
        self._address, self._names, self._poll_s, self._call_s = address, names, poll_s, call_s
        self.stale_s = DELAY_S + 3 * poll_s

    async def read(self) -> AsyncGenerator[list[Observation], None]:
        async with http_client(self._address, {"user-agent": AGENT}, self._call_s) as client:
            while True:
                yield [await self._observe(client, pair, name) for pair, name in self._names.items()]
                await asyncio.sleep(self._poll_s)

    async def _observe(self, client: httpx.AsyncClient, pair: str, name: str) -> Observation:
        found = await get_json(client, f"/v8/finance/chart/{name}", {"interval": "1m", "range": "1d"})
        return observation(pair, name, found)


def observation(pair: str, name: str, found: Any) -> Observation:  # noqa: ANN401
    """What a chart says of a pair. Raises SourceFault."""
    meta = field(found, "chart", "result", 0, "meta")
    said = (str(field(meta, "symbol")), str(field(meta, "currency")))
    if said != (name, pair.partition("-")[2]):
        raise SourceFault(Cause.MALFORMED, f"{said} in place of {name} for {pair}")
    price = price_of(field(meta, "regularMarketPrice"))
    return Observation(pair, price, age_of(seconds_of(field(meta, "regularMarketTime")), time.time()))
