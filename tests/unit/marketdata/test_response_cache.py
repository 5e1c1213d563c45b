"""Answers that are kept: while they last, while their version lasts, asked for once however many want them."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from servers.marketdata.response_cache import CacheMeasures, ResponseCache


class Kitchen:
    """Makes numbered answers, when it is let."""

    def __init__(self, entries_max: int = 100) -> None:
        self.now = 0.0
        self.made = 0
        self.open = asyncio.Event()
        self.open.set()
        self.registry = CollectorRegistry()
        measures = CacheMeasures(self.registry)
        self.cache = ResponseCache(measures, entries_max=entries_max, clock=lambda: self.now)

    async def make(self) -> int:
        self.made += 1
        mine = self.made
        await self.open.wait()
        return mine

    async def fail(self) -> int:
        self.made += 1
        await self.open.wait()
        raise LookupError("burnt")

    async def get(self, key: str = "k", version: int = 1, ttl_s: float = 10.0) -> int:
        return await self.cache.get("kitchen", key, version, ttl_s, self.make)

    def counted(self, outcome: str) -> int:
        labels = {"cache": "kitchen", "outcome": outcome}
        return int(self.registry.get_sample_value("venue_cache_reads_total", labels) or 0)


async def test_an_answer_is_kept_until_its_time_is_over() -> None:
    kitchen = Kitchen()
    assert [await kitchen.get() for _ in range(5)] == [1] * 5
    kitchen.now = 9.9
    assert await kitchen.get() == 1
    kitchen.now = 10.0
    assert await kitchen.get() == 2
    assert (kitchen.counted("hit"), kitchen.counted("miss")) == (5, 2)


async def test_an_event_ends_it_after_a_moment() -> None:
    kitchen, got = Kitchen(), []
    for now, version in ((0.0, 1), (0.05, 2), (0.09, 3), (0.1, 3), (0.15, 4), (0.3, 3), (0.4, 2), (5.0, 2)):
        kitchen.now = now
        got.append(await kitchen.get(version=version))
    assert got == [1, 1, 1, 2, 2, 2, 3, 3]


async def test_keys_and_caches_are_apart() -> None:
    kitchen = Kitchen()
    assert [await kitchen.get("a"), await kitchen.get("b"), await kitchen.get("a")] == [1, 2, 1]
    assert await kitchen.cache.get("other", "a", 1, 10.0, kitchen.make) == 3


async def test_what_many_ask_for_is_asked_once() -> None:
    kitchen = Kitchen()
    kitchen.open.clear()
    asking = [asyncio.create_task(kitchen.get()) for _ in range(50)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    kitchen.open.set()
    assert await asyncio.gather(*asking) == [1] * 50
    assert (kitchen.counted("miss"), kitchen.counted("coalesced"), kitchen.counted("hit")) == (1, 49, 0)


async def test_who_gives_up_does_not_take_it_from_the_others() -> None:
    kitchen = Kitchen()
    kitchen.open.clear()
    first, second = (asyncio.create_task(kitchen.get()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    kitchen.open.set()
    assert await second == 1
    assert first.cancelled()


async def test_a_question_of_another_version_does_not_wait_for_an_older_answer() -> None:
    kitchen = Kitchen()
    kitchen.open.clear()
    old, new = (asyncio.create_task(kitchen.get(version=version)) for version in (1, 2))
    await asyncio.sleep(0)
    kitchen.open.set()
    assert [await old, await new] == [1, 2]
    kitchen.now = 1.0
    assert await kitchen.get(version=2) == 2


async def test_a_failure_is_told_to_all_who_wait_and_not_kept() -> None:
    kitchen = Kitchen()
    kitchen.open.clear()
    asking = [asyncio.create_task(kitchen.cache.get("kitchen", "k", 1, 10.0, kitchen.fail)) for _ in range(2)]
    await asyncio.sleep(0)
    kitchen.open.set()
    told = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(each) for each in told] == [LookupError] * 2
    assert kitchen.made == 1
    with pytest.raises(LookupError):
        await kitchen.cache.get("kitchen", "k", 1, 10.0, kitchen.fail)
    assert await kitchen.get() == 3


async def test_an_answer_is_as_old_as_its_question() -> None:
    kitchen = Kitchen()
    kitchen.open.clear()
    asking = asyncio.create_task(kitchen.get())
    await asyncio.sleep(0)
    kitchen.now = 9.0
    kitchen.open.set()
    assert await asking == 1
    kitchen.now = 10.0
    assert await kitchen.get() == 2


async def test_the_least_used_goes_first() -> None:
    kitchen = Kitchen(entries_max=2)
    await kitchen.get("a")
    await kitchen.get("b")
    await kitchen.get("a")
    await kitchen.get("c")
    assert [await kitchen.get(key) for key in ("a", "c", "b")] == [1, 3, 4]
