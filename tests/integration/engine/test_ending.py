"""An order process that is told to stop ends by itself, also where its database is gone for good."""

import asyncio
import os
import signal
import sys
import time
import uuid
from pathlib import Path

import grpc
import pytest

from servers.auth.keys import SigningKeys
from servers.domain.errors import PartUnavailable
from servers.embedded.state import State
from servers.transport.call import INTERNAL_KEY
from tests.integration.engine.conftest import Lead
from tests.integration.engine.leading import PARTITION, USER, until
from tests.integration.engine.line import line
from tests.servers import free_port
from venue.account.v1 import account_pb2
from venue.auth.v1 import auth_pb2, auth_pb2_grpc
from venue.engine.v1 import engine_pb2 as pb
from venue.engine.v1 import engine_pb2_grpc

PROCESS_S = 60.0


async def test_a_stop_without_a_database_ends_and_says_that_the_outcome_is_unknown(
    lead: Lead, database_url: str
) -> None:
    async with line(database_url) as (address, between):
        led = await lead(through=address)
        account_id = await led.open_account()
        between.refuses = True
        between.cut()
        placing = asyncio.ensure_future(led.place(account_id))
        await until(lambda: led.sequencer._flying is not None)
        async with asyncio.timeout(PROCESS_S):
            await led.stop()
        with pytest.raises(PartUnavailable):
            await placing


class Keys(auth_pb2_grpc.AuthServiceServicer):
    """Stands where a process looks for the keys of tokens."""

    def __init__(self, folder: Path) -> None:
        self._keys = SigningKeys(folder)

    async def GetJwks(self, request: auth_pb2.GetJwksRequest, context: object) -> auth_pb2.GetJwksResponse:
        return auth_pb2.GetJwksResponse(keys=[auth_pb2.JsonWebKey(**key) for key in self._keys.jwks()])


def opening() -> pb.SubmitRequest:
    body = pb.OpenAccount(account_id=f"demo-{uuid.uuid4().hex}", type=account_pb2.ACCOUNT_TYPE_DEMO)
    command = pb.Command(user_id=USER, open_account=body)
    return pb.SubmitRequest(correlation_id=1, partition=PARTITION, commands=[command])


async def test_an_order_process_ends_on_sigterm_before_its_supervisor_kills_it(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    ports = {name: free_port() for name in ("ORDER_PORT", "ORDER_METRICS_PORT", "API_PORT")}
    keys = grpc.aio.server()
    auth_pb2_grpc.add_AuthServiceServicer_to_server(Keys(tmp_path / "keys"), keys)
    keys.add_insecure_port(f"127.0.0.1:{ports['API_PORT']}")
    await keys.start()
    async with line(database_url) as (address, between):
        told = {"STATE_DIR": tmp_path, "DATABASE_URL": address, "REDIS_URL": redis_url, **ports}
        environment = os.environ | {f"VENUE_{name}": str(value) for name, value in told.items()}
        log = (tmp_path / "order.log").open("wb")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "servers.main", "order", env=environment, stdout=log, stderr=log
        )
        try:
            async with asyncio.timeout(PROCESS_S), grpc.aio.insecure_channel(f"127.0.0.1:{ports['ORDER_PORT']}") as to:
                stub = engine_pb2_grpc.EngineServiceStub(to)
                metadata = ((INTERNAL_KEY, State(tmp_path).secret("internal")),)
                submitting = stub.Submit(metadata=metadata, wait_for_ready=True)
                await submitting.write(opening())
                assert not (await submitting.read()).results[0].HasField("error")
                between.refuses = True
                between.cut()
                # It is executed and waits for its commit.
                await submitting.write(opening())
                await until(lambda: b"journal away" in (tmp_path / "order.log").read_bytes())
                begun_s = time.monotonic()
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0, (tmp_path / "order.log").read_text()[-3000:]
                print(f"ended after {time.monotonic() - begun_s:.1f} s")
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            log.close()
            await keys.stop(None)
