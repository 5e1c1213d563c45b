"""Bodies, command lines and logs of the load clients."""

from dataclasses import replace
from pathlib import Path

import pytest

from servers.bench import traffic
from servers.bench.client import messages
from servers.bench.errors import BenchError
from servers.bench.load import Answer, Client, Load, read_log
from servers.transport import validation
from venue.order.v1 import order_service_pb2
from venue.type.v1 import type_pb2

LOAD = Load(address="127.0.0.1:1", path="/a/B", body=Path("b"), callers=4, seconds=1.5, token="t", rate=10.0)


def test_every_message_of_a_session_satisfies_the_contract() -> None:
    sent = messages(traffic.session_body("demo-1", type_pb2.SIDE_BUY))
    start, *orders = (order_service_pb2.TradeRequest.FromString(message) for message in sent)
    assert start.commands[0].WhichOneof("command") == "start"
    assert len(orders) == traffic.SESSION_ORDERS
    validation.check(start)
    validation.check(orders[0])
    assert all(len(request.commands) == 1 for request in orders)


def test_unary_and_batch_bodies_are_one_message_each() -> None:
    (unary,) = messages(traffic.unary_body("demo-1", type_pb2.SIDE_SELL))
    (batch,) = messages(traffic.batch_body("demo-1", type_pb2.SIDE_SELL))
    placed = order_service_pb2.PlaceOrderRequest.FromString(unary)
    many = order_service_pb2.PlaceOrdersRequest.FromString(batch)
    validation.check(placed)
    validation.check(many)
    assert list(many.orders) == [placed] * traffic.BATCH


def test_a_command_line_paces_each_caller() -> None:
    command = Client("h2load", "/usr/bin/h2load").command(LOAD, Path("log"))
    assert command[:7] == ["/usr/bin/h2load", "-c", "4", "-m", "1", "-D", "1500ms"]
    assert command[command.index("--rps") + 1] == "2.500000"
    assert command[-1] == "http://127.0.0.1:1/a/B"
    assert "authorization: Bearer t" in command


def test_a_load_without_a_body_is_a_get() -> None:
    command = Client("h2load", "/usr/bin/h2load").command(replace(LOAD, body=None, grpc=False), Path("log"))
    assert "-d" not in command
    assert "--h1" in command


def test_a_log_line_is_an_answer(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("1000\t200\t50\n2000\t200\t70\n")
    assert read_log(log) == [Answer(1050, 50), Answer(2070, 70)]


def test_a_failed_answer_ends_the_measurement(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("1000\t503\t50\n")
    with pytest.raises(BenchError, match="503"):
        read_log(log)
