"""Processes of the venue: those that lead or wait to, and the projector. What reaches them is served in their context."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from random import Random
from typing import Any, Final, TypeVar, cast

from prometheus_client import CollectorRegistry

from db.session import Pool as RealPool
from servers.domain.errors import PartUnavailable, VenueError
from servers.domain.exchange import Exchange
from servers.domain.terms import Environment
from servers.engine import replica
from servers.engine.leadership import Leader, Terms
from servers.engine.local import LocalEngine
from servers.engine.measures import ReplicaMeasures
from tests.simulation.database import PARTITION, Database, Pool
from tests.simulation.loop import Process, VirtualLoop
from tests.simulation.witness import MEMORY
from venue.engine.v1 import engine_pb2 as pb

Result = TypeVar("Result")
LEASE_S: Final = 1.0
WAY_S: Final = 0.001


class Node:
    """A process and its successors under one name."""

    def __init__(self, name: str, loop: VirtualLoop, random: Random) -> None:
        self.name = name
        self.loop = loop
        self.random = random
        self.process: Process | None = None
        self.task: asyncio.Task[Any] | None = None
        self.wall_offset_us = 0
        # Everyone who waits for an answer of this process; a dict, because a set would have another order in every run.
        self._calls: dict[asyncio.Future[Any], None] = {}
        # Every process there was: they are ended properly when all is over.
        self.past: list[Process] = []

    @property
    def up(self) -> bool:
        """True unless it was killed; it may be paused."""
        return self.process is not None

    def start(self) -> None:
        """A new process, if there is none."""
        if self.process is None:
            self.process = Process(self.name)
            self.process.wall_offset_us = self.wall_offset_us
            self.process.stop = self.kill
            self.past.append(self.process)
            self.process.context.run(self._begin)

    def _begin(self) -> None:
        raise NotImplementedError

    def jump(self, by_us: int) -> None:
        """Set its wall clock."""
        self.wall_offset_us = by_us
        if self.process is not None:
            self.process.wall_offset_us = by_us

    def kill(self) -> None:
        """Nothing of it runs any more; its connections end."""
        process, self.process, self.task = self.process, None, None
        if process is not None:
            process.park()
            for call in self._calls:
                self.loop.call_later(WAY_S * self.random.random(), _fail, call)
            self._calls = {}

    async def call(self, work: Callable[[], Awaitable[Result]], lost: float = 0.0) -> Result:
        """Have the process do something and wait for its answer, which may be lost. Raises what it raises, PartUnavailable."""
        process, loop, random = self.process, self.loop, self.random
        if process is None:
            await asyncio.sleep(WAY_S * random.random())
            raise PartUnavailable("the engine")
        answer: asyncio.Future[Result] = loop.create_future()
        self._calls[answer] = None

        async def serve() -> None:
            try:
                result = await work()
            except VenueError as error:
                if not answer.done():
                    answer.set_exception(error)
                return
            if random.random() < lost:
                loop.call_later(WAY_S, _fail, answer)
            elif not answer.done():
                answer.set_result(result)

        def begin() -> None:
            _keep(loop.create_task(serve()))

        loop.call_later(WAY_S * random.random(), begin, context=process.context)
        try:
            return await answer
        finally:
            self._calls.pop(answer, None)


class OrderNode(Node):
    """Leads, or waits to."""

    def __init__(
        self,
        name: str,
        loop: VirtualLoop,
        random: Random,
        database: Database,
        missing: Callable[[Exchange], Sequence[pb.Command]],
        tail: Callable[[int], AsyncIterator[pb.TailResponse]],
    ) -> None:
        """`tail`: that of whoever leads, for the time of waiting."""
        super().__init__(name, loop, random)
        self._tail = tail
        self._pool = cast("RealPool", Pool(database))
        self._missing = missing
        self.engine = LocalEngine(PARTITION, self._pool)

    def _begin(self) -> None:
        self.engine = LocalEngine(PARTITION, self._pool)
        terms = Terms(
            database_url="",
            address=self.name,
            lease_s=LEASE_S,
            batch_max=20,
            queue_max=60,
            request_memory=MEMORY,
            projector_lag_max=400,
        )
        self.leader = Leader(Environment.DEMO, self.engine, self._pool, terms, self._missing, self._tail)
        self.task = self.loop.create_task(self.leader.run())

    def stop(self) -> None:
        """A planned stop."""
        process, leader = self.process, self.leader
        if process is not None:
            process.context.run(lambda: _keep(self.loop.create_task(leader.stop())))

    @property
    def leads(self) -> bool:
        """True while it thinks that it leads."""
        return self.process is not None and self.engine.sequencer is not None

    def tail(self, after: int) -> AsyncIterator[pb.TailResponse]:
        """The rows of its tail, over a line."""
        return _tail(self, after)


class Projector(Node):
    """Writes tables and bus."""

    def __init__(
        self, name: str, loop: VirtualLoop, random: Random, tail: Callable[[int], AsyncIterator[pb.TailResponse]]
    ) -> None:
        super().__init__(name, loop, random)
        self._tail = tail
        self._measures = ReplicaMeasures(CollectorRegistry())

    def _begin(self) -> None:
        partitions = {PARTITION: Environment.DEMO}
        self.task = self.loop.create_task(replica.run(partitions, "", "", MEMORY, lambda _: self._tail, self._measures))


async def _tail(node: OrderNode, after: int) -> AsyncIterator[pb.TailResponse]:
    line: asyncio.Queue[pb.TailResponse | VenueError] = asyncio.Queue()

    async def serve() -> None:
        try:
            async for row in node.engine.tail(after):
                line.put_nowait(row)
        except VenueError as error:
            line.put_nowait(error)

    async def call() -> None:
        try:
            await node.call(serve)
        except VenueError as error:
            line.put_nowait(error)

    over = asyncio.ensure_future(call())
    try:
        while not isinstance(row := await line.get(), VenueError):
            yield row
        raise row
    finally:
        over.cancel()
        await asyncio.wait({over})


_TASKS: set[asyncio.Task[Any]] = set()


def _keep(task: asyncio.Task[Any]) -> None:
    _TASKS.add(task)
    task.add_done_callback(_TASKS.discard)


def _fail(call: asyncio.Future[Any]) -> None:
    if not call.done():
        call.set_exception(PartUnavailable("the engine"))
        call.exception()


def spawn(loop: VirtualLoop, work: Coroutine[Any, Any, Any]) -> None:
    """Run something that nobody waits for."""
    _keep(loop.create_task(work))
