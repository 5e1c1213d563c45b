"""Processes known by their pid files: who is alive, since when, and how to end those that lost their supervisor."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from servers.embedded.errors import StartError
from servers.embedded.state import State

# A pid file is written after its process began. The kernel's figures are coarse, hence the slack.
SLACK_S = 2.0
POLL_S = 0.05
# Clients first, stores last.
STOP_ORDER = ("bot", "feed", "notify", "envoy", "api", "marketdata", "replica", "order", "valkey", "postgres")


def started_at(pid: int) -> float | None:
    """When the process began, in seconds of the epoch; None where there is no such process."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/uptime").exists():
        try:
            # The name in brackets may hold spaces; what follows does not. Field 22 is the start in ticks since boot.
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        if fields[0] == "Z":
            return None
        up_s = float(Path("/proc/uptime").read_text().split()[0])
        return time.time() - up_s + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    done = subprocess.run(["ps", "-o", "etime=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return time.time() - elapsed_s(done.stdout.strip()) if done.stdout.strip() else None


def elapsed_s(text: str) -> int:
    """Seconds of ps's `[[days-]hours:]minutes:seconds`."""
    days, _, clock = text.rpartition("-")
    seconds = 0
    for part in clock.split(":"):
        seconds = seconds * 60 + int(part)
    return int(days or 0) * 86_400 + seconds


def alive(state: State, process: str) -> tuple[int, float] | None:
    """The process's id and when it began, where its pid file names a process older than the file itself."""
    pid = state.pid(process)
    began = started_at(pid) if pid is not None else None
    if pid is None or began is None:
        return None
    # A younger process took over the number of one that is gone.
    return (pid, began) if began <= state.pid_file(process).stat().st_mtime + SLACK_S else None


def further(state: State, process: str) -> list[str]:
    """The second process of a kind and so on, by their pid files: `marketdata-2`."""
    paths = state.pid_file(process).parent.glob(f"{process}-*.pid")
    return sorted(path.stem for path in paths)


def leftovers(state: State) -> dict[str, int]:
    """Processes of this venue that live although its supervisor is gone, in the order to stop them."""
    names = [known for name in STOP_ORDER for known in (name, *further(state, name))]
    found = {name: alive(state, name) for name in names}
    return {name: known[0] for name, known in found.items() if known is not None}


def stop_leftovers(state: State, wait_s: float = 20.0) -> None:
    """Raises StartError naming a process that does not end."""
    for name, pid in leftovers(state).items():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT if name == "postgres" else signal.SIGTERM)
        end = time.monotonic() + wait_s
        while started_at(pid) is not None:
            if time.monotonic() > end:
                raise StartError(f"{name} (process {pid}) does not end: kill -9 {pid}")
            time.sleep(POLL_S)
