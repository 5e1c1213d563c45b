"""The echo: a gRPC server that reads the venue's requests, answers messages of the venue's shape, and does nothing else.

It is what the framework alone can do on the machine: asyncio, uvloop, one process. Its count of orders lies in a file that
others map too, so asking for it costs the echo nothing.
"""

import asyncio
import mmap
import struct
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import grpc
import uvloop

from venue.order.v1 import order_pb2, order_service_pb2
from venue.type.v1 import type_pb2

COUNT: Final = struct.Struct("<Q")
STREAM_ID: Final = "5f" * 16
SERVICE: Final = "venue.order.v1.OrderService"


class Echo:
    """The three ways an order comes in. Every second order is answered as filled, as on the venue under this load."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._orders = 0

    def _counted(self, orders: int) -> None:
        self._orders += orders
        COUNT.pack_into(self._memory, 0, self._orders)

    async def place_order(
        self, request: order_service_pb2.PlaceOrderRequest, _context: object
    ) -> order_service_pb2.PlaceOrderResponse:
        self._counted(1)
        return answer(request, self._orders)

    async def place_orders(
        self, request: order_service_pb2.PlaceOrdersRequest, _context: object
    ) -> order_service_pb2.PlaceOrdersResponse:
        self._counted(len(request.orders))
        results = [order_service_pb2.PlaceOrderResult(placed=answer(item, self._orders)) for item in request.orders]
        return order_service_pb2.PlaceOrdersResponse(results=results)

    async def trade(
        self, requests: AsyncIterator[order_service_pb2.TradeRequest], _context: object
    ) -> AsyncIterator[order_service_pb2.TradeResponse]:
        async for request in requests:
            for item in request.commands:
                if item.HasField("place"):
                    self._counted(1)
                    yield frame(item, self._orders)


def answer(request: order_service_pb2.PlaceOrderRequest, number: int) -> order_service_pb2.PlaceOrderResponse:
    """An answer of the size the venue's has."""
    filled = request.side == type_pb2.SIDE_SELL
    order = order_pb2.Order(
        order_id=f"2-{number}",
        account_id=request.account_id,
        symbol=request.symbol,
        side=request.side,
        type=request.type,
        time_in_force=request.time_in_force,
        quantity=request.quantity,
        price=request.price,
        filled_quantity=request.quantity if filled else "0",
        remaining_quantity="0" if filled else request.quantity,
        fee="0.13" if filled else "0",
        fee_asset="USD",
        status=order_pb2.ORDER_STATUS_FILLED if filled else order_pb2.ORDER_STATUS_OPEN,
        root_order_id=f"2-{number}",
        sequence=number,
        self_trade_prevention=order_pb2.SELF_TRADE_PREVENTION_CANCEL_NEWEST,
    )
    order.create_time.FromNanoseconds(time.time_ns())
    order.update_time.CopyFrom(order.create_time)
    response = order_service_pb2.PlaceOrderResponse(order=order, position=f"2.1.{number}")
    if filled:
        fill = response.fills.add(
            trade_id=f"2-t{number}",
            order_id=order.order_id,
            account_id=request.account_id,
            symbol=request.symbol,
            side=request.side,
            price=request.price,
            quantity=request.quantity,
            fee="0.13",
            fee_asset="USD",
            liquidity=order_pb2.LIQUIDITY_TAKER,
            sequence=number,
        )
        fill.trade_time.CopyFrom(order.create_time)
    return response


def frame(item: order_service_pb2.TradeCommand, number: int) -> order_service_pb2.TradeResponse:
    """One answer in a frame of its own."""
    told = order_service_pb2.TradeAnswer(correlation_id=item.correlation_id, placed=answer(item.place, number))
    response = order_service_pb2.TradeResponse(stream_id=STREAM_ID)
    response.server_time.FromNanoseconds(time.time_ns())
    response.answers.answers.append(told)
    return response


async def serve(port: int, count_file: Path) -> None:
    """Until killed."""
    with count_file.open("r+b") as file, mmap.mmap(file.fileno(), COUNT.size) as memory:
        echo = Echo(memory)
        server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        pb = order_service_pb2
        methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "PlaceOrder": grpc.unary_unary_rpc_method_handler(
                echo.place_order, pb.PlaceOrderRequest.FromString, pb.PlaceOrderResponse.SerializeToString
            ),
            "PlaceOrders": grpc.unary_unary_rpc_method_handler(
                echo.place_orders, pb.PlaceOrdersRequest.FromString, pb.PlaceOrdersResponse.SerializeToString
            ),
            "Trade": grpc.stream_stream_rpc_method_handler(
                echo.trade, pb.TradeRequest.FromString, pb.TradeResponse.SerializeToString
            ),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
