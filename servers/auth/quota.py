"""What a caller may still do: asked of every server that counts, and put together."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import grpc
import structlog

from servers.transport.call import INTERNAL_KEY, Call
from servers.transport.caller import channel_to
from servers.transport.papers import Papers
from venue.auth.v1 import auth_pb2
from venue.engine.v1 import limits_service_pb2 as pb
from venue.engine.v1 import limits_service_pb2_grpc

ASK_S: Final = 2.0

log = structlog.get_logger()


class Quotas:
    """The servers that count, by the name that callers know them by, with their addresses."""

    def __init__(self, servers: Mapping[str, Sequence[str]], internal_key: str, papers: Papers | None = None) -> None:
        self._metadata = ((INTERNAL_KEY, internal_key),)
        self._channels = [
            (name, channel_to(where, papers)) for name, addresses in servers.items() for where in addresses
        ]
        self._stubs = [(name, limits_service_pb2_grpc.LimitsServiceStub(channel)) for name, channel in self._channels]

    async def of(self, call: Call) -> list[auth_pb2.Quota]:
        """Every limit of the caller; those of a server that does not answer are missing."""
        identity = call.identity
        request = pb.TellUseRequest(
            caller=call.caller, address=call.peer, user_id=identity.user_id, account_id=identity.account_id
        )
        answers = await asyncio.gather(*(self._ask(name, stub, request) for name, stub in self._stubs))
        return [quota for answer in answers for quota in answer]

    async def close(self) -> None:
        for _, channel in self._channels:
            await channel.close()

    async def _ask(
        self, name: str, stub: "limits_service_pb2_grpc.LimitsServiceAsyncStub", request: pb.TellUseRequest
    ) -> list[auth_pb2.Quota]:
        try:
            answer = await stub.TellUse(request, metadata=self._metadata, timeout=ASK_S)
        except grpc.aio.AioRpcError as error:
            log.warning("limits not told", server=name, code=error.code().name)
            return []
        return [to_quota(name, use) for use in answer.uses]


def to_quota(server: str, use: pb.Use) -> auth_pb2.Quota:
    return auth_pb2.Quota(
        bucket=use.bucket,
        server=server,
        account_id=use.account_id,
        limit=use.limit,
        remaining=use.remaining,
        reset=use.reset,
        window=use.window,
    )
