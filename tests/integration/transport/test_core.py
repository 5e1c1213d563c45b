"""The server on gRPC's core, in both of its ways to wait for events: every kind of call, and every way in which one ends."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from typing import Any, cast

import grpc
import pytest
from grpc.aio import AioRpcError

from servers.polling import VARIABLE
from servers.transport import events
from tests.integration.transport import served

pytestmark = pytest.mark.asyncio
# How gRPC waits for sockets; with its own choice there is no set of them that the loop could wait for.
WAYS = {"loop": None, "thread": ""}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# So seldom that what waits for a look is seen to.
LOOK_EVERY_S = 0.2


@contextmanager
def begun(first: str, given: str | None, look_s: float = LOOK_EVERY_S) -> Iterator["subprocess.Popen[str]"]:
    """The program, with a module imported first and gRPC's switches as given."""
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    if given is not None:
        environment[VARIABLE] = given
    begin = f"import {first}, servers, runpy; runpy.run_module({served.__name__!r}, run_name='__main__')"
    program = subprocess.Popen(
        [sys.executable, "-c", begin, "1.0", str(look_s)], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        yield program
    finally:
        program.kill()
        program.wait()
        assert program.stdout is not None
        program.stdout.close()


def port_of(program: "subprocess.Popen[str]") -> int:
    assert program.stdout is not None
    return int(program.stdout.readline())


@pytest.fixture
def program(way: str) -> Iterator["subprocess.Popen[str]"]:
    # As a process of the venue begins: how gRPC waits is chosen before it is there.
    with begun("servers", WAYS[way]) as program:
        yield program


@pytest.fixture
def port(program: "subprocess.Popen[str]") -> int:
    return port_of(program)


@pytest.fixture
async def channel(port: int) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as made:
        yield made


async def ask(channel: Any, name: str, raw: bytes = b"", **how: Any) -> bytes:
    answer: bytes = await channel.unary_unary(f"/t/{name}")(raw, **how)
    return answer


async def state(channel: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await ask(channel, "state"))
    return found


async def until(channel: Any, **wanted: object) -> None:
    """Until the server says so of itself."""
    async with asyncio.timeout(10):
        while True:
            if wanted.items() <= (await state(channel)).items():
                return
            await asyncio.sleep(0.01)


async def test_the_loop_waits_itself_where_it_can(channel: Any, way: str) -> None:
    assert (await state(channel))["in_loop"] == (way == "loop")


async def test_no_event_waits_for_a_look(channel: Any) -> None:
    began = asyncio.get_running_loop().time()
    for _ in range(300):
        await ask(channel, "echo", b"x")
    # Each would wait for as long as the server looks seldom.
    assert asyncio.get_running_loop().time() - began < 300 * LOOK_EVERY_S / 4


async def test_many_connections_of_which_most_say_nothing_that_matters(channel: Any, port: int) -> None:
    """Core deals with one of them each time it is asked for an event; what others say is none, and no call waits for it."""
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as held:
        writers = [(await asyncio.open_connection("127.0.0.1", port))[1] for _ in range(40)]
        for writer in writers:
            held.callback(writer.close)
            # HTTP/2's preface and empty settings.
            writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        await ask(channel, "echo", b"x")
        began = loop.time()
        for _ in range(40):
            for writer in writers:
                # The window of the connection, larger by one.
                writer.write(bytes([0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1]))
            await ask(channel, "echo", b"x")
        assert loop.time() - began < 8 * LOOK_EVERY_S


async def test_where_no_socket_tells_of_calls_a_thread_waits_for_long() -> None:
    """Here gRPC was there first, and waits elsewhere than it was told to."""
    with begun("grpc", None, 0.02) as program:
        port = port_of(program)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert (await state(channel))["in_loop"]
            for _ in range(events.UNTOLD_MAX):
                await ask(channel, "echo", b"x")
            await until(channel, in_loop=False)
            await ask(channel, "dial", b"127.0.0.1:%d" % port)
            await ask(channel, "dial")
            await asyncio.sleep(0.1)
            assert not (await state(channel))["in_loop"]


async def test_calls_of_every_kind_are_answered(channel: Any) -> None:
    messages = [str(number).encode() * 50 for number in range(300)]
    assert await asyncio.gather(*(ask(channel, "echo", each) for each in messages)) == messages
    assert [each async for each in channel.unary_stream("/t/count")(b"500")] == [str(n).encode() for n in range(500)]
    talk = channel.stream_stream("/t/talk")(iter(messages))
    assert [each async for each in talk] == [*messages, b"bye"]
    generated = channel.stream_stream("/t/generate")(iter(messages))
    assert [each async for each in generated] == [each + each for each in messages]
    # Nothing is kept of what is over; the one that asks is there.
    await until(channel, calls=1)


async def test_a_call_knows_what_came_with_it_and_tells_what_goes_with_its_answer(channel: Any) -> None:
    call = channel.unary_unary("/t/about")(b"", timeout=20, metadata=(("a", "1"), ("b", "2")))
    told = json.loads(await call)
    assert told["peer"].startswith("ipv4:127.0.0.1:")
    assert 10 < told["left"] < 21
    assert told["came"]["a"] == "1"
    assert told["came"]["b"] == "2"
    assert ("first", "1") in list(await call.initial_metadata() or ())
    assert ("last-bin", b"\0\xff") in list(await call.trailing_metadata() or ())
    assert json.loads(await ask(channel, "about"))["left"] is None


@pytest.mark.parametrize(
    ("name", "raw", "code", "details"),
    [
        ("refuse", b"", grpc.StatusCode.FAILED_PRECONDITION, "no: \u00fc"),
        ("fail", b"", grpc.StatusCode.INTERNAL, "internal error"),
        ("nothing", b"", grpc.StatusCode.UNIMPLEMENTED, "no such method"),
        ("echo", bytes(100_001), grpc.StatusCode.RESOURCE_EXHAUSTED, ""),
    ],
)
async def test_a_call_ends_with_the_status_it_deserves(
    channel: Any, name: str, raw: bytes, code: grpc.StatusCode, details: str
) -> None:
    with pytest.raises(AioRpcError) as failed:
        await ask(channel, name, raw)
    assert failed.value.code() is code
    assert details in (failed.value.details() or "")
    assert await ask(channel, "echo", b"still") == b"still"
    await until(channel, calls=1)


async def test_a_call_without_a_message_is_told_so(channel: Any) -> None:
    with pytest.raises(AioRpcError) as failed:
        await channel.stream_unary("/t/echo")(iter(()))
    assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_who_leaves_or_comes_to_his_deadline_ends_the_handler(channel: Any) -> None:
    left = channel.unary_unary("/t/stay")(b"")
    await until(channel, calls=2)
    left.cancel()
    await until(channel, cancelled=1, calls=1)
    with pytest.raises(AioRpcError) as failed:
        await ask(channel, "stay", timeout=0.2)
    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await until(channel, cancelled=2, calls=1)


async def test_calls_that_are_gone_before_they_were_begun_leave_nothing(channel: Any) -> None:
    for name in ("talk", "nothing"):
        for _ in range(50):
            channel.stream_stream(f"/t/{name}")().cancel()
    for _ in range(50):
        channel.unary_unary("/t/stay")(b"").cancel()
        await asyncio.sleep(0)
    await until(channel, calls=1)


@pytest.mark.parametrize("rude", [True, False])
async def test_a_handler_that_cleans_up_longer_than_its_call_lasts(
    program: "subprocess.Popen[str]", port: int, *, rude: bool
) -> None:
    """Core ends the process for whatever is asked of it after its end."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = cast("Any", channel).unary_unary("/t/linger")(b"")
        await until(channel, calls=2)
        if rude:
            call.cancel()
        program.terminate()
        with suppress(AioRpcError, asyncio.CancelledError):
            await call
    assert await asyncio.to_thread(program.wait, 10) == 0
    assert program.stdout is not None
    assert program.stdout.read() == "cleaned\nended\n"


async def test_a_stream_whose_reader_is_gone_is_over(channel: Any) -> None:
    stream = channel.unary_stream("/t/count")(b"100000000")
    await stream.read()
    stream.cancel()
    talk = channel.stream_stream("/t/talk")()
    await talk.write(b"x")
    assert await talk.read() == b"x"
    talk.cancel()
    await until(channel, calls=1)


async def test_a_connection_that_breaks_ends_its_calls(channel: Any, port: int) -> None:
    own = (("grpc.use_local_subchannel_pool", 1),)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=own) as other:
        stay: Any = other.unary_unary("/t/stay")
        calls = [stay(b"") for _ in range(20)]
        await until(channel, calls=21)
        assert not any(call.done() for call in calls)
    await until(channel, cancelled=20, calls=1)


async def test_nothing_is_missed_while_channels_come_and_go(channel: Any, port: int, way: str) -> None:
    """Who waits for events changes under load, many times."""
    ended = False

    async def load(lane: int) -> int:
        count = 0
        while not ended:
            async with asyncio.timeout(10):
                assert await ask(channel, "echo", b"%d" % lane) == b"%d" % lane
            count += 1
        return count

    lanes = [asyncio.ensure_future(load(lane)) for lane in range(8)]
    for _ in range(8):
        await ask(channel, "dial", b"127.0.0.1:%d" % port)
        await until(channel, in_loop=False)
        await ask(channel, "dial")
        await until(channel, in_loop=way == "loop")
    ended = True
    assert all(count > 10 for count in await asyncio.gather(*lanes))


async def test_an_end_waits_for_calls_under_way_and_not_for_ever(
    channel: Any, program: "subprocess.Popen[str]", port: int
) -> None:
    soon, never = (channel.unary_unary(f"/t/{name}")(raw) for name, raw in (("late", b"0.3"), ("stay", b"")))
    await until(channel, calls=3)
    program.terminate()
    assert await soon == b"0.3"
    with pytest.raises(AioRpcError) as failed:
        await never
    assert failed.value.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    assert await asyncio.to_thread(program.wait, 10) == 0
    assert program.stdout is not None
    assert program.stdout.read() == "ended\n"
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as late:
        with pytest.raises(AioRpcError) as refused:
            await ask(late, "echo", timeout=2)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
