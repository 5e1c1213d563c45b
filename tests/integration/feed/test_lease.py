"""One collector a source: who has the lease writes, nobody else, and somebody else soon after it is gone."""

import asyncio
from contextlib import suppress

from redis.asyncio import Redis

from db import feeds
from db.feeds import STATES_KEY
from servers.feed.lease import Lease
from tests.integration.marketdata.stand import PATIENCE_S, until

TTL_MS = 60_000


async def test_a_lease_has_one_holder_and_its_epoch_counts_holders(bus: Redis) -> None:
    assert await feeds.claim(bus, "s", "ana", TTL_MS) == 1
    assert await feeds.claim(bus, "s", "ben", TTL_MS) == 0
    assert await feeds.claim(bus, "s", "ana", TTL_MS) == 1
    assert await feeds.claim(bus, "other", "ben", TTL_MS) == 1
    await feeds.release(bus, "s", "ben")
    assert await feeds.claim(bus, "s", "ben", TTL_MS) == 0
    await feeds.release(bus, "s", "ana")
    assert await feeds.claim(bus, "s", "ben", TTL_MS) == 2
    # One that ran out and is taken up by the same holder is another one.
    await feeds.release(bus, "s", "ben")
    assert await feeds.claim(bus, "s", "ben", TTL_MS) == 3


async def test_who_lost_a_lease_writes_nothing(bus: Redis) -> None:
    stale = await feeds.claim(bus, "s", "ana", TTL_MS)
    assert await feeds.write_quotes(bus, "s", stale, [("BTC-USD", 5, 100)])
    await feeds.release(bus, "s", "ana")
    assert not await feeds.write_quotes(bus, "s", stale, [("BTC-USD", 6, 0)])
    fresh = await feeds.claim(bus, "s", "ben", TTL_MS)
    assert not await feeds.write_quotes(bus, "s", stale, [("BTC-USD", 7, 0)])
    assert not await feeds.write_state(bus, "s", stale, "ana")
    assert (await feeds.read_quotes(bus, ["s"]))["s"]["BTC-USD"].price == 5
    assert await feeds.write_quotes(bus, "s", fresh, [("BTC-USD", 8, 0)])
    assert await feeds.write_state(bus, "s", fresh, "ben @ 1%")
    assert (await feeds.read_quotes(bus, ["s", "none"]))["s"]["BTC-USD"].price == 8
    assert (await feeds.read_texts(bus, STATES_KEY))["s"][1] == "ben @ 1%"


async def test_a_quote_grows_old_by_the_servers_clock(bus: Redis) -> None:
    epoch = await feeds.claim(bus, "s", "ana", TTL_MS)
    await feeds.write_quotes(bus, "s", epoch, [("BTC-USD", 10**30, 1_500)])
    (first,) = (await feeds.read_quotes(bus, ["s"]))["s"].values()
    assert first.price == 10**30
    assert first.age_ms - first.heard_ms == 1_500
    later = first
    async with asyncio.timeout(PATIENCE_S):
        while later.heard_ms < first.heard_ms + 50:
            await asyncio.sleep(0.01)
            (later,) = (await feeds.read_quotes(bus, ["s"]))["s"].values()
    assert later.age_ms - later.heard_ms == 1_500


class Worker:
    """Works for as long as it is let."""

    def __init__(self, bus: Redis, name: str) -> None:
        # None of these tests waits for a lease to run out: it is given back, taken away or forgotten.
        self.lease = Lease(bus, "work", name, ttl_s=TTL_MS / 1000)
        self.turns = 0
        self.turns_without = 0
        self.task = asyncio.create_task(self.lease.work(self._work, renew_s=0.05))

    async def _work(self) -> None:
        while True:
            # A turn that was due as the lease was lost may come before its cancellation.
            self.turns_without += not self.lease.held
            self.turns += 1
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


async def test_a_second_process_waits_and_takes_over(bus: Redis) -> None:
    first = Worker(bus, "first")
    await until(lambda: first.turns > 0)
    second = Worker(bus, "second")
    turns = first.turns
    await until(lambda: first.turns > turns + 20)
    assert second.turns == 0
    await first.stop()
    await until(lambda: second.turns > 0)
    assert second.lease.epoch == 2
    await second.stop()


async def test_who_was_superseded_stops(bus: Redis) -> None:
    worker = Worker(bus, "slow")
    await until(lambda: worker.turns > 0)
    # As if it had slept through its lease while somebody else came.
    attempts = epoch = 0
    while not epoch and attempts < 100:
        attempts += 1
        await feeds.release(bus, "work", "slow")
        # It may be in time to take it again.
        epoch = await feeds.claim(bus, "work", "quick", TTL_MS)
    assert epoch > 1
    await until(lambda: not worker.lease.held)
    turns = worker.turns
    await asyncio.sleep(0.2)
    assert worker.turns <= turns + 1
    await feeds.release(bus, "work", "quick")
    await until(lambda: worker.turns > turns + 1)
    await worker.stop()
    # It lost the lease once for good, and may have lost it once in each attempt before.
    assert worker.turns_without <= attempts


async def test_an_emptied_redis_costs_a_moment(bus: Redis) -> None:
    worker = Worker(bus, "ana")
    await until(lambda: worker.turns > 0)
    await bus.flushall()
    turns = worker.turns
    await until(lambda: worker.turns > turns + 10)
    assert not worker.task.done()
    await worker.stop()
