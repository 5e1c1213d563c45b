"""What a run remembers and counts, and the figures it gives."""

from array import array
from pathlib import Path

import pytest
import typer
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2

from servers.replay.command import pace
from servers.replay.dispatch import Timing
from servers.replay.flow import COLUMNS
from servers.replay.run_record import RunRecord
from servers.replay.survey import survey
from servers.replay.tally import Tally
from venue.order.v1 import order_pb2
from venue.order.v1 import order_service_pb2 as pb


def placed(status: order_pb2.OrderStatus.ValueType, *fills: tuple[str, str], replayed: bool = False) -> pb.TradeAnswer:
    order = order_pb2.Order(status=status)
    if status == order_pb2.ORDER_STATUS_REJECTED:
        order.reject_reason = order_pb2.REJECT_REASON_INSUFFICIENT_FUNDS
    found = [order_pb2.Fill(price=price, quantity=quantity) for price, quantity in fills]
    return pb.TradeAnswer(placed=pb.PlaceOrderResponse(order=order, fills=found, replayed=replayed))


def refused(reason: str) -> pb.TradeAnswer:
    packed = AnyMessage()
    packed.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="venue"))
    return pb.TradeAnswer(error=status_pb2.Status(code=5, details=[packed]))


def counted() -> Tally:
    tally = Tally()
    tally.count(placed(order_pb2.ORDER_STATUS_OPEN), places=True)
    tally.count(placed(order_pb2.ORDER_STATUS_FILLED, ("10.5", "2"), ("11", "0.1"), replayed=True), places=True)
    tally.count(placed(order_pb2.ORDER_STATUS_REJECTED), places=True)
    tally.count(pb.TradeAnswer(cancelled=pb.CancelOrderResponse(replayed=True)), places=False)
    tally.count(refused("ORDER_NOT_FOUND"), places=False)
    tally.count(refused("ORDER_CLOSED"), places=False)
    tally.count(refused("MARKET_HALTED"), places=False)
    tally.count(refused("INVALID_FIELD"), places=True)
    return tally


def test_answers_are_counted_by_what_they_say() -> None:
    tally = counted()
    assert tally == Tally(
        placed=2,
        cancelled=1,
        filled_before=2,
        rejected=tally.rejected,
        refused=tally.refused,
        trades=2,
        base_volume=21 * 10**17,
        quote_volume=221 * 10**35,
        replayed=2,
    )
    assert tally.rejected == {"INSUFFICIENT_FUNDS": 1}
    assert tally.refused == {"MARKET_HALTED": 1, "INVALID_FIELD": 1}


def test_a_run_is_found_as_it_was_saved(tmp_path: Path) -> None:
    assert RunRecord.find(tmp_path / "runs", "BTC-USD-REPLAY") is None
    run = RunRecord.begin(tmp_path / "runs", "BTC-USD-REPLAY", "digest", 40)
    run.next, run.tally = 17, counted()
    run.save()
    found = RunRecord.find(tmp_path / "runs", "BTC-USD-REPLAY")
    assert found == run
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["BTC-USD-REPLAY.json"]


def test_a_survey_counts_the_whole_file_and_plays_as_much_as_asked(tmp_path: Path) -> None:
    flow = tmp_path / "flow.csv"
    rows = ["1,1,1,9,5,created,bid", "1,2,2,9,5,deleted,bid", "2,3,3,9,5,created,ask", "9,4,4,9,5,deleted,ask"]
    flow.write_text("\n".join([",".join(COLUMNS), *rows, ""]))
    whole, part = survey(flow, 0), survey(flow, 2)
    assert (whole.actions, part.actions) == (3, 2)
    assert (whole.count.read, whole.count.unknown) == (part.count.read, part.count.unknown) == (4, 1)
    assert [action.number for action in part.play()] == [1, 1]
    assert whole.source == part.source


def test_percentiles_are_of_the_answers_there_are() -> None:
    timing = Timing(array("d", [0.4, 0.1, 0.3, 0.2]), 10.0, 12.0)
    assert (timing.percentile_s(0.5), timing.percentile_s(0.99), timing.per_s()) == (0.2, 0.4, 2.0)
    assert (Timing().percentile_s(0.99), Timing().per_s()) == (0.0, 0.0)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "fast", ""])
def test_a_speed_is_a_number_above_zero(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        pace(text)


def test_max_is_no_speed_limit() -> None:
    assert (pace("max"), pace("60"), pace("0.5")) == (0.0, 60.0, 0.5)
