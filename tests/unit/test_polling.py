"""gRPC's threads that hand events on have nothing to do in a process of the venue."""

import subprocess
import sys
from pathlib import Path

import pytest

from servers.polling import VARIABLE

CALLS = 1000
# A server, a client in a process of its own, and what the event engine's threads have worked meanwhile, in ms.
PROGRAM = f"""
import servers
import asyncio, os, sys
from pathlib import Path
import grpc

CLIENT = '''
import sys, grpc
call = grpc.insecure_channel(sys.argv[1]).unary_unary("/echo/Call")
for _ in range({CALLS}):
    assert call(b"x") == b"x"
'''

async def answer(request, _context):
    return request

async def main():
    server = grpc.aio.server()
    methods = {{"Call": grpc.unary_unary_rpc_method_handler(answer)}}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    client = await asyncio.create_subprocess_exec(sys.executable, "-c", CLIENT, f"127.0.0.1:{{port}}")
    assert await client.wait() == 0
    threads = [task for task in Path("/proc/self/task").iterdir() if (task / "comm").read_text() == "event_engine\\n"]
    print(sum(int((task / "schedstat").read_text().split()[0]) for task in threads) / 1e6)
    await server.stop(0)

asyncio.run(main())
"""

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/schedstat").exists(), reason="the kernel does not count threads' time"
)


def worked_ms(monkeypatch: pytest.MonkeyPatch, given: str | None) -> float:
    if given is None:
        monkeypatch.delenv(VARIABLE, raising=False)
    else:
        monkeypatch.setenv(VARIABLE, given)
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    # An unknown name is told here.
    assert "experiment" not in done.stderr
    return float(done.stdout)


def test_events_are_not_handed_from_thread_to_thread_unless_somebody_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    handed_ms = worked_ms(monkeypatch, "")
    # Some of it is the threads' own beginning.
    assert worked_ms(monkeypatch, None) < handed_ms / 4
