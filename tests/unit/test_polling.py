"""The switches that gRPC is given are ones that it knows, and what somebody else has set stays."""

import subprocess
import sys

import pytest

from servers.polling import OLDER, VARIABLE

# A server, as gRPC looks at its switches when the first is made at the latest.
PROGRAM = f"""
import servers
import asyncio, os
import grpc

async def main():
    server = grpc.aio.server()
    server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await server.stop(0)

asyncio.run(main())
print(os.environ["{VARIABLE}"])
"""


@pytest.mark.parametrize(
    ("given", "set_to", "unknown"), [(None, OLDER, False), ("", "", False), ("-none", "-none", True)]
)
def test_grpc_knows_what_it_is_told(
    monkeypatch: pytest.MonkeyPatch, given: str | None, set_to: str, *, unknown: bool
) -> None:
    if given is None:
        monkeypatch.delenv(VARIABLE, raising=False)
    else:
        monkeypatch.setenv(VARIABLE, given)
    monkeypatch.delenv("GRPC_VERBOSITY", raising=False)
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"{set_to}\n"
    assert ("Unknown experiment" in done.stderr) == unknown
