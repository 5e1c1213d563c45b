"""What the venue is compared with: the echo of this project, and a matching engine from the package index."""

import asyncio
import mmap
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from servers import polling
from servers.bench.echo import COUNT
from servers.bench.errors import BenchError
from servers.bench.venue import free_ports

PEER: Final = "matching-engine"
PEER_VERSION: Final = "0.1.1"
PEER_MARKETS: Final = "BTC-USDT:0.01:0.00001"
READY_S: Final = 15.0
INSTALL_S: Final = 120.0


class Echo:
    """The running echo."""

    def __init__(self, address: str, memory: mmap.mmap) -> None:
        self.address = address
        self._memory = memory

    async def count(self) -> int:
        """Orders answered so far."""
        number: int = COUNT.unpack_from(self._memory, 0)[0]
        return number


@asynccontextmanager
async def child(command: list[str], address: str, log: Path, environment: dict[str, str]) -> AsyncIterator[None]:
    """A server process that listens at the address. Raises BenchError with the end of its log where it does not."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output, env=environment)
    try:
        end_s = time.monotonic() + READY_S
        while not await listens(address):
            if process.returncode is not None or time.monotonic() > end_s:
                raise BenchError(f"{command[0]} does not start: {end_of(log)}")
            await asyncio.sleep(0.05)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


def end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-500:]


async def listens(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


@asynccontextmanager
async def echoing(folder: Path) -> AsyncIterator[Echo]:
    """The echo on a free port, with gRPC as it comes: without what the venue chooses or changes of it (decisions 30 and 32)."""
    count = folder / "echo.count"
    count.write_bytes(bytes(COUNT.size))
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    command = [sys.executable, "-m", "servers.bench.echo", str(port), str(count)]
    with count.open("r+b") as file, mmap.mmap(file.fileno(), COUNT.size) as memory:
        async with child(command, address, folder / "echo.log", dict(os.environ) | {polling.VARIABLE: ""}):
            yield Echo(address, memory)


async def output_of(command: list[str], wait_s: float) -> tuple[int, str]:
    """Exit code and output of a command; -1 where it cannot run or takes too long."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
    except OSError as error:
        return -1, str(error)
    try:
        async with asyncio.timeout(wait_s):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return -1, "took too long"
    return process.returncode or 0, output.decode(errors="replace").strip()


async def prepare_peer(given: Path | None, folder: Path) -> Path | str:
    """The peer's program in an environment of its own, or in a line why there is none."""
    python = str(given) if given else shutil.which("python3.12")
    if not python:
        return "there is no python3.12 on PATH, and VENUE_PYTHON312 names none"
    code, told = await output_of([python, "-c", "import sys; print(sys.version_info >= (3, 12))"], READY_S)
    if code or told != "True":
        return f"{python} does not run Python 3.12: {told.splitlines()[0] if told else 'no output'}"
    environment = folder / "peer-environment"
    code, told = await output_of([python, "-m", "venv", str(environment)], INSTALL_S)
    if not code:
        wanted = f"{PEER}[gateway]=={PEER_VERSION}"
        code, told = await output_of([str(environment / "bin" / "pip"), "install", "-q", wanted], INSTALL_S)
    if code:
        return f"{PEER} {PEER_VERSION} cannot be installed: {told.splitlines()[-1] if told else code}"
    return environment / "bin" / PEER


@asynccontextmanager
async def peering(program: Path, folder: Path) -> AsyncIterator[str]:
    """The peer on a free port, its log flushed at every commit. Yields its address."""
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    settings = {"ME_DATA_DIR": str(folder / "peer"), "ME_MARKETS": PEER_MARKETS, "ME_FSYNC": "1"}
    command = [str(program), "serve", "--host", "127.0.0.1", "--port", str(port)]
    async with child(command, address, folder / "peer.log", dict(os.environ) | settings):
        yield address
