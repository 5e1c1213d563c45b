"""Streams: ready at once, a snapshot, a chain of changes, and going on after a position."""

import asyncio
from typing import Any, Final

from grpc.aio import AioRpcError

from servers.conformance.visit import Visit, demand, expect
from venue.marketdata.v1 import marketdata_pb2
from venue.marketdata.v1.marketdata_pb2_grpc import MarketDataServiceStub
from venue.order.v1 import order_service_pb2
from venue.order.v1.order_service_pb2_grpc import OrderServiceStub
from venue_sdk.errors import error_of
from venue_sdk.market import MarketState, StreamBrokenError

WAIT_S: Final = 20.0
CHANGES: Final = 5
# A market may be quiet: its snapshot is compared then, and no change.
QUIET_S: Final = 3.0


def orders(visit: Visit, position: str = "") -> Any:  # noqa: ANN401  a call of gRPC
    request = order_service_pb2.StreamOrdersRequest(account_id=visit.account_id, resume_after=position)
    return OrderServiceStub(visit.channel).StreamOrders(request, metadata=visit.metadata)


async def following(call: Any, kind: str) -> Any:  # noqa: ANN401  frames of any stream
    """The next frame that is no heartbeat, which must be of that kind. Raises Broken."""
    async with asyncio.timeout(WAIT_S):
        while (frame := await call.read()).WhichOneof("frame") == "heartbeat":
            pass
    expect("the next frame", frame.WhichOneof("frame"), kind)
    return frame


async def orders_are_told_and_replayed(visit: Visit) -> None:
    call = orders(visit)
    ready = await following(call, "ready")
    demand("no heartbeat_interval", holds=ready.ready.heartbeat_interval.ToMilliseconds() > 0)
    snapshot = await following(call, "snapshot")
    first = (await visit.place(clientOrderId="told"))["order"]
    event = await following(call, "event")
    expect("the chain", event.previous_sequence, snapshot.sequence)
    expect("the order told", event.event.updates[0].order.order_id, first["orderId"])
    call.cancel()
    missed = [(await visit.place())["order"]["orderId"] for _ in range(2)]
    again = orders(visit, event.position)
    demand("not resumed", holds=(await following(again, "ready")).ready.resumed)
    replayed = [(await following(again, "event")) for _ in range(2)]
    expect("what was missed", [each.event.updates[0].order.order_id for each in replayed], missed)
    expect("the chain goes on", replayed[0].previous_sequence, event.sequence)
    again.cancel()
    await visit.good("POST", "/v1/orders:cancelAll", {"accountId": visit.account_id})


async def a_position_of_nowhere_is_refused(visit: Visit) -> None:
    call = orders(visit, "nonsense")
    try:
        await call.read()
    except AioRpcError as error:
        expect("the reason", (error.code().name, error_of(error).reason), ("INVALID_ARGUMENT", "POSITION_INVALID"))
    else:
        demand("it was taken", holds=False)
    finally:
        call.cancel()


async def books_have_their_checksum(visit: Visit) -> None:
    state, changes = MarketState(depth=10), 0
    channels = [marketdata_pb2.CHANNEL_BOOK]
    request = marketdata_pb2.SubscribeRequest(symbols=[visit.symbol], channels=channels, depth=state.depth)
    call: Any = MarketDataServiceStub(visit.channel).Subscribe(request)
    await following(call, "ready")
    try:
        async with asyncio.timeout(QUIET_S):
            while changes <= CHANGES:
                changes += len(list(state.take(await call.read())))
    except TimeoutError:
        demand("no snapshot", holds=visit.symbol in state.books)
    except StreamBrokenError as error:
        demand(str(error), holds=False)
    finally:
        call.cancel()


async def events_come_over_rest(visit: Visit) -> None:
    path = f"/v1/orders:stream?accountId={visit.account_id}"
    headers = dict(visit.headers) | {"accept": "text/event-stream"}
    async with asyncio.timeout(WAIT_S), visit.rest.stream("GET", path, headers=headers) as answer:
        expect("content-type", answer.headers.get("content-type", "").partition(";")[0], "text/event-stream")
        async for line in answer.aiter_lines():
            if line:
                demand(f"no ready first: {line}", holds=line.startswith("data:") and '"ready"' in line)
                return
    demand("nothing came", holds=False)
