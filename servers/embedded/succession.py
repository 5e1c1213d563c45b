"""Envoy and its successors: `python -m servers.embedded.succession PID_FILE COMMAND...`, a process of the supervisor's.

SIGHUP starts the next one, which takes the listening sockets over from the one before (Envoy's hot restart); that one ends
by itself. The pid file names the newest. When that one ends, everything ends, and the supervisor starts it anew.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from servers.embedded import processes
from servers.embedded.state import State

SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
STOP_S = 8.0
POLL_S = 0.02


def begin(pid_file: Path, command: list[str], epoch: int) -> subprocess.Popen[bytes]:
    # The signals that this process waits for are blocked in it, and would be in its children.
    made = subprocess.Popen(
        [*command, "--restart-epoch", str(epoch)],
        preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS),  # noqa: PLW1509  no threads here
    )
    name(pid_file, made)
    return made


def name(pid_file: Path, newest: subprocess.Popen[bytes]) -> None:
    half = pid_file.with_name(f".{pid_file.name}")
    half.write_text(f"{newest.pid}\n", encoding="utf-8")
    half.replace(pid_file)


def end_orphan(pid_file: Path) -> None:
    """An Envoy whose keeper was killed still holds the sockets that the next one needs."""
    known = processes.alive(State(pid_file.parent.parent), pid_file.stem)
    if known is None:
        return
    with suppress(ProcessLookupError):
        os.kill(known[0], signal.SIGKILL)
    while processes.started_at(known[0]) is not None:
        time.sleep(POLL_S)


def end(running: list[subprocess.Popen[bytes]]) -> None:
    for each in running:
        if each.poll() is None:
            each.terminate()
    for each in running:
        try:
            each.wait(STOP_S)
        except subprocess.TimeoutExpired:
            each.kill()
            each.wait()


def main() -> None:
    pid_file, command = Path(sys.argv[1]), sys.argv[2:]
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    end_orphan(pid_file)
    epoch = 0
    running = [begin(pid_file, command, epoch)]
    status = 0
    while True:
        got = signal.sigwait(SIGNALS)
        if got == signal.SIGHUP and len(running) == 1:
            epoch += 1
            running.append(begin(pid_file, command, epoch))
        elif got in {signal.SIGTERM, signal.SIGINT}:
            break
        if running[-1].poll() is not None and running[0].poll() is None:
            # It never came: the one before goes on, and the next one is again its first successor.
            epoch -= 1
            name(pid_file, running[0])
        running = [each for each in running if each.poll() is None]
        if not running:
            status = 1
            break
    end(running)
    sys.exit(status)


if __name__ == "__main__":
    main()
