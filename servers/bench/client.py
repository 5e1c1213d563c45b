"""The load client for machines without h2load: the same options, in Python. Slower, so it says less about fast servers.

gRPC only. Requests go out as raw bytes; a body of several messages is a stream.
"""

import argparse
import asyncio
import struct
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import uvloop

HEADER = struct.Struct(">BI")
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
FAILED = 500


@dataclass(frozen=True, slots=True)
class Task:
    """What every caller does."""

    address: str
    path: str
    messages: list[bytes]
    metadata: tuple[tuple[str, str], ...]
    interval_s: float
    end_s: float


def messages(body: bytes) -> list[bytes]:
    """The messages of a length-framed body."""
    found, at = [], 0
    while at < len(body):
        _, length = HEADER.unpack_from(body, at)
        at += HEADER.size
        found.append(body[at : at + length])
        at += length
    return found


async def call(channel: grpc.aio.Channel, task: Task) -> None:
    """One request to its end."""
    if len(task.messages) == 1:
        unary: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(task.path)
        await unary(task.messages[0], metadata=task.metadata)
        return

    async def requests() -> AsyncIterator[bytes]:
        for message in task.messages:
            yield message

    stream: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(task.path)
    async for _ in stream(requests(), metadata=task.metadata):
        pass


async def caller(task: Task, log: list[str]) -> None:
    """Calls one after the other until the time is over; the one that is on its way then is cut off."""
    async with grpc.aio.insecure_channel(task.address, options=OWN_CONNECTION) as channel:
        await channel.channel_ready()
        due_s = time.monotonic()
        while (left_s := task.end_s - time.monotonic()) > 0:
            begun_s, begun_us = time.monotonic(), time.time_ns() // 1000
            status = 200
            try:
                async with asyncio.timeout(left_s):
                    await call(channel, task)
            except TimeoutError:
                return
            except grpc.aio.AioRpcError as error:
                sys.stderr.write(f"{error.code().name}: {error.details()}\n")
                status = FAILED
            log.append(f"{begun_us}\t{status}\t{(time.monotonic() - begun_s) * 1e6:.0f}\n")
            due_s += task.interval_s
            if task.interval_s and due_s > time.monotonic():
                await asyncio.sleep(due_s - time.monotonic())


def options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-c", type=int, default=1, dest="callers")
    parser.add_argument("-m", type=int, default=1, dest="streams")
    parser.add_argument("-D", type=lambda text: float(text.removesuffix("ms")) / 1000, dest="seconds")
    parser.add_argument("-d", type=Path, dest="body")
    parser.add_argument("-H", action="append", default=[], dest="headers")
    parser.add_argument("--log-file", type=Path)
    parser.add_argument("--rps", type=float, default=0.0)
    parser.add_argument("url")
    return parser.parse_args(arguments)


async def run(given: argparse.Namespace) -> None:
    url = urlsplit(given.url)
    pairs = [header.split(": ", 1) for header in given.headers]
    task = Task(
        address=url.netloc,
        path=url.path,
        messages=messages(given.body.read_bytes()),
        metadata=tuple((name, value) for name, value in pairs if name == "authorization"),
        interval_s=1 / given.rps if given.rps else 0.0,
        end_s=time.monotonic() + given.seconds,
    )
    log: list[str] = []
    await asyncio.gather(*(caller(task, log) for _ in range(given.callers)))
    given.log_file.write_text("".join(log))


if __name__ == "__main__":
    uvloop.run(run(options(sys.argv[1:])))
