"""EngineService: the machine for other processes of the venue."""

import asyncio
from collections.abc import AsyncIterator, Mapping

from servers.domain.errors import PartUnavailable, VenueError
from servers.engine.local import LocalEngine
from servers.transport.call import Call
from servers.transport.errors import to_status
from venue.engine.v1 import engine_pb2 as pb


class EngineServicer:
    """Serves the partitions that this process leads."""

    def __init__(self, engines: Mapping[int, LocalEngine]) -> None:
        self._engines = engines

    def _engine(self, partition: int) -> LocalEngine:
        engine = self._engines.get(partition)
        if engine is None:
            raise PartUnavailable(f"partition {partition}")
        return engine

    async def Query(self, request: pb.QueryRequest, call: Call) -> pb.QueryResponse:
        return await self._engine(request.partition).query(request)

    async def Tail(self, request: pb.TailRequest, call: Call) -> AsyncIterator[pb.TailResponse]:
        async for row in self._engine(request.partition).tail(request.after_sequence):
            yield row

    async def Submit(self, requests: AsyncIterator[pb.SubmitRequest], call: Call) -> AsyncIterator[pb.SubmitResponse]:
        """Requests are executed in the order they come; their results go out as they become durable."""
        outbox: asyncio.Queue[pb.SubmitResponse | None] = asyncio.Queue()
        under_way: set[asyncio.Task[None]] = set()

        async def answer(request: pb.SubmitRequest) -> None:
            outbox.put_nowait(await self._submit(request))

        async def receive() -> None:
            async for request in requests:
                task = asyncio.ensure_future(answer(request))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            await asyncio.gather(*under_way)

        receiver = asyncio.ensure_future(receive())
        receiver.add_done_callback(lambda _: outbox.put_nowait(None))
        try:
            while (response := await outbox.get()) is not None:
                yield response
            receiver.result()
        finally:
            for task in (receiver, *under_way):
                task.cancel()

    async def _submit(self, request: pb.SubmitRequest) -> pb.SubmitResponse:
        response = pb.SubmitResponse(correlation_id=request.correlation_id)
        timeout_s = request.timeout_us / 1e6 if request.timeout_us else None
        try:
            outcomes = await self._engine(request.partition).submit(request.commands, timeout_s)
        except VenueError as error:
            outcomes = [error] * len(request.commands)
        for outcome in outcomes:
            if isinstance(outcome, bytes):
                response.results.add(answer=outcome)
            else:
                response.results.add(error=to_status(outcome))
        return response
