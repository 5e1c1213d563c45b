"""Any bytes at all, to every method: each is answered or refused in order, and a refusal leaves everything as it was."""

import random
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from servers.domain.state import state_hash
from tests.integration.order.conftest import SERVICE, Floor, order
from tests.property.fuzzing import drawn, messages
from tests.unit.transport.conftest import refusal_of
from venue.order.v1 import order_service_pb2

METHODS = [m for m in SERVICE.methods if not m.client_streaming and not m.server_streaming]
REQUESTS = 30
OUT_OF_ORDER = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE}


def raw_requests(floor: Floor, requests: list[Message], dice: random.Random) -> Iterator[bytes]:
    """Half of them as they are, of an account and market that there are; the others with a byte that is another."""
    for request in requests:
        for name, value in (("account_id", floor.ana.demo), ("symbol", "BTC-USD")):
            if name in request.DESCRIPTOR.fields_by_name and dice.random() < 0.7:
                setattr(request, name, value)
        raw = bytearray(request.SerializeToString())
        if raw and dice.random() < 0.5:
            raw[dice.randrange(len(raw))] = dice.randrange(256)
        yield bytes(raw)


def nearly_right(floor: Floor, count: int) -> Iterator[bytes]:
    """Orders with one field that is not what it should be."""
    for fuzzed in drawn(messages(order_service_pb2.PlaceOrderRequest.DESCRIPTOR, depth=1), count):
        for field, value in fuzzed.ListFields():
            request = order(floor.ana.demo)
            if field.message_type is not None:
                getattr(request, field.name).CopyFrom(value)
            else:
                setattr(request, field.name, value)
            yield request.SerializeToString()


async def sent(floor: Floor, channel: grpc.aio.Channel, method: str, raw: bytes) -> grpc.StatusCode:
    start: Any = channel.unary_unary(f"/{SERVICE.full_name}/{method}")
    call = start(raw, metadata=floor.ana.metadata, timeout=20)
    code: grpc.StatusCode = await call.code()
    assert code not in OUT_OF_ORDER, (method, raw, await call.details())
    if code is not grpc.StatusCode.OK:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call
        assert refusal_of(raised.value).info.reason, (method, raw)
    return code


@pytest.mark.timeout(300)
async def test_fuzzed_requests_are_answered_or_refused_and_a_refusal_changes_nothing(floor: Floor) -> None:
    await floor.ana.place()
    sequencer = floor.room.engines[2].sequencer
    assert sequencer is not None
    dice, codes = random.Random(1), dict[str, set[str]]()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{floor.port}") as channel:
        for method in METHODS:
            assert method.input_type is not None
            requests = raw_requests(floor, drawn(messages(method.input_type), REQUESTS), dice)
            for raw in (*requests, *(nearly_right(floor, REQUESTS) if method.name == "PlaceOrder" else ())):
                before = state_hash(sequencer.exchange)
                code = await sent(floor, channel, method.name, raw)
                codes.setdefault(method.name, set()).add(code.name)
                if code is not grpc.StatusCode.OK:
                    assert state_hash(sequencer.exchange) == before, (method.name, raw)
    assert floor.room.engines[2].sequencer is sequencer
    assert codes["PlaceOrder"] >= {"OK", "INVALID_ARGUMENT", "NOT_FOUND"}
    assert (await floor.ana.place()).order.order_id
