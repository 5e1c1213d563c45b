"""Composition root: `python -m servers.main NAME...` runs the named processes of the design's table in one.

A builder is an async context manager: entered, it serves; left, it has drained (health NOT_SERVING, goodbye on streams,
calls finished within the grace time). What runs beside it belongs to the task group: a task that fails ends the process,
and the supervisor starts it again.
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path

import structlog
import uvloop

from db.crash_points import arm
from servers.config import PROCESSES, BadSettingsError, Settings
from servers.embedded.processes import alive
from servers.transport.telemetry import Metrics, configure_logging
from servers.transport.wakeups import gather_wakeups
from servers.wiring import BUILDERS, load
from servers.wiring.parts import Builder, Process

log = structlog.get_logger()
# An order makes some hundred objects that live until it is answered, and next to no cycles. Python's own 700 looks through
# them again and again, which took a seventh of a session's time.
COLLECT_AFTER = (10_000, 20, 50)


class DrainedError(Exception):
    """Every server has drained: the end of a process that was told to stop."""


async def serve(names: Sequence[str], settings: Settings, metrics: Metrics, builders: Mapping[str, Builder]) -> None:
    """Run until SIGTERM or SIGINT, then drain, the last one entered first. Raises what a builder or a task raised."""
    loop, serving, stopping = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()
    assert serving is not None
    starting = True

    def stop(number: signal.Signals) -> None:
        if starting and not stopping.is_set():
            serving.cancel()
        stopping.set()
        # Last: whatever comes of saying so, the process ends.
        log.info("stopping", signal=number.name, processes=list(names))

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(metrics.watch_event_loop())
            async with AsyncExitStack() as entered:
                for name in names:
                    await entered.enter_async_context(builders[name](Process(settings, metrics, tasks)))
                starting = False
                # What was loaded stays: no collection need look at it again.
                gc.freeze()
                log.info("ready", processes=list(names))
                await stopping.wait()
            # What still runs in the group only waits for work; leaving by an exception is what cancels it.
            raise DrainedError
    except* DrainedError:
        log.info("stopped", processes=list(names))


async def serve_until_told(
    names: Sequence[str], settings: Settings, metrics: Metrics, builders: Mapping[str, Builder]
) -> None:
    """As `serve`; a signal during the start is an orderly end too."""
    try:
        await serve(names, settings, metrics, builders)
    except asyncio.CancelledError:
        log.info("stopped before it was ready", processes=list(names))


__all__ = ["load", "run"]


@contextmanager
def pid_file(path: Path) -> Iterator[None]:
    """The file holds this process's id while the body runs."""
    path.write_text(f"{os.getpid()}\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def run(names: Sequence[str], builders: Mapping[str, Builder] = BUILDERS) -> None:
    """Serve the named processes until told to stop.

    Raises SystemExit with one line a fault where a name or a setting is wrong.
    """
    unknown = [name for name in names if name not in builders]
    if unknown or not names:
        sys.exit(f"no such process: {' '.join(unknown) or '(none)'}; there are {' '.join(PROCESSES)}")
    try:
        settings = Settings.load()
    except BadSettingsError as error:
        sys.exit(str(error))
    settings.state.create()
    if settings.crash_points is not None:
        arm(settings.crash_points)
    configure_logging("+".join(names), settings.log_level.upper())
    metrics = Metrics(log_calls=settings.log_level == "debug")
    gc.set_threshold(*COLLECT_AFTER)
    gather_wakeups()
    with ExitStack() as held:
        for name in names:
            # A standby on the same state folder leaves the file to the one that was there first.
            if alive(settings.state, name + settings.instance) is None:
                held.enter_context(pid_file(settings.state.pid_file(name + settings.instance)))
        metrics.serve(settings.metrics_port(names[0]), settings.host)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve_until_told(names, settings, metrics, builders))


if __name__ == "__main__":
    run(sys.argv[1:])
