"""The order of a flow, kept between accounts.

Commands of several accounts are under way at once only as long as their order cannot matter: cancels, and placements that reach
nothing which may rest on the other side. A placement that may trade waits until everything before it is answered, and what comes
after waits for its answer. So trades, and the order in the queue at each price, are those of the flow played one by one.
"""

import asyncio
import math
import time
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from servers.domain.money import parse
from servers.replay.lanes import Lane
from servers.replay.resting import Resting
from servers.replay.run_record import RunRecord
from servers.replay.steps import Step
from servers.transport.caller import Login
from venue.order.v1 import order_service_pb2 as pb

if TYPE_CHECKING:
    from venue.order.v1.order_service_pb2_grpc import OrderServiceAsyncStub

UNDER_WAY_MAX: Final = 1_000
SAVE_STEPS: Final = 2_000
SAVE_S: Final = 0.5


@dataclass(slots=True)
class Timing:
    """How long answers took, and the time from the first command to the last answer. Of this process only."""

    latencies_s: "array[float]" = field(default_factory=lambda: array("d"))
    begun: float = 0.0
    ended: float = 0.0

    @property
    def took_s(self) -> float:
        return self.ended - self.begun

    def per_s(self) -> float:
        return len(self.latencies_s) / self.took_s if self.took_s else 0.0

    def percentile_s(self, share: float) -> float:
        """The latency that `share` of the answers did not exceed."""
        ordered = sorted(self.latencies_s)
        return ordered[max(math.ceil(share * len(ordered)) - 1, 0)] if ordered else 0.0


class Dispatcher:
    """Plays a run from where it is. `speed`: how many times as fast as recorded; 0: as fast as can be."""

    def __init__(self, run: RunRecord, stub: "OrderServiceAsyncStub", login: Login, target: str, speed: float) -> None:
        book = run.book
        self._run = run
        self._speed = speed
        self._lanes = [Lane(book.account_id(index), stub, login, target, self._settle) for index in range(run.accounts)]
        self._resting = Resting()
        self._under_way = 0
        self._answered = asyncio.Event()
        self._alone = -1
        self._saved = time.monotonic()
        self._first_ms = 0
        self.timing = Timing()

    @property
    def is_waiting(self) -> bool:
        """Whether the venue is away and commands are repeated."""
        return any(lane.away_since is not None for lane in self._lanes)

    async def play(self, steps: Iterable[Step]) -> None:
        """Send what is not answered yet of all the steps, and wait for the answers. Raises CallerError."""
        failure: list[BaseException] = []
        running = [asyncio.ensure_future(lane.run()) for lane in self._lanes]
        playing = asyncio.ensure_future(self._play(steps))
        try:
            done, _ = await asyncio.wait([playing, *running], return_when=asyncio.FIRST_COMPLETED)
            failure = [error for task in done if (error := task.exception()) is not None]
        finally:
            for task in (playing, *running):
                task.cancel()
            await asyncio.gather(playing, *running, return_exceptions=True)
        if failure:
            raise failure[0]

    async def _play(self, steps: Iterable[Step]) -> None:
        self.timing.begun = self.timing.ended = time.monotonic()
        after_last = self._run.next
        for step in steps:
            if step.index < self._run.next:
                self._recall(step)
                continue
            if self._speed:
                await self._wait_for_time(step)
            if self._resting.may_trade(step):
                await self._all_answered(step.index)
                self._alone = step.index
                self._send(step)
                await self._all_answered(step.index + 1)
            else:
                while self._under_way >= UNDER_WAY_MAX:
                    await self._next_answer()
                self._send(step)
            if step.index - self._run.next >= SAVE_STEPS:
                await self._all_answered(step.index + 1)
            after_last = step.index + 1
        await self._all_answered(after_last)
        self._run.save()

    def _recall(self, step: Step) -> None:
        """Answered by an earlier process: all that is known is that the order may rest, or does not."""
        if step.places:
            self._resting.sent(step)
        else:
            self._resting.gone(step.number)

    def _send(self, step: Step) -> None:
        self._under_way += 1
        self._resting.sent(step)
        self._lanes[step.account].add(step)

    def _settle(self, step: Step, answer: pb.TradeAnswer, took_s: float) -> None:
        self._under_way -= 1
        self.timing.latencies_s.append(took_s)
        self.timing.ended = time.monotonic()
        self._run.tally.count(answer, places=step.places)
        if not step.places or not answer.HasField("placed"):
            self._resting.gone(step.number)
        else:
            fills = answer.placed.fills
            last_price = parse(fills[-1].price) if fills else None
            self._resting.placed(step, answer.placed.order, last_price, alone=step.index == self._alone)
        self._answered.set()

    async def _next_answer(self) -> None:
        self._answered.clear()
        await self._answered.wait()

    async def _all_answered(self, next_index: int) -> None:
        """Until nothing is under way; everything before `next_index` is done then."""
        while self._under_way:
            await self._next_answer()
        self._run.next = next_index
        if time.monotonic() - self._saved > SAVE_S:
            self._run.save()
            self._saved = time.monotonic()

    async def _wait_for_time(self, step: Step) -> None:
        self._first_ms = self._first_ms or step.time_ms
        due = self.timing.begun + (step.time_ms - self._first_ms) / 1000 / self._speed
        await asyncio.sleep(max(due - time.monotonic(), 0))
