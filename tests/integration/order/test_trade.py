"""The Trade session: commands in order, answers in the same order, the account's own events between them."""

import asyncio
import uuid
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from tests.integration.order.conftest import Floor, User, order
from tests.integration.order.frames import Stream, updates
from venue.order.v1 import order_pb2
from venue.order.v1 import order_service_pb2 as wire
from venue.type.v1 import type_pb2


class Desk(Stream):
    """A session from its client's side."""

    def __init__(self, user: User) -> None:
        super().__init__(user.stub.Trade(metadata=user.metadata))

    async def send(self, *commands: wire.TradeCommand) -> None:
        await self.call.write(wire.TradeRequest(commands=commands))

    async def start(self, account_id: str, resume_after: str = "") -> Any:
        await self.send(wire.TradeCommand(start=wire.TradeStart(account_id=account_id, resume_after=resume_after)))
        return await self.next("ready")

    async def answers(self, count: int) -> list[wire.TradeAnswer]:
        """So many answers; events come between them."""
        found: list[wire.TradeAnswer] = []
        while len(found) < count:
            found += (await self.next("answers", "event")).answers.answers
        assert len(found) == count
        return found

    def events(self) -> list[Any]:
        return [frame for frame in self.seen if frame.WhichOneof("frame") == "event"]


def place(mark: str, account_id: str, **changes: Any) -> wire.TradeCommand:
    return wire.TradeCommand(correlation_id=mark, place=order(account_id, **changes))


def cancel(mark: str, order_id: str) -> wire.TradeCommand:
    return wire.TradeCommand(correlation_id=mark, cancel=wire.CancelOrderRequest(order_id=order_id))


async def test_answers_come_in_the_order_of_the_commands(floor: Floor) -> None:
    ana = floor.ana
    desk = Desk(ana)
    assert not (await desk.start(ana.demo)).ready.resumed
    for n in range(50):
        await desk.send(place(f"m{n}", ana.demo, price=str(40_000 + n)))
    await desk.send(*(place(f"b{n}", ana.demo, price=str(45_000 + n)) for n in range(100)))
    answers = await desk.answers(150)
    assert [answer.correlation_id for answer in answers] == [
        *(f"m{n}" for n in range(50)),
        *(f"b{n}" for n in range(100)),
    ]
    sequences = [answer.placed.order.sequence for answer in answers]
    assert sequences == sorted(sequences)
    await desk.call.done_writing()
    assert await desk.ended()
    assert all(
        later.previous_sequence == former.sequence
        for former, later in zip(desk.events(), desk.events()[1:], strict=False)
    )


async def test_a_bad_command_is_answered_and_the_session_goes_on(floor: Floor) -> None:
    ana, ben = floor.ana, floor.ben
    desk = Desk(ana)
    await desk.start(ana.demo)
    on_live = await ana.place(account_id=ana.live)
    number = on_live.order.order_id.partition("-")[2]
    bad = {
        "no quantity": place("no quantity", ana.demo, quantity=""),
        "exponent": place("exponent", ana.demo, price="1e5"),
        "other account": place("other account", ana.live),
        "their account": place("their account", ben.demo),
        "no command": wire.TradeCommand(correlation_id="no command"),
        "start again": wire.TradeCommand(correlation_id="start again", start=wire.TradeStart(account_id=ana.demo)),
        "amend": wire.TradeCommand(correlation_id="amend", amend=wire.AmendOrderRequest(order_id="2-1")),
        "nothing to cancel": cancel("nothing to cancel", "2-999999"),
        "other partition": cancel("other partition", on_live.order.order_id),
        "same number here": cancel("same number here", f"2-{number}"),
    }
    await desk.send(*bad.values(), place("good", ana.demo))
    *errors, good = await desk.answers(len(bad) + 1)
    assert [answer.correlation_id for answer in errors] == list(bad)
    assert {answer.correlation_id: answer.error.code for answer in errors} == {
        "no quantity": 3,
        "exponent": 3,
        "other account": 5,
        "their account": 5,
        "no command": 3,
        "start again": 3,
        "amend": 3,
        "nothing to cancel": 5,
        "other partition": 5,
        "same number here": 5,
    }
    assert good.placed.order.status == order_pb2.ORDER_STATUS_OPEN
    assert (await ana.call("GetOrder", order_id=on_live.order.order_id)).order.status == order_pb2.ORDER_STATUS_OPEN
    await desk.call.done_writing()
    assert await desk.ended()


async def test_own_events_of_any_origin_are_told(floor: Floor) -> None:
    ana, ben = floor.ana, floor.ben
    desk = Desk(ana)
    await desk.start(ana.demo)
    await desk.send(place("1", ana.demo, request_id=str(uuid.uuid4())))
    (placed,) = await desk.answers(1)
    order_id = placed.placed.order.order_id
    await ben.place(account_id=ben.demo, side=type_pb2.SIDE_SELL, quantity="0.004")
    await ana.cancel(order_id)
    while len(desk.events()) < 3:
        await desk.next("event")
    assert [updates(event) for event in desk.events()] == [
        [(order_id, order_pb2.ORDER_STATUS_OPEN)],
        [(order_id, order_pb2.ORDER_STATUS_PARTIALLY_FILLED)],
        [(order_id, order_pb2.ORDER_STATUS_CANCELLED)],
    ]
    position = desk.events()[0].position
    desk.call.cancel()
    again = Desk(ana)
    ready = await again.start(ana.demo, resume_after=position)
    assert (ready.ready.resumed, ready.position) == (True, position)
    resumed = [await again.next("event") for _ in range(2)]
    assert [updates(event) for event in resumed] == [updates(event) for event in desk.events()[1:]]
    again.call.cancel()


async def test_half_closing_answers_everything_first(floor: Floor) -> None:
    ana = floor.ana
    desk = Desk(ana)
    await desk.send(wire.TradeCommand(start=wire.TradeStart(account_id=ana.demo)))
    for n in range(20):
        await desk.send(*(place(f"{n}-{k}", ana.demo, price=str(40_000 + n)) for k in range(5)))
    await desk.call.done_writing()
    await desk.next("ready")
    answers = await desk.answers(100)
    assert [answer.correlation_id for answer in answers] == [f"{n}-{k}" for n in range(20) for k in range(5)]
    assert await desk.ended()


async def test_a_repeat_in_the_session_is_the_first_answer(floor: Floor) -> None:
    ana = floor.ana
    request_id = str(uuid.uuid4())
    first = await ana.place(request_id=request_id)
    desk = Desk(ana)
    await desk.start(ana.demo)
    await desk.send(
        place("same", ana.demo, request_id=request_id), place("other", ana.demo, request_id=request_id, price="1")
    )
    same, other = await desk.answers(2)
    assert (same.placed.order, same.placed.replayed) == (first.order, True)
    assert other.error.code == 3
    desk.call.cancel()


async def refused(desk: Desk, *messages: wire.TradeRequest) -> tuple[str, str]:
    for message in messages:
        await desk.call.write(message)
    refusal = await desk.refused()
    return refusal.code.name, refusal.info.reason


async def test_how_a_session_may_not_begin(floor: Floor) -> None:
    ana, ben = floor.ana, floor.ben

    def start(account_id: str, resume_after: str = "") -> wire.TradeRequest:
        command = wire.TradeCommand(start=wire.TradeStart(account_id=account_id, resume_after=resume_after))
        return wire.TradeRequest(commands=[command])

    assert await refused(Desk(ana), start(ben.demo)) == ("NOT_FOUND", "ACCOUNT_NOT_FOUND")
    assert await refused(Desk(ana), start(ana.demo, "2.9.9")) == ("INVALID_ARGUMENT", "POSITION_INVALID")
    for message in (
        wire.TradeRequest(commands=[place("1", ana.demo)]),
        wire.TradeRequest(commands=[*start(ana.demo).commands, place("1", ana.demo)]),
        wire.TradeRequest(),
    ):
        assert (await refused(Desk(ana), message))[0] == "INVALID_ARGUMENT"
    silent = Desk(ana)
    await silent.call.done_writing()
    assert await silent.ended()
    assert floor.room.engines[2].sequencer.feed.followers == {}  # type: ignore[union-attr]


@pytest.mark.parametrize("count", [0, 101])
async def test_a_message_with_too_few_or_too_many_commands_ends_the_session(floor: Floor, count: int) -> None:
    ana = floor.ana
    desk = Desk(ana)
    await desk.start(ana.demo)
    await desk.call.write(wire.TradeRequest(commands=[place("1", ana.demo)] * count))
    refusal = await desk.refused()
    assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["commands"])


async def test_a_session_ends_with_the_leader(floor: Floor) -> None:
    ana = floor.ana
    desk = Desk(ana)
    await desk.start(ana.demo)
    await desk.send(place("1", ana.demo))
    await desk.answers(1)
    stopping = asyncio.ensure_future(floor.room.leaders[1].stop())
    while (frame := await desk.next("goodbye", "event")).WhichOneof("frame") == "event":
        pass
    assert frame.goodbye.reason == "LEADER_CHANGED"
    assert await desk.ended()
    await stopping


async def test_many_sessions_trade_at_once(floor: Floor) -> None:
    async def session(user: User, side: "type_pb2.Side.ValueType") -> int:
        desk = Desk(user)
        await desk.start(user.demo)
        for n in range(40):
            await desk.send(place(str(n), user.demo, side=side, price=str(50_000 + n % 5), quantity="0.001"))
        answers = await desk.answers(40)
        desk.call.cancel()
        assert [answer.correlation_id for answer in answers] == [str(n) for n in range(40)]
        return sum(len(answer.placed.fills) for answer in answers)

    sides = [(floor.ana, type_pb2.SIDE_BUY), (floor.ben, type_pb2.SIDE_SELL)] * 3
    fills = await asyncio.gather(*(session(user, side) for user, side in sides))
    machine = floor.room.engines[2].sequencer.exchange  # type: ignore[union-attr]
    assert sum(fills) == machine.clock.trade_number > 50


async def test_a_client_that_leaves_in_the_middle_is_no_fault(floor: Floor) -> None:
    ana = floor.ana
    with capture_logs() as logs:
        for turn in range(12):
            desk = Desk(ana)
            await desk.start(ana.demo)
            for n in range(20):
                await desk.send(*(place(f"{n}-{k}", ana.demo, price="40000") for k in range(5)))
            # Before, between and after answers.
            await asyncio.sleep(turn * 0.004)
            desk.call.cancel()
        # Those that were cancelled end behind one that is answered.
        desk = Desk(ana)
        await desk.start(ana.demo)
        await desk.send(place("last", ana.demo))
        await desk.answers(1)
        desk.call.cancel()
    assert [line for line in logs if line["event"] == "call failed"] == []


async def test_an_order_is_amended_in_its_session(floor: Floor) -> None:
    ana = floor.ana
    desk = Desk(ana)
    await desk.start(ana.demo)
    change: dict[str, Any] = {"account_id": ana.demo, "client_order_id": "mine"}
    await desk.send(
        place("1", ana.demo, client_order_id="mine"),
        wire.TradeCommand(correlation_id="2", amend=wire.AmendOrderRequest(quantity="0.004", **change)),
        wire.TradeCommand(correlation_id="3", amend=wire.AmendOrderRequest(price="50000.001", **change)),
        wire.TradeCommand(correlation_id="4", amend=wire.AmendOrderRequest(price="50001", **change)),
        wire.TradeCommand(correlation_id="5", amend=wire.AmendOrderRequest(order_id="1-1", price="50001")),
    )
    placed, smaller, off_tick, dearer, elsewhere = await desk.answers(5)
    order_id = placed.placed.order.order_id
    assert (smaller.amended.order.order_id, smaller.amended.order.remaining_quantity) == (order_id, "0.004")
    assert (off_tick.error.code, elsewhere.error.code) == (9, 5)
    assert (dearer.amended.order.price, dearer.amended.order.quantity) == ("50001", "0.004")
    told: list[tuple[str, int]] = []
    while len(told) < 3:
        told = [update for frame in desk.events() for update in updates(frame)]
        if len(told) < 3:
            await desk.next("event")
    assert told == [(order_id, order_pb2.ORDER_STATUS_OPEN)] * 3
    await desk.call.done_writing()
    assert await desk.ended()


async def test_a_session_does_not_touch_orders_of_another_account(floor: Floor) -> None:
    ana = floor.ana
    other = await floor.room.open_account(2, ana.user_id)
    theirs = (await ana.place(account_id=other, price="40000")).order
    mine = (await ana.place(price="40000")).order
    desk = Desk(ana)
    await desk.start(ana.demo)
    amend = wire.TradeCommand(correlation_id="b", amend=wire.AmendOrderRequest(order_id=theirs.order_id, price="39000"))
    request_id = str(uuid.uuid4())
    repeatable = wire.CancelOrderRequest(order_id=mine.order_id, request_id=request_id)
    await desk.send(cancel("a", theirs.order_id), amend, wire.TradeCommand(correlation_id="c", cancel=repeatable))
    answers = await desk.answers(3)
    not_found = grpc.StatusCode.NOT_FOUND.value[0]
    assert [answer.error.code for answer in answers] == [not_found, not_found, 0]
    assert (await ana.call("GetOrder", order_id=theirs.order_id)).order == theirs
    # The same request by a call of its own is the same request.
    assert (await ana.cancel(mine.order_id, request_id=request_id)).replayed
