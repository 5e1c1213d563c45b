"""Those who trade: they ask, repeat what was not answered, ask twice, follow their account, and read what they wrote."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Final

from servers.domain import commands as c
from servers.domain.errors import (
    Fault,
    NotLeader,
    Overloaded,
    PartUnavailable,
    RequestIdReused,
    TransferIdReused,
    VenueError,
)
from servers.engine.answers import replayed
from tests.property import traffic as small
from tests.property.encoding import encode
from tests.property.traffic import Traffic
from tests.simulation.database import PARTITION, Database
from tests.simulation.nodes import OrderNode, spawn
from tests.simulation.seams import START_US
from tests.simulation.witness import Violation, Witness
from venue.engine.v1 import engine_pb2 as pb

# Outcome unknown (PartUnavailable), or nothing done.
UNKNOWN: Final = (PartUnavailable, NotLeader, Overloaded)
PATIENCE_S: Final = 3.0
PAUSE_MAX_S: Final = 1.0
ACCOUNTS: Final = (*small.ACCOUNTS, "demo-flo", "demo-gus", "demo-hal", "demo-ida", "demo-jon")
# Made by the venue itself.
OWN: Final = (c.Advance, c.LeaderStarted, c.ChangeRules)


@dataclass(slots=True, eq=False)
class Request:
    """Something asked for; the key (scope, request_id) is None where it may not be repeated."""

    message: pb.Command
    command: c.Command | None
    key: tuple[str, str] | None
    kind: str
    # The first answer, and whether the same was asked with another body or more than once at a time.
    answer: bytes = b""
    doubled: bool = False
    # Whether an attempt ended without a word of what became of it.
    unknown: bool = False
    refused: str = ""


class Customers:
    """All of them together; `under_way` counts who waits for an outcome."""

    def __init__(
        self, random: Random, traffic: Traffic, database: Database, witness: Witness, leader: Callable[[], OrderNode]
    ) -> None:
        self.under_way = 0
        self.lost = 0.0
        self.faults: list[str] = []
        self.asked: list[Request] = []
        self.acknowledged = 0
        self._random = random
        self._traffic = traffic
        self._database = database
        self._witness = witness
        self._leader = leader

    def now_us(self) -> int:
        return START_US + round(asyncio.get_running_loop().time() * 1_000_000)

    def open_accounts(self, opening: list[c.Command]) -> None:
        for command in opening:
            if isinstance(command, c.OpenAccount):
                self.ask([self._request(command)])

    def trade(self) -> None:
        """One or a few more requests."""
        random = self._random
        count = 1 if random.random() < 0.9 else random.randrange(2, 5)
        requests = []
        for _ in range(count):
            traffic = self._traffic
            traffic.sequence = self._witness.sequence
            traffic.time = max(self.now_us(), self._witness.exchange.clock.time)
            traffic.alive = self._witness.exchange.floor.orders
            command = traffic.next()
            if isinstance(command, c.PlaceOrder) and traffic.numbers and traffic.numbers[-1] == command.sequence:
                # Its number is known once it is answered.
                traffic.numbers.pop()
            if not isinstance(command, OWN):
                requests.append(self._request(command))
        if requests:
            self.ask(requests)

    def repeat(self) -> None:
        """Ask again what was asked before, perhaps while it is still under way."""
        known = [request for request in self.asked[-200:] if request.key]
        if known:
            request = self._random.choice(known)
            request.doubled = True
            self.ask([request])

    def reuse(self) -> None:
        """The same id for something else."""
        placed = [r for r in self.asked[-100:] if r.key and r.kind == "place_order" and r.answer]
        if placed:
            spawn(asyncio.get_running_loop(), self._reuse(self._random.choice(placed)))  # type: ignore[arg-type]

    async def _reuse(self, request: Request) -> None:
        message = pb.Command()
        message.CopyFrom(request.message)
        message.place_order.client_order_id = "another"
        try:
            (outcome,) = await self._leader().call(lambda: self._leader().engine.submit([message], None))
        except UNKNOWN:
            return
        if not isinstance(outcome, (RequestIdReused, *UNKNOWN)):
            self.faults.append(f"{request.key} was used again: {outcome!r}")

    def _request(self, command: c.Command) -> Request:
        message = encode(PARTITION, command)
        kind = message.WhichOneof("body") or ""
        body = getattr(message, kind)
        random = self._random
        key = None
        if isinstance(command, c.MakeTransfer):
            key = ("transfer", body.transfer_id)
        elif isinstance(command, c.Convert):
            key = ("transfer", body.conversion_id)
        elif "request_id" in body.DESCRIPTOR.fields_by_name and (
            random.random() < 0.85 or isinstance(command, c.OpenAccount)
        ):
            body.request_id = self._id()
            key = (command.user_id, body.request_id)
        elif "request_id" in body.DESCRIPTOR.fields_by_name:
            body.request_id = ""
        request = Request(message, command, key, kind)
        self.asked.append(request)
        return request

    def _id(self) -> str:
        """Most say when they were made."""
        random = self._random
        digits = f"{random.getrandbits(128):032x}"
        if random.random() < 0.7:
            digits = f"{self.now_us() // 1000:012x}7{digits[13:]}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def ask(self, requests: list[Request]) -> None:
        self.under_way += 1
        spawn(asyncio.get_running_loop(), self._pursue(requests))  # type: ignore[arg-type]

    async def _pursue(self, requests: list[Request]) -> None:
        """Until every one of them has an outcome, or may not be repeated."""
        pause_s = 0.03
        try:
            while requests:
                requests = await self._attempt(requests)
                if requests:
                    await asyncio.sleep(pause_s * (0.5 + self._random.random()))
                    pause_s = min(pause_s * 2, PAUSE_MAX_S)
        except Violation as violation:
            self.faults.append(str(violation))
        finally:
            self.under_way -= 1

    async def _attempt(self, requests: list[Request]) -> list[Request]:
        """Those that are to be asked again."""
        node, random = self._leader(), self._random
        messages = [pb.Command.FromString(request.message.SerializeToString()) for request in requests]
        streamed = random.random() < 0.2

        async def submit() -> list[bytes | VenueError]:
            if streamed:
                return await (await node.engine.enqueue(messages, {})).outcomes()
            return await node.engine.submit(messages, 2.0 if random.random() < 0.5 else None)

        outcomes: list[bytes | VenueError]
        try:
            async with asyncio.timeout(PATIENCE_S):
                outcomes = await node.call(submit, self.lost)
        except UNKNOWN as error:
            outcomes = [error] * len(requests)
        except TimeoutError:
            outcomes = [PartUnavailable("the engine")] * len(requests)
        return [
            request
            for request, outcome in zip(requests, outcomes, strict=True)
            if not self._told(request, outcome) and request.key
        ]

    def _told(self, request: Request, outcome: bytes | VenueError) -> bool:
        """Take an outcome; False if it is unknown. Raises Violation."""
        if isinstance(outcome, Fault):
            raise Violation(f"{request.message}: internal error")
        if isinstance(outcome, UNKNOWN):
            request.unknown |= isinstance(outcome, PartUnavailable)
            return False
        if isinstance(outcome, VenueError):
            request.refused = outcome.reason
            if request.answer or isinstance(outcome, RequestIdReused | TransferIdReused):
                raise Violation(f"{request.key} was answered and is now refused: {outcome.reason}")
            return True
        self._witness.advance()
        if request.key is None:
            if outcome not in self._witness.answers:
                raise Violation(f"{request.message} was answered before it was durable, or falsely")
        else:
            self._check_answer(request, outcome)
        self.acknowledged += 1
        if isinstance(request.command, c.PlaceOrder) and not request.answer and request.key:
            number = self._witness.told[request.key][0]
            self._traffic.numbers.append(number)
            self._traffic.sent[number] = request.command
        request.answer = outcome
        return True

    def _check_answer(self, request: Request, outcome: bytes) -> None:
        assert request.key is not None
        found = self._witness.told.get(request.key)
        if found is None:
            raise Violation(f"{request.key} was answered and is not in the journal")
        _, kind, answer = found
        if kind != request.kind or outcome not in {answer, replayed(kind, answer)}:
            raise Violation(f"{request.key} was not answered as the journal says")
        if outcome != answer and not (request.unknown or request.doubled):
            raise Violation(f"{request.key} was executed, though whoever was asked said that he did nothing")

    def check_refused(self) -> None:
        """What was refused, and asked once, is not in the journal. Raises Violation."""
        for request in self.asked:
            if request.refused and not request.doubled and request.key in self._witness.told:
                raise Violation(f"{request.key} was refused with {request.refused} and is in the journal")

    # Reading

    async def read(self, node: OrderNode) -> None:
        """Balances, as new as what was durable when asked, and no newer than what is durable when told."""
        account_id = self._random.choice(ACCOUNTS)
        since = self._database.sequence
        query = pb.QueryRequest(balances=pb.BalancesQuery(account_id=account_id))

        async def look() -> None:
            response = await node.engine.query(query)
            self._witness.advance()
            if not since <= response.sequence <= self._witness.sequence:
                self.faults.append(f"read {response.sequence}, durable {since} to {self._witness.sequence}")
            if response.sequence == self._witness.sequence:
                ledger = self._witness.exchange.ledger
                held = {b.asset: b.held for b in ledger.accounts[account_id].balances.values()}
                told = {b.asset: b.held for b in response.balances}
                if {asset for asset, amount in held.items() if amount} != {
                    asset for asset, text in told.items() if text.strip("0.")
                }:
                    self.faults.append(f"read balances {told} of {account_id}, durable are {held}")

        try:
            async with asyncio.timeout(PATIENCE_S):
                await node.call(look)
        except (VenueError, TimeoutError):
            return

    async def follow(self, account_id: str) -> None:
        """An account's events for ever, in a chain without gaps."""
        while True:
            node = self._leader()

            async def stream(node: OrderNode = node) -> None:
                following = await node.engine.follow(account_id, "", snapshot=True)
                last = following.account_sequence
                while True:
                    frames = await following.follower.take()
                    for frame in frames:
                        if frame.previous_sequence != last:
                            raise Violation(f"a gap in {account_id} from {last} to {frame.sequence}")
                        self._witness.frame(frame)
                        last = frame.sequence
                    if following.follower.ended or following.follower.slow:
                        return

            async def watched(stream: Callable[[], object] = stream) -> None:
                try:
                    await stream()  # type: ignore[misc]
                except Violation as violation:
                    self.faults.append(str(violation))

            with suppress(VenueError):
                await node.call(watched)
            await asyncio.sleep(0.05 + 0.1 * self._random.random())
