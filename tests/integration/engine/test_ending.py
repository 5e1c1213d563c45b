"""An order process that is told to stop ends by itself, also where its database is gone for good."""

import asyncio
import os
import signal
import sys
import uuid
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format

from db.session import Connection
from servers.auth.keys import SigningKeys
from servers.domain.errors import PartUnavailable
from servers.embedded.state import State
from servers.engine.client import Engine, Engines
from servers.engine.transit import Transit
from servers.transport.call import INTERNAL_KEY
from tests.integration.engine.conftest import Lead
from tests.integration.engine.leading import PARTITION, USER, stalled, until
from tests.integration.engine.line import line
from tests.servers import free_port
from venue.account.v1 import account_pb2
from venue.auth.v1 import auth_pb2
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


def key_server(folder: Path) -> grpc.aio.Server:
    """Stands where a process looks for the keys of tokens."""
    answer = json_format.ParseDict({"keys": SigningKeys(folder).jwks()}, auth_pb2.GetJwksResponse())

    async def get_jwks(_request: bytes, _context: object) -> bytes:
        return answer.SerializeToString()

    server = grpc.aio.server()
    handlers: dict[str, Any] = {"GetJwks": grpc.unary_unary_rpc_method_handler(get_jwks)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("venue.auth.v1.AuthService", handlers),))
    return server


def opening() -> pb.SubmitRequest:
    body = pb.OpenAccount(account_id=f"demo-{uuid.uuid4().hex}", type=account_pb2.ACCOUNT_TYPE_DEMO)
    command = pb.Command(user_id=USER, open_account=body)
    return pb.SubmitRequest(correlation_id=1, partition=PARTITION, commands=[command])


async def test_an_order_process_ends_on_sigterm_before_its_supervisor_kills_it(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    ports = {name: free_port() for name in ("ORDER_PORT", "ORDER_METRICS_PORT", "API_PORT")}
    keys = key_server(tmp_path / "keys")
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
                opened: Any = await submitting.read()
                assert not opened.results[0].HasField("error")
                between.refuses = True
                between.cut()
                # It is executed and waits for its commit.
                await submitting.write(opening())
                await until(lambda: b"journal away" in (tmp_path / "order.log").read_bytes())
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0, (tmp_path / "order.log").read_text()[-3000:]
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            log.close()
            await keys.stop(None)


async def test_who_carries_transfers_waits_where_the_leader_ended_while_it_looked(
    lead: Lead, database: Connection
) -> None:
    led = await lead()
    nobody: Engines[Engine] = Engines({})
    carrying = asyncio.create_task(Transit(led.engine, nobody).run())
    sequencer = led.sequencer
    # The lease cannot be given back yet, so the machine that has ended is still there.
    async with stalled(database):
        stopping = asyncio.create_task(led.stop())
        await until(lambda: sequencer.ended is not None)
        sequencer.onward.set()
        await asyncio.sleep(0.1)
        assert led.engine.sequencer is sequencer
        assert not carrying.done()
    await stopping
    carrying.cancel()
