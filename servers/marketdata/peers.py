"""The other servers of market data: a stream lives in one of them, and a call beside it may come to any."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final, Self

import grpc

from servers.marketdata.errors import StreamNotFound
from servers.transport.call import INTERNAL_KEY, Call
from servers.transport.caller import channel_to
from servers.transport.errors import REQUEST_ID, from_call
from servers.transport.papers import Papers
from venue.marketdata.v1 import marketdata_pb2 as pb
from venue.marketdata.v1 import marketdata_pb2_grpc

TIMEOUT_S: Final = 2.0


class Peers:
    """Asks the servers at some addresses; `key` is what servers of the venue know each other by."""

    def __init__(self, addresses: Sequence[str], key: str, papers: Papers | None = None) -> None:
        self._addresses = addresses
        self._key = key
        self._papers = papers
        self._stubs: list[marketdata_pb2_grpc.MarketDataServiceAsyncStub] = []
        self._held = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for address in self._addresses:
            channel = await self._held.enter_async_context(channel_to(address, self._papers))
            self._stubs.append(marketdata_pb2_grpc.MarketDataServiceStub(channel))
        return self

    async def __aexit__(self, *_cause: object) -> None:
        await self._held.aclose()

    async def update_subscriptions(
        self, request: pb.UpdateSubscriptionsRequest, call: Call
    ) -> pb.UpdateSubscriptionsResponse:
        """The answer of the one that has the stream. Raises StreamNotFound, and what that one refuses."""
        if call.internal:
            # Another one asks already: nobody asks further.
            raise StreamNotFound(request.stream_id)
        metadata = ((INTERNAL_KEY, self._key), (REQUEST_ID, call.request_id), ("x-forwarded-for", call.peer))
        for stub in self._stubs:
            try:
                return await stub.UpdateSubscriptions(request, metadata=metadata, timeout=TIMEOUT_S)
            except grpc.aio.AioRpcError as failed:
                refused = from_call(failed)
                # One that is away has no streams.
                if refused.reason not in {StreamNotFound.reason, "UNAVAILABLE"}:
                    raise refused from None
        raise StreamNotFound(request.stream_id)
