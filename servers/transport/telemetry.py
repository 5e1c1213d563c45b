"""What a process says of itself: JSON lines on standard output, and metrics for Prometheus.

Values go into log lines as JSON, so no text of a caller can end a line or begin one.
"""

import asyncio
import logging
import sys
import threading
from wsgiref.simple_server import WSGIServer

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, start_http_server

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
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
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


class MethodMetrics:
    """The counters of one method, looked up once."""

    def __init__(self, metrics: "Metrics", method: str) -> None:
        self._codes: dict[str, Counter] = {}
        self._total = metrics.total
        self._method = method
        self.log_calls = metrics.log_calls
        self.seconds = metrics.seconds.labels(method)
        self.streams = metrics.streams.labels(method)
        self.code("OK")

    def code(self, code: str) -> Counter:
        counter = self._codes.get(code)
        if counter is None:
            counter = self._codes[code] = self._total.labels(self._method, code)
        return counter


class Metrics:
    """The metrics that every server has. `log_calls`: successful calls get a log line too."""

    def __init__(self, registry: CollectorRegistry = REGISTRY, *, log_calls: bool = False) -> None:
        self.log_calls = log_calls
        self.registry = registry
        self.total = Counter("venue_rpc", "Calls ended, by method and code.", ["method", "code"], registry=registry)
        self.seconds = Histogram(
            "venue_rpc_seconds", "How long unary calls took.", ["method"], buckets=SECONDS, registry=registry
        )
        self.streams = Gauge("venue_streams_open", "Streams that are open.", ["method"], registry=registry)
        self.lag = Gauge(
            "venue_event_loop_lag_seconds", "How late the event loop woke a sleeper last.", registry=registry
        )

    def of(self, method: str) -> MethodMetrics:
        return MethodMetrics(self, method)

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
