"""A proxy between the gateway and a server that does to the bytes what networks do."""

import asyncio
import socket
import struct
import threading
from contextlib import suppress
from enum import StrEnum
from typing import Any

PIECE_BYTES = 65_536
DELAY_S = 0.2
RESET = struct.pack("ii", 1, 0)


class Fault(StrEnum):
    NONE = "none"
    # What is sent stays where it is, nobody is told: a half-open connection.
    SILENT = "silent"
    DELAYED = "delayed"
    BYTEWISE = "bytewise"
    # What the server says is lost; the connections are of no use afterwards.
    UNANSWERED = "unanswered"


class FaultProxy:
    """Listens on a port of its own and passes on to another one. Runs in a thread; `close` ends it."""

    def __init__(self, behind: int) -> None:
        self._fault = Fault.NONE
        # Cleared while nothing is passed on.
        self._passing = asyncio.Event()
        self._passing.set()
        self.port = 0
        self._behind = behind
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        ready.wait(10)

    @property
    def fault(self) -> Fault:
        """What is done to the bytes from now on."""
        return self._fault

    @fault.setter
    def fault(self, fault: Fault) -> None:
        self._fault = fault
        self._loop.call_soon_threadsafe(self._passing.clear if fault is Fault.SILENT else self._passing.set)

    def _run(self, ready: threading.Event) -> None:
        async def listen() -> None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self.port = self._server.sockets[0].getsockname()[1]
            ready.set()

        self._loop.run_until_complete(listen())
        self._loop.run_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._behind)
        except OSError:
            writer.close()
            return
        both = {writer, far_writer}
        self._writers |= both
        ways = [
            asyncio.ensure_future(self._pass(reader, far_writer, Fault.NONE)),
            asyncio.ensure_future(self._pass(far_reader, writer, Fault.UNANSWERED)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for each in both:
            each.close()
        self._writers -= both

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, losing: Fault) -> None:
        """Under the fault `losing` nothing that comes this way arrives."""
        with suppress(ConnectionError):
            while data := await reader.read(PIECE_BYTES):
                await self._passing.wait()
                if losing is not Fault.NONE and self.fault is losing:
                    continue
                if self.fault is Fault.DELAYED:
                    await asyncio.sleep(DELAY_S)
                pieces = [data[at : at + 1] for at in range(len(data))] if self.fault is Fault.BYTEWISE else [data]
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    if len(pieces) > 1:
                        await asyncio.sleep(0)

    def reset_all(self) -> None:
        """Every connection ends at once, by a reset."""

        def reset() -> None:
            for writer in list(self._writers):
                connection: Any = writer.get_extra_info("socket")
                with suppress(OSError):
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                writer.transport.abort()

        self._loop.call_soon_threadsafe(reset)

    def close(self) -> None:
        async def end() -> None:
            self._server.close()
            self._passing.set()
            # What passes bytes on ends by itself once its connections are gone, and closes them in order.
            for writer in list(self._writers):
                writer.transport.abort()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            if others:
                await asyncio.wait(others, timeout=5)
            await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
