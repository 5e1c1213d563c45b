"""How gRPC's thread wakes the loop. What is put into gRPC is put into a process of its own: tests of this one go without."""

import json
import os
import subprocess
import sys
from types import ModuleType

import pytest
from structlog.testing import capture_logs

from servers.transport import wakeups

CALLS = 300
# Answers calls of a client in the same process, and tells what gRPC read from its pipe.
SERVES = f"""
import asyncio, json, time
import grpc
from servers.transport import wakeups

reads = []
read = wakeups.End.recv
wakeups.End.recv = lambda self, size: (reads.append(read(self, size)), reads[-1])[1]
wakeups.gather_wakeups()


class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(self.answer)

    async def answer(self, request, context):
        # A loop that is busy finds more than one event when it comes back.
        time.sleep(0.001)
        return request


async def main():
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{{port}}") as channel:
        call = channel.unary_unary("/echo/Echo")
        answers = await asyncio.gather(*[call(b"%d" % n) for n in range({CALLS})])
    await server.stop(None)
    print(json.dumps([[int(a) for a in answers], [len(r) for r in reads]]))


asyncio.run(main())
"""


def test_all_events_that_came_are_read_at_once() -> None:
    # That the server went away is no news.
    quiet = os.environ | {"GRPC_VERBOSITY": "ERROR"}
    done = subprocess.run(
        [sys.executable, "-c", SERVES], capture_output=True, text=True, check=True, timeout=60, env=quiet
    )
    answers, reads = json.loads(done.stdout)
    assert answers == list(range(CALLS))
    # A call is at least four events, on either side.
    assert sum(reads) >= 4 * CALLS
    assert max(reads) > 1
    assert len(reads) < sum(reads) / 2
    assert not done.stderr


def test_an_end_is_read_whole_and_closed_once() -> None:
    reading, writing = wakeups.pair()
    for end in (reading, writing):
        end.setblocking(False)
    assert reading.recv(1) == b""
    os.write(writing.fileno(), b"123")
    assert reading.recv(1) == b"123"
    for end in (reading, writing):
        end.close()
        end.close()
        assert end.fileno() == -1


@pytest.mark.parametrize("inside", [ModuleType("without"), None])
def test_where_grpc_asks_in_another_way_it_stays_as_it_was(
    inside: ModuleType | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, wakeups.ASYNC_PART, inside)
    with capture_logs() as logs:
        wakeups.gather_wakeups()
    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert not hasattr(inside, "socket")
