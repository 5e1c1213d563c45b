"""Time: what is due happens, also in an idle machine, and not because a clock jumped."""

import asyncio
import time
from datetime import UTC, datetime

import pytest
import structlog

from db.session import Connection
from tests.integration.engine.conftest import Lead
from tests.integration.engine.leading import commands, place, projecting, until
from venue.engine.v1 import engine_pb2 as pb
from venue.marketdata.v1 import marketdata_pb2
from venue.order.v1 import order_pb2


def until_then(account_id: str, after_s: float) -> pb.Command:
    command = place(account_id, time_in_force=order_pb2.TIME_IN_FORCE_GTD)
    command.place_order.expire_time.FromNanoseconds(time.time_ns() + int(after_s * 1e9))
    return command


async def test_an_order_ends_at_its_time_though_nothing_else_happens(lead: Lead, database: Connection) -> None:
    led = await lead()
    account_id = await led.open_account()
    await led.submit(until_then(account_id, 1.0))
    await led.submit(until_then(account_id, 60))
    await until(lambda: len(led.exchange.floor.orders) == 1)
    await led.sequencer.settled(led.exchange.clock.sequence)
    *_, order, _, advance = await commands(database)
    assert advance.HasField("advance")
    expires_us = order.place_order.expire_time.ToMicroseconds()
    assert 0 <= advance.time_us - expires_us < 10_000_000
    assert (await led.balances(account_id))["USD"][1] == "501"


async def test_time_passes_before_the_command_that_comes_at_that_time(lead: Lead, database: Connection) -> None:
    led = await lead()
    account_id = await led.open_account()
    other = await led.open_account("user-2")
    await led.submit(until_then(account_id, 0.5))
    time.sleep(0.55)  # noqa: ASYNC251  # the loop must not get to its own timers
    sold = await led.place(other, user_id="user-2", side=2)
    assert sold.fills == []
    kinds = [command.WhichOneof("body") for command in await commands(database)]
    assert kinds[-2:] == ["advance", "place_order"]


async def test_a_clock_that_jumps_expires_nothing(lead: Lead, monkeypatch: pytest.MonkeyPatch) -> None:
    led = await lead()
    account_id = await led.open_account()
    await led.submit(until_then(account_id, 1.5))
    true_ns, ahead_ns = time.time_ns, 3600 * 10**9
    with structlog.testing.capture_logs() as told:
        monkeypatch.setattr(time, "time_ns", lambda: true_ns() + ahead_ns)
        await asyncio.sleep(1.8)
        assert len(led.exchange.floor.orders) == 1
        placed = await led.place(account_id)
        assert abs(placed.order.create_time.ToNanoseconds() - true_ns()) < 10**11
        monkeypatch.setattr(time, "time_ns", true_ns)
        await until(lambda: list(led.exchange.floor.orders) == [placed.order.sequence])
    assert [line["event"] for line in told if line["log_level"] == "critical"] == [
        "the wall clock jumped; timers are suspended"
    ]


async def test_stamps_never_go_back(lead: Lead, database: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    led = await lead()
    account_id = await led.open_account()
    first = await led.place(account_id)
    await led.stop()
    true_ns = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: true_ns() - 3600 * 10**9)
    second = await lead()
    later = await second.place(account_id)
    assert later.order.create_time.ToNanoseconds() >= first.order.create_time.ToNanoseconds()


async def test_the_tables_and_who_loads_them_know_of_hours_that_moved_the_end_of_a_day(
    lead: Lead, database: Connection, database_url: str, redis_url: str
) -> None:
    first = await lead()
    account_id = await first.open_account()

    async def written(expire_us: int) -> None:
        at = datetime.fromtimestamp(expire_us / 1e6, UTC)
        found = None
        while found is None:
            await asyncio.sleep(0.01)
            found = await (await database.execute("SELECT 1 FROM orders WHERE expire_time = %s", [at])).fetchone()

    async with projecting(database_url, redis_url), asyncio.timeout(20):
        placed = await first.place(account_id, time_in_force=order_pb2.TIME_IN_FORCE_DAY)
        order = first.exchange.floor.orders[placed.order.sequence]
        midnight = order.expire_time
        await written(midnight)
        # To the second before the last of each day.
        days = [marketdata_pb2.TradingHours(weekday=day, open_second=0, close_second=86_399) for day in range(1, 8)]
        await first.submit(pb.Command(set_trading_hours=pb.SetTradingHours(symbol="BTC-USD", hours=days)))
        assert order.expire_time < midnight
        await written(order.expire_time)
    await first.stop()
    second = await lead()
    assert second.exchange.floor.orders[order.number].expire_time == order.expire_time
    assert second.exchange.next_deadline() == order.expire_time
