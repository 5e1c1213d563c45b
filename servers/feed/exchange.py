"""Any exchange that ccxt knows, by its name there: tickers of all pairs in one call, polled.

ccxt is loaded only where a deployment names an exchange: it costs a process 80 MB and two seconds.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

from servers.feed.faults import Cause, SourceFault
from servers.feed.reading import age_of, price_of, seconds_of
from servers.feed.source import Observation

CALL_S: Final = 20.0


class Exchange:
    """A source. `names` are ccxt's own (BTC/USDT) by pair; `options` goes to its constructor (keys, proxies)."""

    def __init__(
        self, exchange_id: str, names: Mapping[str, str], poll_s: float, options: Mapping[str, Any] | None = None
    ) -> None:
        self.name = exchange_id
        self.stale_s = 30.0 + 3 * poll_s
        self._names, self._poll_s, self._options = names, poll_s, options or {}

    async def read(self) -> AsyncGenerator[list[Observation], None]:
        from ccxt import async_support

        if not hasattr(async_support, self.name):
            raise SourceFault(Cause.REFUSED, f"ccxt knows no exchange {self.name!r}")
        # `number`: prices as the text that the exchange sent.
        client = getattr(async_support, self.name)({"enableRateLimit": True, "number": str, **self._options})
        client.number = str
        try:
            while True:
                yield await self._tickers(client, async_support)
                await asyncio.sleep(self._poll_s)
        finally:
            await client.close()

    async def _tickers(self, client: Any, ccxt: Any) -> list[Observation]:  # noqa: ANN401  ccxt has no types
        try:
            async with asyncio.timeout(CALL_S):
                if client.has.get("fetchTickers"):
                    tickers = await client.fetch_tickers(list(self._names.values()))
                else:
                    tickers = {name: await client.fetch_ticker(name) for name in self._names.values()}
        except (ccxt.RateLimitExceeded, ccxt.DDoSProtection) as error:
            raise SourceFault(Cause.LIMITED, str(error)) from None
        except (ccxt.RequestTimeout, TimeoutError) as error:
            raise SourceFault(Cause.SILENT, str(error) or f"no answer in {CALL_S:.0f} s") from None
        except ccxt.NetworkError as error:
            raise SourceFault(Cause.UNREACHABLE, str(error)) from None
        except ccxt.BaseError as error:
            raise SourceFault(Cause.REFUSED, str(error)) from None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            # Its parsers trust what they are sent.
            raise SourceFault(Cause.MALFORMED, f"{type(error).__name__}: {error}") from None
        return [_observation(pair, tickers.get(name)) for pair, name in self._names.items()]


def _observation(pair: str, ticker: Any) -> Observation:  # noqa: ANN401
    if not isinstance(ticker, Mapping):
        raise SourceFault(Cause.MALFORMED, f"nothing of {pair}")
    bid, ask = ticker.get("bid"), ticker.get("ask")
    price = (price_of(bid) + price_of(ask)) // 2 if bid and ask else price_of(ticker.get("last"))
    told = ticker.get("timestamp")
    age_s = age_of(seconds_of(told, per_second=1000), time.time()) if told else 0.0
    return Observation(pair, price, age_s)
