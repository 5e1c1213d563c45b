"""A trader's session, at a venue that ends it."""

from collections.abc import AsyncIterator

import grpc

from servers.bot.maker import Addresses, Command, Trader
from venue.order.v1 import order_service_pb2 as pb

SERVICE = "venue.order.v1.OrderService"


class Ending:
    """Answers one message of each session and is gone, as a process that was killed."""

    def __init__(self) -> None:
        self.sessions = 0

    async def trade(
        self,
        requests: AsyncIterator[pb.TradeRequest],
        context: "grpc.aio.ServicerContext[pb.TradeRequest, pb.TradeResponse]",
    ) -> AsyncIterator[pb.TradeResponse]:
        self.sessions += 1
        async for request in requests:
            if not request.commands[0].HasField("start"):
                answers = [pb.TradeAnswer() for _ in request.commands]
                yield pb.TradeResponse(answers=pb.TradeAnswers(answers=answers))
                await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")


async def test_a_session_that_ended_unnoticed_is_begun_anew() -> None:
    venue, server = Ending(), grpc.aio.server()
    trade = grpc.stream_stream_rpc_method_handler(
        venue.trade, pb.TradeRequest.FromString, pb.TradeResponse.SerializeToString
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Trade": trade}),))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    trader = Trader(Addresses(address, address, address), "maker@venue.local", "secret", "maker")
    try:
        for turn in range(1, 3):
            assert len(await trader.trade([Command(), Command()])) == 2
            assert venue.sessions == turn
            assert await trader._session.code() is grpc.StatusCode.UNAVAILABLE
            assert await trader.trade([Command()]) == []
    finally:
        await trader.close()
        await server.stop(None)
