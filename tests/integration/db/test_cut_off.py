"""Whoever is cancelled, at whatever moment, leaves no connection open."""

import asyncio
import gc
import warnings
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any

import psycopg.waiting
import pytest

from db.session import connect


class CutAt:
    """Awaits something, and cancels its own task when it waits for the so-manieth time."""

    def __init__(self, work: Awaitable[None], number: int) -> None:
        self._work = work
        self._number = number
        self.waited = 0

    def __await__(self) -> Generator[Any, Any, None]:
        steps, task = self._work.__await__(), asyncio.current_task()
        assert task is not None
        resume: Callable[[], Any] = steps.__next__
        while True:
            try:
                waits_for = resume()
            except StopIteration:
                return
            self.waited += 1
            if self.waited == self._number:
                task.cancel()
            try:
                yield waits_for
                resume = steps.__next__
            except asyncio.CancelledError as cut:
                resume = partial(steps.throw, cut)


async def run(work: CutAt) -> None:
    await work


async def left_open(work: Callable[[], Awaitable[None]]) -> dict[int, list[str]]:
    """What is found open after it was cut off, by the moment at which it was; each moment is tried."""
    found: dict[int, list[str]] = {}
    gc.collect()
    for number in range(1, 100):
        cut = CutAt(work(), number)
        task = asyncio.ensure_future(run(cut))
        await asyncio.wait({task})
        ended = cut.waited < number
        assert ended or task.cancelled()
        del cut, task
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            gc.collect()
        if told:
            found[number] = [str(each.message) for each in told]
        if ended:
            assert number > 3, "there were moments to cut at"
            return found
    raise AssertionError("it never ended")


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver lets others have a turn after every statement, as it does on a machine that is busy."""
    monkeypatch.setattr(psycopg.waiting, "MAX_BUSY_TIME", -1.0)


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("fails", [False, True])
async def test_a_connection_is_closed_whenever_its_user_is_cancelled(database_url: str, fails: bool) -> None:
    async def work() -> None:
        try:
            async with await connect(database_url, application_name="cut") as connection:
                await connection.execute("SELECT 1")
                if fails:
                    raise LookupError
        except LookupError:
            pass

    assert await left_open(work) == {}
