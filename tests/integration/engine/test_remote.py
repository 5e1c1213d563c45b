"""The engine over gRPC: the same answers, refusals and order as in the leader's own process."""

import asyncio
import itertools
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry

from db.session import Connection
from servers.domain.errors import InsufficientFunds, OrderNotFound, PartUnavailable, VenueError
from servers.engine.local import TAIL_ROWS
from servers.engine.remote import RemoteEngine
from servers.engine.servicer import EngineServicer
from servers.engine.trading import RoutedEngine, TradingEngine
from servers.transport.guard import Guard
from servers.transport.identity import TokenVerifier
from servers.transport.limits import Limits
from servers.transport.server import Server, build_server
from servers.transport.telemetry import Metrics
from servers.wiring.order import hand_over
from tests.integration.engine.conftest import Lead
from tests.integration.engine.leading import PARTITION, USER, Led, cancel, commands, journal, place, until
from tests.integration.engine.line import line
from tests.servers import free_port
from venue.account.v1 import account_pb2
from venue.engine.v1 import engine_pb2
from venue.engine.v1 import engine_pb2 as pb
from venue.order.v1 import order_service_pb2 as wire

SERVICE = engine_pb2.DESCRIPTOR.services_by_name["EngineService"]


async def nobody() -> dict[str, list[object]]:
    return {"keys": []}


@asynccontextmanager
async def served(led: Led, port: int, grace_s: float = 0.1) -> AsyncIterator[Server]:
    """The leader's process as others see it."""
    guard = Guard(TokenVerifier(nobody), Limits(), Metrics(CollectorRegistry()))
    server = build_server([(SERVICE, EngineServicer({PARTITION: led.engine}))], guard, internal=True)
    assert server.add_insecure_port(f"127.0.0.1:{port}") == port
    await server.start()
    try:
        yield server
    finally:
        await server.stop(grace_s)


@asynccontextmanager
async def remote(led: Led) -> AsyncIterator[RemoteEngine]:
    engine = RemoteEngine(PARTITION, led.pool)
    try:
        yield engine
    finally:
        await engine.close()


async def test_submit_query_and_tail_over_the_wire(lead: Lead, database: Connection) -> None:
    port = free_port()
    led = await lead(address=f"127.0.0.1:{port}")
    account_id = await led.open_account()
    async with served(led, port), remote(led) as engine:
        request_id = str(uuid.uuid4())
        batch = [place(account_id, request_id=request_id), cancel("2-99999"), place(account_id, request_id=request_id)]
        first, refused, again = await engine.submit(batch, 5.0)
        assert isinstance(first, bytes)
        assert isinstance(again, bytes)
        assert isinstance(refused, OrderNotFound)
        assert refused.metadata == {"order_id": "2-99999"}
        assert wire.PlaceOrderResponse.FromString(again).replayed
        transfer = pb.Transfer(
            transfer_id=str(uuid.uuid4()),
            debit_account_id=account_id,
            credit_account_id="venue:external",
            asset="USD",
            amount="99999999",
            kind=account_pb2.ENTRY_KIND_WITHDRAWAL,
        )
        (poor,) = await engine.submit([pb.Command(transfer=transfer)], None)
        assert isinstance(poor, InsufficientFunds)
        assert poor.metadata["needed"] == "99999999"
        balances = pb.BalancesQuery(user_id=USER, account_id=account_id)
        found = await engine.query(pb.QueryRequest(balances=balances))
        assert found.balances == (await led.engine.query(pb.QueryRequest(partition=2, balances=balances))).balances
        with pytest.raises(VenueError, match="account not found"):
            await engine.query(pb.QueryRequest(balances=pb.BalancesQuery(user_id="user-2", account_id=account_id)))
        rows = await journal(database)
        async for message in engine.tail(0):
            for row in (message, *message.following):
                kept = rows.pop(0)
                assert (row.first_sequence, row.commands, row.chain) == (kept.first_sequence, kept.commands, kept.chain)
            if not rows:
                break


async def test_rows_that_are_there_together_come_in_one_message(lead: Lead, database: Connection) -> None:
    port = free_port()
    led = await lead(address=f"127.0.0.1:{port}")
    account_id = await led.open_account()
    for _ in range(80):
        await led.place(account_id)
    rows = await journal(database)
    async with served(led, port), remote(led) as engine:
        messages, took = [], []
        async for first in engine.tail(0):
            messages.append(first)
            took += [first, *first.following]
            if len(took) == len(rows):
                break
    assert [(row.first_sequence, row.chain) for row in took] == [(row.first_sequence, row.chain) for row in rows]
    assert len(messages[0].following) == TAIL_ROWS - 1


async def test_many_callers_share_one_line(lead: Lead) -> None:
    port = free_port()
    led = await lead(address=f"127.0.0.1:{port}")
    account_id = await led.open_account()
    async with served(led, port), remote(led) as engine:
        results = await asyncio.gather(
            *(engine.submit([place(account_id, price=str(30_000 + n))], None) for n in range(200))
        )
        answers = [wire.PlaceOrderResponse.FromString(outcome) for (outcome,) in results]  # type: ignore[arg-type]
        assert [answer.order.price for answer in answers] == [str(30_000 + n) for n in range(200)]
        sequences = [answer.order.sequence for answer in answers]
        assert sequences == sorted(sequences)


async def test_the_client_finds_a_leader_that_moved_while_the_old_process_lives(
    lead: Lead, database: Connection, database_url: str
) -> None:
    old_port, new_port = free_port(), free_port()
    async with line(database_url) as (address, between):
        old = await lead(through=address, address=f"127.0.0.1:{old_port}", lease_s=0.6)
        account_id = await old.open_account()
        async with served(old, old_port), remote(old) as engine:
            await engine.submit([place(account_id, client_order_id="old")], None)
            between.hold()
            new = await lead(address=f"127.0.0.1:{new_port}", lease_s=30.0)
            between.release()
            await until(lambda: old.engine.sequencer is None)
            async with served(new, new_port):
                told = []
                for _ in range(50):
                    try:
                        (outcome,) = await engine.submit([place(account_id, client_order_id="new")], 2.0)
                    except VenueError as error:
                        outcome = error
                    told.append(outcome)
                    if isinstance(outcome, bytes):
                        break
                    assert outcome.code == "UNAVAILABLE"
                assert isinstance(told[-1], bytes)
                assert len(told) <= 3
            await old.stop()
    placed = [c.place_order.client_order_id for c in await commands(database) if c.HasField("place_order")]
    assert placed == ["old", "new"]


async def test_a_planned_change_of_leaders_fails_no_call_and_executes_each_order_once(
    lead: Lead, database: Connection
) -> None:
    """f12: many callers, who are answered by the one leader, by the next one, or once by either; some read."""
    ports = free_port(), free_port()
    old = await lead(address=f"127.0.0.1:{ports[0]}", lease_s=30.0)
    account_id = await old.open_account()
    asked = itertools.count()
    told: list[object] = []
    new = await lead(waits=True, address=f"127.0.0.1:{ports[1]}", lease_s=30.0)

    async def call(engine: TradingEngine, ending: asyncio.Event) -> None:
        while not ending.is_set():
            name = f"order-{next(asked)}"
            (outcome,) = await engine.submit([place(account_id, client_order_id=name, price="1")], 10.0)
            told.append(outcome if isinstance(outcome, VenueError) else name)
            found = await engine.query(pb.QueryRequest(partition=PARTITION, sequence=pb.SequenceQuery()))
            assert found.position

    async with remote(old) as elsewhere:
        here = RoutedEngine(old.engine, elsewhere)
        ending = asyncio.Event()
        async with served(new, ports[1]), asyncio.TaskGroup() as callers:
            async with served(old, ports[0], grace_s=5.0) as server:
                for _ in range(8):
                    callers.create_task(call(elsewhere, ending))
                    callers.create_task(call(here, ending))
                await until(lambda: len(told) > 100)
                await hand_over(server, old.stop)
            then = len(told)
            await until(lambda: len(told) > then + 100)
            assert new.engine.is_leading
            ending.set()
    assert [each for each in told if isinstance(each, VenueError)] == []
    placed = Counter(c.place_order.client_order_id for c in await commands(database) if c.HasField("place_order"))
    assert placed == Counter(told)


async def test_where_nobody_comes_to_lead_the_caller_is_told_in_time(lead: Lead) -> None:
    led = await lead(lease_s=30.0)
    account_id = await led.open_account()
    await led.stop()
    async with remote(led) as engine:
        for timeout_s in (0.5, None):
            with pytest.raises(PartUnavailable) as refused:
                async with asyncio.timeout(20):
                    await engine.submit([place(account_id)], timeout_s)
            assert refused.value.metadata == {"part": "the engine"}


async def test_the_client_comes_back_after_the_process_was_away(lead: Lead) -> None:
    port = free_port()
    led = await lead(address=f"127.0.0.1:{port}", lease_s=30.0)
    account_id = await led.open_account()
    async with remote(led) as engine:
        async with served(led, port):
            await engine.submit([place(account_id)], None)
        outcomes = await asyncio.gather(
            *(engine.submit([place(account_id)], 2.0) for _ in range(20)), return_exceptions=True
        )
        assert {getattr(outcome, "code", outcome) for outcome in outcomes} == {"UNAVAILABLE"}
        async with served(led, port), asyncio.timeout(10):
            while True:
                try:
                    (outcome,) = await engine.submit([place(account_id)], 2.0)
                except VenueError:
                    continue
                assert isinstance(outcome, bytes)
                break


async def test_a_server_that_stops_ends_its_streams_at_once(lead: Lead) -> None:
    port = free_port()
    led = await lead(address=f"127.0.0.1:{port}")
    account_id = await led.open_account()
    async with remote(led) as engine:
        async with served(led, port, grace_s=10.0):
            await engine.submit([place(account_id)], None)
            rows: list[pb.TailResponse] = []

            async def follow() -> None:
                async for row in engine.tail(led.sequencer.tail.sequence - 1):
                    rows.append(row)  # noqa: PERF401  # read while it grows

            following = asyncio.ensure_future(follow())
            await until(lambda: len(rows) == 1)
            stopping = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - stopping < 1.5
        await following
