"""What a process says of itself."""

import asyncio
import json
import logging
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from prometheus_client import CollectorRegistry, generate_latest

from servers.transport import telemetry
from servers.transport.telemetry import Metrics, configure_logging


def test_metrics_are_those_that_prometheus_reads() -> None:
    metrics = Metrics(CollectorRegistry())
    of = metrics.of("/venue/Try")
    assert metrics.of("/venue/Try") is of
    for took_s in (0.0004, 0.0005, 0.002, 9.0):
        of.count("OK", took_s)
    of.count("INTERNAL", None)
    of.streams_open += 1
    value = metrics.registry.get_sample_value
    assert value("venue_rpc_total", {"method": "/venue/Try", "code": "OK"}) == 4
    assert value("venue_rpc_total", {"method": "/venue/Try", "code": "INTERNAL"}) == 1
    assert value("venue_streams_open", {"method": "/venue/Try"}) == 1
    bounds = ("0.0005", "0.001", "0.0025", "5.0", "+Inf")
    assert [value("venue_rpc_seconds_bucket", {"method": "/venue/Try", "le": le}) for le in bounds] == [2, 2, 3, 3, 4]
    assert value("venue_rpc_seconds_sum", {"method": "/venue/Try"}) == pytest.approx(9.0029)
    assert b"# TYPE venue_rpc_seconds histogram" in generate_latest(metrics.registry)


def test_metrics_are_answered_over_http() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.of("/venue/Try").count("OK", 0.1)
    server, thread = metrics.serve(0)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=5) as answer:
            assert b'venue_rpc_total{code="OK",method="/venue/Try"} 1.0' in answer.read()
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


async def test_the_lag_of_the_event_loop_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "LAG_EVERY_S", 0.01)
    metrics = Metrics(CollectorRegistry())
    watching = asyncio.create_task(metrics.watch_event_loop())
    await asyncio.sleep(0.05)
    watching.cancel()
    lag = metrics.registry.get_sample_value("venue_event_loop_lag_seconds")
    assert lag is not None
    assert 0 <= lag < 1


@pytest.fixture
def logging_kept() -> Iterator[None]:
    """How lines are written is as it was after the test."""
    before, handlers, level = structlog.get_config(), logging.root.handlers, logging.root.level
    yield
    structlog.configure(**before)
    logging.root.handlers = handlers
    logging.root.setLevel(level)


@pytest.mark.usefixtures("logging_kept")
def test_a_log_line_is_one_json_object_whatever_a_caller_sends(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging("order")
    structlog.get_logger().info("call refused", symbol='X\r\n{"level":"critical"}\x1b[31m')
    (line,) = capfd.readouterr().out.splitlines()
    entry = json.loads(line)
    assert (entry["process"], entry["level"], entry["event"]) == ("order", "info", "call refused")
    assert entry["symbol"] == 'X\r\n{"level":"critical"}\x1b[31m'


@pytest.mark.usefixtures("logging_kept")
def test_lines_that_cannot_be_written_are_dropped_and_the_next_one_says_how_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "order.log"
    full, room = os.open("/dev/full", os.O_WRONLY), os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    descriptor = os.dup(full)
    monkeypatch.setattr(telemetry, "STANDARD_OUTPUT", descriptor)
    try:
        configure_logging("order")
        structlog.get_logger().info("first")
        logging.getLogger("library").error("second")
        os.dup2(room, descriptor)
        structlog.get_logger().info("third")
        logging.getLogger("library").error("fourth")
    finally:
        for each in (full, room, descriptor):
            os.close(each)
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(entry["event"], entry.get("lost")) for entry in entries] == [
        ("log lines lost", 2),
        ("third", None),
        ("fourth", None),
    ]
