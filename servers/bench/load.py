"""Load from other processes: callers that send one body again and again, and a log line an answer.

`h2load` where there is one, as a client in Python takes more of the machine than the server it measures. The log has three
columns: when the request began (microseconds since 1970), the HTTP status, and how long it took (microseconds).
"""

import asyncio
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from servers.bench.errors import BenchError

GRPC_HEADERS: Final = ("content-type: application/grpc", "te: trailers")
LATE_S: Final = 20.0
# Streams that are open when the time is over are cut off, which is no failure.
OK: Final = 200


class Answer(NamedTuple):
    """One answered request; times in microseconds."""

    end_us: int
    took_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Callers of one body (None: a GET without one).

    `rate` is in requests a second of all of them together, None: as fast as answers come.
    """

    address: str
    path: str
    body: Path | None
    callers: int
    seconds: float
    token: str = ""
    rate: float | None = None
    grpc: bool = True

    @property
    def headers(self) -> list[str]:
        given = list(GRPC_HEADERS) if self.grpc else ["content-type: application/json"]
        return given + ([f"authorization: Bearer {self.token}"] if self.token else [])


class Client(NamedTuple):
    """A load client: what it is called in reports, and its program (empty: our own)."""

    name: str
    program: str

    @property
    def speaks_http1(self) -> bool:
        return bool(self.program)

    def command(self, load: Load, log: Path) -> list[str]:
        begin = [self.program] if self.program else [sys.executable, "-m", "servers.bench.client"]
        options = ["-c", str(load.callers), "-m", "1", "-D", f"{load.seconds * 1000:.0f}ms"]
        options += ["--log-file", str(log)]
        if load.body is not None:
            options += ["-d", str(load.body)]
        if load.rate is not None:
            options += ["--rps", f"{load.rate / load.callers:.6f}"]
        if not load.grpc:
            options.append("--h1")
        for header in load.headers:
            options += ["-H", header]
        return [*begin, *options, f"http://{load.address}{load.path}"]


def find_client() -> Client:
    program = shutil.which("h2load")
    return Client("h2load", program) if program else Client("the venue's own client in Python", "")


class Running:
    """Loads that have begun."""

    def __init__(self, processes: Sequence[asyncio.subprocess.Process], logs: Sequence[Path], seconds: float) -> None:
        self._processes = processes
        self._logs = logs
        self._seconds = seconds

    async def answers(self) -> list[Answer]:
        """All answers, once every load has ended. Raises BenchError."""
        try:
            async with asyncio.timeout(self._seconds + LATE_S):
                outputs = await asyncio.gather(*(process.communicate() for process in self._processes))
        except TimeoutError:
            raise BenchError("a load client does not end") from None
        finally:
            self.kill()
        for process, (output, _) in zip(self._processes, outputs, strict=True):
            if process.returncode:
                raise BenchError(f"a load client failed: {output.decode(errors='replace').strip()[-300:]}")
        return [answer for log in self._logs for answer in read_log(log)]

    @property
    def ended(self) -> bool:
        """One of them is over."""
        return any(process.returncode is not None for process in self._processes)

    def kill(self) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.kill()


async def start(client: Client, loads: Sequence[Load], folder: Path) -> Running:
    """Start a process a load."""
    processes, logs = [], []
    for number, load in enumerate(loads):
        log = folder / f"load{number}.log"
        log.unlink(missing_ok=True)
        logs.append(log)
        command = client.command(load, log)
        processes.append(
            await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
            )
        )
    return Running(processes, logs, max(load.seconds for load in loads))


def read_log(log: Path) -> list[Answer]:
    """Raises BenchError where an answer was no success."""
    answers = []
    for line in log.read_text().splitlines() if log.exists() else ():
        begun_us, status, took_us = (int(column) for column in line.split())
        if status != OK:
            raise BenchError(f"an answer had the HTTP status {status}")
        answers.append(Answer(begun_us + took_us, took_us))
    return answers
