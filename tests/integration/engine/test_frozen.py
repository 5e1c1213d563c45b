"""A leader that is frozen: its connections stand, and nothing is heard on them. Others lead, and who waited goes to them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from servers.domain.errors import PartUnavailable
from servers.engine import line as engine_line
from servers.engine.remote import RemoteEngine
from servers.engine.trading import RoutedEngine
from tests.integration.engine.conftest import Lead
from tests.integration.engine.leading import PARTITION, USER, Led, place, until
from tests.integration.engine.line import Line, line
from tests.integration.engine.test_remote import remote, served
from tests.servers import free_port
from venue.engine.v1 import engine_pb2 as pb

LEASE_S = 0.6
# The lease, a look at the fence, what the old leader told before, and time for a busy machine.
GONE_S = 3.0
SEQUENCE = pb.QueryRequest(partition=PARTITION, sequence=pb.SequenceQuery())


@dataclass
class Frozen:
    """A leader, everything between it and the others, and one who reaches it from another process."""

    led: Led
    lines: list[Line]
    engine: RemoteEngine
    account_id: str

    def freeze(self) -> None:
        for each in self.lines:
            each.hold()


@asynccontextmanager
async def leader(lead: Lead, database_url: str, lease_s: float) -> AsyncIterator[Frozen]:
    port = free_port()
    async with line(database_url) as (through, to_database), line(f"http://127.0.0.1:{port}") as (url, to_callers):
        led = await lead(through=through, address=f"127.0.0.1:{url.rpartition(':')[2]}", lease_s=lease_s)
        account_id = await led.open_account()
        async with served(led, port), remote(led) as engine:
            await engine.submit([place(account_id)], None)
            yield Frozen(led, [to_database, to_callers], engine, account_id)
            for each in (to_database, to_callers):
                each.release()


async def test_who_waits_on_a_frozen_leader_is_told_and_finds_the_next_one(lead: Lead, database_url: str) -> None:
    port = free_port()
    async with leader(lead, database_url, LEASE_S) as old:
        engine, account_id = old.engine, old.account_id
        following = await engine.follow(account_id, USER, snapshot=False)
        old.freeze()
        frozen = time.monotonic()
        new = await lead(waits=True, address=f"127.0.0.1:{port}", lease_s=30.0)
        async with served(new, port), asyncio.timeout(10):
            pending = await engine.enqueue([place(account_id)], {})
            asked = asyncio.ensure_future(engine.query(SEQUENCE))
            with pytest.raises(PartUnavailable):
                await engine.submit([place(account_id)], None)
            (outcome,) = await pending.outcomes()
            assert isinstance(outcome, PartUnavailable)
            assert (await asked).position
            await until(lambda: following.follower.ended)
            assert time.monotonic() - frozen < GONE_S
            assert isinstance((await engine.submit([place(account_id)], None))[0], bytes)
        await new.stop()


async def test_who_follows_a_frozen_leader_is_told_where_its_own_process_leads_next(
    lead: Lead, database_url: str
) -> None:
    async with leader(lead, database_url, LEASE_S) as old:
        here = await lead(waits=True, lease_s=30.0)
        engine = RoutedEngine(here.engine, old.engine)
        following = await engine.follow(old.account_id, USER, snapshot=False)
        pending = await engine.enqueue([place(old.account_id)], {})
        assert isinstance((await pending.outcomes())[0], bytes)
        assert old.led.engine.is_leading
        old.freeze()
        frozen = time.monotonic()
        late = await engine.enqueue([place(old.account_id)], {})
        await until(lambda: following.follower.ended)
        assert here.engine.is_leading
        assert isinstance((await late.outcomes())[0], PartUnavailable)
        assert time.monotonic() - frozen < GONE_S
        engine.unfollow(following)
        again = await engine.follow(old.account_id, USER, snapshot=False)
        (told,) = await engine.submit([place(old.account_id)], None)
        assert isinstance(told, bytes)
        assert await again.follower.take()


async def test_a_leader_that_leads_on_is_left_where_its_machine_answers_no_ping(
    lead: Lead, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sooner = ("grpc.keepalive_time_ms", 500)
    others = [option for option in engine_line.CHANNEL_OPTIONS if option[0] != sooner[0]]
    monkeypatch.setattr(engine_line, "CHANNEL_OPTIONS", [*others, sooner])
    async with leader(lead, database_url, 30.0) as old:
        following = await old.engine.follow(old.account_id, USER, snapshot=False)
        old.lines[1].hold()
        await until(lambda: following.follower.ended, limit_s=8.0)
