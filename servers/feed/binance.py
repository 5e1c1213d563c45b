"""Binance, and who speaks like it: combined streams of 24-hour tickers over a WebSocket, one message a second and symbol.

The price is the middle of best bid and best ask. The exchange ends every connection after a day; that is a fault like another.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import aiohttp

from servers.feed.faults import Cause, SourceFault
from servers.feed.pairs import BINANCE
from servers.feed.reading import age_of, field, price_of, read_json, seconds_of
from servers.feed.source import Observation

CONNECT_S: Final = 5.0
MESSAGE_MAX: Final = 1 << 16
# Who hangs does not say good-bye either.
CLOSING: Final = aiohttp.ClientWSTimeout(ws_close=1.0)
# Sockets are pinged by both ends; this also notices one that is alive and says nothing.
SILENCE_S: Final = 10.0


class Binance:
    """A source. `names` are its symbols by pair, `address` is ws:// or wss:// with host and port."""

    name = BINANCE
    stale_s = 10.0

    def __init__(self, address: str, names: Mapping[str, str], silence_s: float = SILENCE_S) -> None:
        self._pairs = {name: pair for pair, name in names.items()}
        streams = "/".join(f"{name.lower()}@ticker" for name in names.values())
        self._address = f"{address.rstrip('/')}/stream?streams={streams}"
        self._silence_s = silence_s

    async def read(self) -> AsyncGenerator[list[Observation], None]:
        async with self._socket() as socket:
            while True:
                try:
                    message = await socket.receive(timeout=self._silence_s)
                except TimeoutError:
                    raise SourceFault(Cause.SILENT, f"nothing for {self._silence_s:.0f} s") from None
                if message.type is aiohttp.WSMsgType.TEXT:
                    yield [self._observation(read_json(message.data))]
                elif message.type is aiohttp.WSMsgType.ERROR or message.type is aiohttp.WSMsgType.BINARY:
                    raise SourceFault(Cause.MALFORMED, str(message.data)[:80])
                else:
                    raise SourceFault(Cause.CLOSED, f"code {socket.close_code}")

    @asynccontextmanager
    async def _socket(self) -> AsyncGenerator[aiohttp.ClientWebSocketResponse, None]:
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_S, sock_connect=CONNECT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            try:
                async with asyncio.timeout(CONNECT_S):
                    socket = await session.ws_connect(
                        self._address, heartbeat=20.0, max_msg_size=MESSAGE_MAX, timeout=CLOSING
                    )
            except aiohttp.WSServerHandshakeError as error:
                cause = Cause.LIMITED if error.status in {418, 429} else Cause.REFUSED
                raise SourceFault(cause, f"HTTP {error.status}") from None
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise SourceFault(Cause.UNREACHABLE, str(error) or type(error).__name__) from None
            try:
                yield socket
            finally:
                with suppress(aiohttp.ClientError, OSError):
                    await socket.close()

    def _observation(self, message: Any) -> Observation:  # noqa: ANN401
        data = field(message, "data")
        pair = self._pairs.get(str(field(data, "s")))
        if pair is None:
            raise SourceFault(Cause.MALFORMED, f"{str(data['s'])[:32]!r} was not asked for")
        bid, ask = price_of(field(data, "b")), price_of(field(data, "a"))
        if bid > ask:
            raise SourceFault(Cause.MALFORMED, f"{pair}: the bid is above the ask")
        return Observation(pair, (bid + ask) // 2, age_of(seconds_of(field(data, "E"), per_second=1000), time.time()))
