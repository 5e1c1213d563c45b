"""One account's way into the venue: a trading session with at most one message of commands under way.

The commands of a message are accepted all or none and in their order, and the next message leaves when every answer is there.
So an account's commands are executed in the order they were added, however often the connection or the venue goes away: a
message without its answers is sent again as it is, and its request ids say what was done already.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import grpc

from servers.replay.steps import Step
from servers.transport.caller import CallerError, Login, explain
from venue.order.v1 import order_service_pb2 as pb

if TYPE_CHECKING:
    from venue.order.v1.order_service_pb2_grpc import OrderServiceAsyncStub

MESSAGE_MAX: Final = 100
ANSWER_S: Final = 20.0
PAUSE_S: Final = 0.2
# How long the venue may be away before the run gives up.
AWAY_S: Final = 120.0

_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
# The outcome is unknown, or nothing was accepted for now.
REPEATED: Final = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAUTHENTICATED,
}
Settle = Callable[[Step, pb.TradeAnswer, float], None]


class SessionEnded(Exception):
    """The venue ended the session, and said goodbye."""


class Lane:
    """Sends an account's commands; `settle` gets each with its answer and the seconds it took."""

    def __init__(
        self, account_id: str, stub: "OrderServiceAsyncStub", login: Login, target: str, settle: Settle
    ) -> None:
        self._account_id = account_id
        self._stub = stub
        self._login = login
        self._target = target
        self._settle = settle
        self._waiting: deque[Step] = deque()
        self._arrived = asyncio.Event()
        self._call: grpc.aio.StreamStreamCall[pb.TradeRequest, pb.TradeResponse] | None = None
        # When the venue went away, on the monotonic clock; None while it is there.
        self.away_since: float | None = None

    def add(self, step: Step) -> None:
        """Send a command after those added before."""
        self._waiting.append(step)
        self._arrived.set()

    async def run(self) -> None:
        """Send what is added, for ever. Raises CallerError: the venue refuses the session, or was away too long."""
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                while self._waiting:
                    count = min(len(self._waiting), MESSAGE_MAX)
                    await self._deliver([self._waiting.popleft() for _ in range(count)])
        finally:
            self._hang_up()

    async def _deliver(self, message: list[Step]) -> None:
        request = pb.TradeRequest(commands=[step.command for step in message])
        while True:
            sent = time.monotonic()
            try:
                answers = await self._exchange(request)
            except grpc.aio.AioRpcError as error:
                if error.code() not in REPEATED:
                    raise CallerError(explain(error, self._target)) from None
                await self._pause(renew=error.code() == grpc.StatusCode.UNAUTHENTICATED)
            except (SessionEnded, TimeoutError, asyncio.InvalidStateError):
                await self._pause(renew=False)
            else:
                self.away_since = None
                took_s = time.monotonic() - sent
                for step, answer in zip(message, answers, strict=True):
                    self._settle(step, answer, took_s)
                return

    async def _exchange(self, request: pb.TradeRequest) -> list[pb.TradeAnswer]:
        """Raises SessionEnded, TimeoutError, AioRpcError, InvalidStateError (writing to a call that is over)."""
        answers: list[pb.TradeAnswer] = []
        async with asyncio.timeout(ANSWER_S):
            call = self._call
            if call is None:
                call = self._call = self._stub.Trade(metadata=self._login.metadata)
                start = pb.TradeCommand(start=pb.TradeStart(account_id=self._account_id))
                await call.write(pb.TradeRequest(commands=[start]))
            await call.write(request)
            while len(answers) < len(request.commands):
                frame = await call.read()
                if not isinstance(frame, pb.TradeResponse) or frame.HasField("goodbye"):
                    raise SessionEnded
                answers.extend(frame.answers.answers)
        if any(_CODES[answer.error.code] in REPEATED for answer in answers):
            raise SessionEnded
        return answers

    async def _pause(self, *, renew: bool) -> None:
        self._hang_up()
        now = time.monotonic()
        self.away_since = self.away_since or now
        if now - self.away_since > AWAY_S:
            raise CallerError(f"the venue has been away for {AWAY_S:.0f} s; go on later with --resume")
        await asyncio.sleep(PAUSE_S)
        if renew:
            with suppress(grpc.aio.AioRpcError):
                await self._login.renew()

    def _hang_up(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None
