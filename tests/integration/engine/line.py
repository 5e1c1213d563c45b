"""A line between a client and a server that a test can hold up or cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final
from urllib.parse import urlsplit, urlunsplit

CHUNK: Final = 65_536


class Line:
    """Relays bytes. `mute` holds back what the server says, `hold` both ways, `cut` ends the connections there are."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        # New connections are ended at once.
        self.refuses = False
        self._up = asyncio.Event()
        self._down = asyncio.Event()
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.release()

    def mute(self) -> None:
        self._down.clear()

    def hold(self) -> None:
        self._up.clear()
        self._down.clear()

    def release(self) -> None:
        self._up.set()
        self._down.set()

    def cut(self) -> None:
        """End every connection as a broken network does; what was held back is lost."""
        for task in self._tasks:
            task.cancel()
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()
        self.release()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.close()
            return
        there, back = await asyncio.open_connection(*self._target)
        self._open |= {writer, back}
        for source, sink, gate in ((reader, back, self._up), (there, writer, self._down)):
            task = asyncio.create_task(self._relay(source, sink, gate))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _relay(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, gate: asyncio.Event) -> None:
        with suppress(OSError):
            while data := await source.read(CHUNK):
                await gate.wait()
                sink.write(data)
                await sink.drain()
        sink.close()


@asynccontextmanager
async def line(url: str) -> AsyncIterator[tuple[str, Line]]:
    """An address that leads to the same database over a line of the test's own."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    made = Line(parts.hostname, parts.port)
    server = await asyncio.start_server(made.accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    login = parts.netloc.rpartition("@")[0]
    try:
        yield urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{port}")), made
    finally:
        server.close()
        made.cut()
        await asyncio.sleep(0)
