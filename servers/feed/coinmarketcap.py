"""CoinMarketCap: the latest quotes of all symbols in one call, polled as often as the key's plan has credits for."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime
from typing import Any, Final

from servers.feed.faults import Cause, SourceFault
from servers.feed.pairs import COINMARKETCAP
from servers.feed.polling import CALL_S, get_json, http_client
from servers.feed.reading import age_of, field, price_of
from servers.feed.source import Observation

PATH: Final = "/v2/cryptocurrency/quotes/latest"
KEY: Final = "X-CMC_PRO_API_KEY"
# Its own prices are a minute old at most.
DELAY_S: Final = 90.0


class CoinMarketCap:
    """A source. `names` are its symbols by pair, all of them quoted in dollars."""

    name = COINMARKETCAP

    def __init__(self, address: str, names: Mapping[str, str], key: str, poll_s: float, call_s: float = CALL_S) -> None:
        self._address, self._names, self._key = address, names, key
        self._poll_s, self._call_s = poll_s, call_s
        self.stale_s = DELAY_S + 2 * poll_s

    async def read(self) -> AsyncGenerator[list[Observation], None]:
        asked = {"symbol": ",".join(self._names.values()), "convert": "USD"}
        headers = {KEY: self._key, "accept": "application/json"}
        async with http_client(self._address, headers, self._call_s) as client:
            while True:
                yield observations(self._names, await get_json(client, PATH, asked))
                await asyncio.sleep(self._poll_s)


def observations(names: Mapping[str, str], found: Any) -> list[Observation]:  # noqa: ANN401
    """What the quotes say of each pair; of several coins with one symbol the first, which ranks highest. Raises SourceFault."""
    code = field(found, "status", "error_code")
    if code != 0:
        raise SourceFault(Cause.REFUSED, f"error {code}")
    told = []
    for pair, name in names.items():
        quote = field(found, "data", name, 0, "quote", "USD")
        price = price_of(field(quote, "price"))
        told.append(Observation(pair, price, age_of(_seconds(field(quote, "last_updated")), time.time())))
    return told


def _seconds(text: Any) -> float:  # noqa: ANN401
    try:
        return datetime.fromisoformat(str(text)[:40]).timestamp()
    except ValueError:
        raise SourceFault(Cause.MALFORMED, f"{str(text)[:32]!r} is no time") from None
