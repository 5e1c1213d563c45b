"""What a process says of itself: JSON lines on standard output, and metrics for Prometheus.

Values go into log lines as JSON, so no text of a caller can end a line or begin one. A line that cannot be written is no error
of who says it: it is dropped.
"""

import asyncio
import json
import logging
import threading
from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import accumulate
from typing import TextIO, cast
from wsgiref.simple_server import WSGIServer

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Gauge, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from servers.transport.log_lines import LogLines

STANDARD_OUTPUT = 1
LAG_EVERY_S = 0.5
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


def configure_logging(process: str, level: str = "INFO") -> None:
    """Every line of the process, also of libraries, as one JSON object on standard output."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
        lambda _logger, _method, line: {"process": process, **line},
    ]
    lines = cast("TextIO", LogLines(STANDARD_OUTPUT, lambda lost: lost_lines(process, lost)))
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(lines),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(lines)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.root.handlers = [handler]
    logging.root.setLevel(max(logging.INFO, logging.getLevelNamesMapping()[level]))


def lost_lines(process: str, lost: int) -> str:
    """The line that stands where lines could not be written."""
    time = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return (
        json.dumps({"process": process, "lost": lost, "event": "log lines lost", "level": "warning", "time": time})
        + "\n"
    )


class MethodMetrics:
    """What is counted of one method: plain numbers of the event loop's thread, which cost a tenth of the library's own."""

    def __init__(self, method: str, *, log_calls: bool) -> None:
        self.method = method
        self.log_calls = log_calls
        self.ended: dict[str, int] = {"OK": 0}
        self.within = [0] * (len(SECONDS) + 1)
        self.seconds = 0.0
        self.streams_open = 0

    def count(self, code: str, took_s: float | None) -> None:
        """Counts a call that ended; `took_s` is None for a stream, whose length says nothing."""
        self.ended[code] = self.ended.get(code, 0) + 1
        if took_s is not None:
            self.within[bisect_left(SECONDS, took_s)] += 1
            self.seconds += took_s


class Metrics(Collector):
    """The metrics that every server has. `log_calls`: successful calls get a log line too."""

    def __init__(self, registry: CollectorRegistry = REGISTRY, *, log_calls: bool = False) -> None:
        self.registry = registry
        self.log_calls = log_calls
        self._methods: dict[str, MethodMetrics] = {}
        self.lag = Gauge(
            "venue_event_loop_lag_seconds", "How late the event loop woke a sleeper last.", registry=registry
        )
        registry.register(self)

    def of(self, method: str) -> MethodMetrics:
        """The counters of a method; always the same ones."""
        return self._methods.setdefault(method, MethodMetrics(method, log_calls=self.log_calls))

    def collect(self) -> Iterator[Metric]:
        """Called by the registry, in the thread that answers a scrape."""
        total = CounterMetricFamily("venue_rpc", "Calls ended, by method and code.", labels=["method", "code"])
        seconds = HistogramMetricFamily("venue_rpc_seconds", "How long unary calls took.", labels=["method"])
        streams = GaugeMetricFamily("venue_streams_open", "Streams that are open.", labels=["method"])
        for of in list(self._methods.values()):
            for code, count in list(of.ended.items()):
                total.add_metric([of.method, code], count)
            bounds = [*(str(bound) for bound in SECONDS), "+Inf"]
            seconds.add_metric(
                [of.method], buckets=list(zip(bounds, accumulate(of.within), strict=True)), sum_value=of.seconds
            )
            streams.add_metric([of.method], of.streams_open)
        yield from (total, seconds, streams)

    async def watch_event_loop(self) -> None:
        """Runs until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_EVERY_S
            await asyncio.sleep(LAG_EVERY_S)
            self.lag.set(max(0.0, loop.time() - due))

    def serve(self, port: int, host: str = "127.0.0.1") -> tuple[WSGIServer, threading.Thread]:
        """Answers GET /metrics from a thread of its own. `shutdown()` of the first ends it."""
        return start_http_server(port, host, self.registry)
