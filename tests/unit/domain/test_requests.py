"""Request ids: what was answered is found again, another body is refused, and memory has an end that is known."""

import pytest

from servers.domain import commands as c
from servers.domain.errors import OrderNotFound, RequestIdReused
from servers.domain.events import RequestRemembered
from servers.domain.exchange import scope_of
from servers.domain.ledger import InvariantBreach
from servers.domain.model import Limits
from servers.domain.terms import MarketState, Side
from tests.unit.domain.desk import SYMBOL, Desk, outcome


def test_a_repeated_request_is_found_under_the_sequence_that_answered_it() -> None:
    desk = Desk()
    command = desk.order("ann", Side.BUY, "1", "100", request_id="r1")
    desk.execute(command)
    desk.buy("ben", "1", "100")
    assert desk.exchange.find_request(scope_of(command), "r1", command.fingerprint) == command.sequence


def test_an_id_that_was_not_used_is_not_found() -> None:
    assert Desk().exchange.find_request("ann", "r1", b"body") == 0


def test_another_body_under_the_same_id_is_refused() -> None:
    desk = Desk()
    command = desk.order("ann", Side.BUY, "1", "100", request_id="r1")
    desk.execute(command)
    with pytest.raises(RequestIdReused) as refused:
        desk.exchange.find_request(scope_of(command), "r1", b"another body")
    assert (refused.value.code, refused.value.metadata) == ("INVALID_ARGUMENT", {"request_id": "r1"})
    assert [violation.field for violation in refused.value.violations] == ["request_id"]


def test_users_do_not_share_request_ids() -> None:
    desk = Desk()
    ann, ben = (desk.order(trader, Side.BUY, "1", "100", request_id="r1") for trader in ("ann", "ben"))
    desk.execute(ann)
    assert desk.exchange.find_request(scope_of(ben), "r1", ben.fingerprint) == 0


def test_a_cancel_by_number_is_found_again_though_its_order_is_gone() -> None:
    desk = Desk()
    order = desk.buy("ann", "1", "100")
    command = c.CancelOrder(*desk.stamp("ann", "r2", "cancel"), order.number, "", "")
    desk.execute(command)
    assert desk.exchange.find_request(scope_of(command), "r2", command.fingerprint) == command.sequence


def by_two_people(desk: Desk) -> list[c.Command]:
    """Commands that a pending action's id makes safe to repeat."""
    limits = Limits("demo-ann", "", "", 1, 1, 1, 1, 1, 1, "")
    return [
        c.SetMarketState(*desk.stamp("", "a1", "b"), SYMBOL, int(MarketState.HALTED)),
        c.SetLimits(*desk.stamp("", "a2", "b"), limits),
        c.SetAccountTerms(*desk.stamp("", "a3", "b"), "demo-ann", "default", ""),
    ]


def test_every_command_of_a_client_is_remembered() -> None:
    desk = Desk()
    order = desk.buy("ann", "1", "100")
    made = [
        c.CancelOrder(*desk.stamp("ann", "r1", "b"), order.number, "", ""),
        c.CancelAllOrders(*desk.stamp("ann", "r2", "b"), "demo-ann", "", 0),
        c.OpenAccount(*desk.stamp("ann", "r3", "b"), "demo-second", 2, "", "", "", ()),
        c.MakeTransfer(*desk.stamp("", "t1", "b"), "demo-ann", "demo-ben", "USD", 10**18, 3, False),
    ]
    for command in [*made, *by_two_people(desk)]:
        command.sequence = desk.exchange.clock.sequence + 1
        remembered = [e.request for e in desk.execute(command) if isinstance(e, RequestRemembered)]
        assert [(r.scope, r.request_id, r.fingerprint, r.sequence, r.time) for r in remembered] == [
            (scope_of(command), command.request_id, b"b", command.sequence, command.time)
        ]


def test_a_rejected_order_is_remembered_and_a_refused_command_is_not() -> None:
    desk = Desk()
    command = desk.order("ann", Side.BUY, "1", "100.001", request_id="r1")
    desk.execute(command)
    assert desk.exchange.find_request(scope_of(command), "r1", command.fingerprint) == command.sequence
    with pytest.raises(OrderNotFound):
        desk.run(c.CancelOrder, 99, "", "", user="ann", request_id="r2")
    assert desk.exchange.find_request("ann", "r2", b"") == 0


def test_memory_forgets_the_oldest_and_says_from_when() -> None:
    desk = Desk(request_memory=3)
    commands = []
    for number in range(5):
        command = desk.order("ann", Side.BUY, "1", "100", request_id=f"r{number}")
        desk.execute(command)
        commands.append(command)
    found = [desk.exchange.find_request(scope_of(x), x.request_id, x.fingerprint) for x in commands]
    assert found == [0, 0, *(command.sequence for command in commands[2:])]
    assert desk.exchange.clock.forgotten_time == commands[1].time


def test_nothing_is_forgotten_before_memory_is_full() -> None:
    desk = Desk(request_memory=3)
    for number in range(3):
        desk.buy("ann", "1", "100", request_id=f"r{number}")
    assert (desk.exchange.clock.forgotten_time, len(desk.exchange.requests)) == (0, 3)


def test_orders_without_a_request_id_take_no_memory() -> None:
    desk = Desk()
    assert outcome(desk.buy("ann", "1", "100")).status == "OPEN"
    assert desk.exchange.requests == {}


def test_the_machine_stops_rather_than_carry_out_a_request_twice() -> None:
    desk = Desk()
    desk.buy("ann", "1", "100", request_id="r1")
    with pytest.raises(InvariantBreach, match="twice"):
        desk.exchange.execute(desk.order("ann", Side.BUY, "1", "100", request_id="r1"))
