"""LimitsService: what this server counts of a caller, for the server that shows it to him."""

from typing import Final, cast

from google.protobuf.duration_pb2 import Duration

from servers.transport.call import Call
from servers.transport.limits import Limits, Use
from venue.engine.v1 import limits_service_pb2 as pb
from venue.option.v1 import access_pb2

# Counted by address, as callers of these have no credential.
ANONYMOUS: Final = frozenset({access_pb2.BUCKET_LOGIN})


class LimitsServicer:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    async def TellUse(self, request: pb.TellUseRequest, call: Call) -> pb.TellUseResponse:
        uses = [
            _use(number, "", await bucket.look(request.address if number in ANONYMOUS else request.caller))
            for number, bucket in self._limits.uses()
        ]
        for number, account_id, use in self._limits.of_accounts(request.user_id, request.account_id):
            uses.append(_use(number, account_id, use))
        return pb.TellUseResponse(uses=uses)


def _use(number: int, account_id: str, use: Use) -> pb.Use:
    return pb.Use(
        bucket=cast("access_pb2.Bucket.ValueType", number),
        account_id=account_id,
        limit=use.limit,
        remaining=use.remaining,
        reset=_duration(use.reset_s),
        window=_duration(use.window_s),
    )


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(round(seconds * 1000))
    return duration
