"""The pace of an account: orders by tier, cancels apart, refused before anything is executed."""

from servers.domain.errors import OverLimit
from servers.engine.batch import Outcome
from servers.engine.pace import Pace
from servers.transport.limits import Rate
from tests.unit.domain.desk import Desk
from venue.engine.v1 import engine_pb2 as pb
from venue.order.v1 import order_service_pb2 as wire

RATES = {"DEMO": Rate(0.001, 2), "vip": Rate(0.001, 5)}


def place(user: str, account: str = "") -> pb.Command:
    return pb.Command(user_id=user, place_order=wire.PlaceOrderRequest(account_id=f"demo-{account or user}"))


def refused(pace: Pace, desk: Desk, *commands: pb.Command) -> list[int]:
    """The indices of what is turned away."""
    known: dict[int, Outcome] = {}
    pace.turn_away(desk.exchange, commands, known)
    assert all(isinstance(refusal, OverLimit) and refusal.reason == "RATE_LIMITED" for refusal in known.values())
    return list(known)


def test_items_of_a_batch_count_each_and_tiers_have_rates_of_their_own() -> None:
    desk, pace = Desk(), Pace(RATES)
    desk.open("dee", tier="vip")
    assert refused(pace, desk, *[place("ann")] * 4) == [2, 3]
    assert refused(pace, desk, *[place("dee")] * 6) == [5]
    assert refused(pace, desk, place("ben"), place("ann")) == [1]


def test_cancels_have_a_rate_of_their_own_and_the_venue_none() -> None:
    desk, pace = Desk(), Pace(RATES)
    order = desk.buy("ann", "1", "100")
    cancel = pb.Command(user_id="ann", cancel_order=wire.CancelOrderRequest(order_id=f"2-{order.number}"))
    assert refused(pace, desk, *[place("ann")] * 3) == [2]
    assert refused(pace, desk, *[cancel] * 21) == [20]
    assert refused(pace, desk, *[place("", "ann")] * 9) == []


def test_nobody_uses_up_what_is_anothers() -> None:
    desk, pace = Desk(), Pace(RATES)
    assert refused(pace, desk, *[place("ben", "ann")] * 9) == []
    assert refused(pace, desk, *[place("ann")] * 2) == []


def test_amends_and_pairs_count_as_orders() -> None:
    desk, pace = Desk(), Pace(RATES)
    order = desk.buy("ann", "1", "100")
    amend = pb.Command(user_id="ann", amend_order=wire.AmendOrderRequest(order_id=f"2-{order.number}"))
    pair = pb.Command(user_id="ben", place_oco=wire.PlaceOcoRequest(orders=[place("ben").place_order] * 2))
    replace = pb.Command(user_id="ann", replace_order=wire.ReplaceOrderRequest(order=place("ann").place_order))
    assert refused(pace, desk, amend, replace, amend) == [2]
    assert refused(pace, desk, pair, place("ben")) == [1]
