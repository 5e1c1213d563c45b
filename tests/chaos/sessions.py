"""A trader on a session stream: when it breaks it comes back to whichever server answers, and goes on where it was."""

import asyncio
import random
import time
import uuid
from collections import deque
from itertools import cycle
from typing import Any, Final

import grpc

from servers.transport.caller import channel_to
from tests.chaos.clients import PAUSE_S, SYMBOL, Metadata, Tally
from venue.order.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc
from venue.type.v1 import type_pb2

UNDER_WAY_MAX: Final = 20
QUIET_S: Final = 1.0


class SessionTrader:
    """Places orders through Trade, and keeps every event it is told. A command that was not answered is sent again, the same."""

    def __init__(self, targets: list[str], metadata: Metadata, account_id: str, tally: Tally, seed: int) -> None:
        self.account_id = account_id
        self.updates: list[order_pb2.OrderUpdate] = []
        # Where the first session began, and the last event that was told.
        self.began = self.last = 0
        self.resumed = 0
        self.faults: list[str] = []
        self._targets = cycle(targets)
        self._metadata = metadata
        self._tally = tally
        self._random = random.Random(seed)
        self._places = True
        self._position = ""
        self._unanswered: deque[tuple[order_service_pb2.PlaceOrderRequest, float]] = deque()

    def _order(self) -> order_service_pb2.PlaceOrderRequest:
        request_id = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        self._tally.write(ask=request_id, account=self.account_id, method="PlaceOrder")
        return order_service_pb2.PlaceOrderRequest(
            account_id=self.account_id,
            symbol=SYMBOL,
            side=self._random.choice((type_pb2.SIDE_BUY, type_pb2.SIDE_SELL)),
            type=order_pb2.ORDER_TYPE_LIMIT,
            time_in_force=self._random.choice((order_pb2.TIME_IN_FORCE_GTC, order_pb2.TIME_IN_FORCE_IOC)),
            quantity=f"0.00{self._random.randint(1, 99):02d}",
            price=f"{self._random.randint(319_900, 320_100) / 100:.2f}",
            request_id=request_id,
        )

    async def trade(self, stop: asyncio.Event) -> None:
        """Session after session until told to stop and everything is answered."""
        while not (stop.is_set() and not self._unanswered):
            async with channel_to(next(self._targets)) as channel:
                stub: Any = order_service_pb2_grpc.OrderServiceStub(channel)
                call = stub.Trade(metadata=self._metadata)
                try:
                    await self._session(call, stop)
                except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
                    code = error.code() if isinstance(error, grpc.aio.AioRpcError) else grpc.StatusCode.UNAVAILABLE
                    # A write into a connection that just broke fails inside the client, which has no better word for it.
                    broke = code is grpc.StatusCode.INTERNAL and "execute_batch" in str(error)
                    if not broke and code not in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}:
                        self.faults.append(str(error))
                        return
                finally:
                    call.cancel()
            await asyncio.sleep(PAUSE_S)

    async def quiet(self) -> None:
        """Take up the session once more and read until nothing comes: what others' orders did last."""
        stop = asyncio.Event()
        self._places = False
        reading = asyncio.ensure_future(self.trade(stop))
        told = -1
        while told != self.last:
            told = self.last
            await asyncio.sleep(QUIET_S)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)

    async def _session(self, call: Any, stop: asyncio.Event) -> None:
        start = order_service_pb2.TradeStart(account_id=self.account_id, resume_after=self._position)
        await self._send(call, order_service_pb2.TradeCommand(start=start))
        ready = await call.read()
        if ready is grpc.aio.EOF or ready.WhichOneof("frame") == "goodbye":
            # Or one that leaves just now.
            raise asyncio.InvalidStateError("no session")
        assert ready.WhichOneof("frame") == "ready", ready
        if self._position:
            assert ready.ready.resumed
            self.resumed += 1
        else:
            self.began = self.last = int(ready.position.rpartition(".")[2])
        self._position = ready.position
        for request, _ in self._unanswered:
            await self._send(call, order_service_pb2.TradeCommand(place=request))
        sending = asyncio.ensure_future(self._place(call, stop))
        try:
            while (frame := await call.read()) is not grpc.aio.EOF:
                if not self._read(frame):
                    return
                if stop.is_set() and not self._unanswered:
                    return
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _place(self, call: Any, stop: asyncio.Event) -> None:
        while self._places and not stop.is_set():
            if len(self._unanswered) < UNDER_WAY_MAX:
                request = self._order()
                self._unanswered.append((request, time.monotonic()))
                await self._send(call, order_service_pb2.TradeCommand(place=request))
            await asyncio.sleep(0.005)

    @staticmethod
    async def _send(call: Any, command: order_service_pb2.TradeCommand) -> None:
        await call.write(order_service_pb2.TradeRequest(commands=[command]))

    def _read(self, frame: order_service_pb2.TradeResponse) -> bool:
        """Take in a frame; False once the session is of no use any more."""
        kind = frame.WhichOneof("frame")
        assert kind != "gap", frame
        if kind == "answers":
            return all(self._answered(answer) for answer in frame.answers.answers)
        if kind == "event":
            # Before the first event stands only the place in the journal at which the session began.
            follows = frame.previous_sequence == self.last or (not self.updates and frame.previous_sequence < self.last)
            if not follows or frame.sequence <= self.last:
                self.faults.append(f"told {frame.previous_sequence} to {frame.sequence} after {self.last}")
            self.last = frame.sequence
            self.updates.extend(frame.event.updates)
        self._position = frame.position
        return kind != "goodbye"

    def _answered(self, answer: order_service_pb2.TradeAnswer) -> bool:
        if answer.WhichOneof("answer") == "error":
            # The outcome is unknown: again, with the same request_id, in a new session.
            return False
        request, began = self._unanswered.popleft()
        placed = answer.placed
        assert placed.replayed or placed.order.account_id == request.account_id
        self._tally.acknowledged += 1
        self._tally.served_at = max(self._tally.served_at, began)
        self._tally.write(
            ack=request.request_id,
            account=self.account_id,
            request=request.SerializeToString().hex(),
            answer=placed.SerializeToString().hex(),
            method="PlaceOrder",
        )
        return True
