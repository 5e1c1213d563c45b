"""Builds the browser terminal into `gateway/web/dist`, with the Node of the environment.

A venue without it works, and shows its plain page: what stands in the way is said in one line and fails nothing. Its stamp is
then left out, so that the next `make` tries again.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WEB = ROOT / "gateway" / "web"
NODE = ROOT / ".venv" / "node"
STAMP = ROOT / ".venv" / ".stamp-web"
INSTALLED = WEB / "node_modules" / ".package-lock.json"
STEP_S = 300.0


class NotBuilt(Exception):
    """Why the terminal is not there."""


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run(*command: str) -> None:
    """Raises NotBuilt with the last line that the step printed."""
    path = os.pathsep.join([str(NODE), os.environ["PATH"]])
    try:
        done = subprocess.run(
            [str(NODE / command[0]), *command[1:]],
            cwd=WEB,
            env=os.environ | {"PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=STEP_S,
            check=False,
        )
    except OSError as error:
        raise NotBuilt(f"Node does not start ({error.strerror})") from None
    except subprocess.TimeoutExpired:
        raise NotBuilt(f"{' '.join(command)} took longer than {STEP_S:.0f} s") from None
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if line.strip()] or ["it says nothing"]
        raise NotBuilt(f"{' '.join(command[:3])}: {next((line for line in lines if 'rror' in line), lines[-1])}")


def build() -> None:
    """Raises NotBuilt."""
    lock = WEB / "package-lock.json"
    if not INSTALLED.exists() or INSTALLED.stat().st_mtime < lock.stat().st_mtime:
        say("setup: packages of the terminal")
        run("npm", "ci", "--loglevel=error", "--no-audit", "--no-fund", "--fetch-retries=1")
        INSTALLED.touch()
    say("setup: the terminal")
    run("npm", "run", "--silent", "build")


def main() -> None:
    begun = time.monotonic()
    try:
        build()
    except NotBuilt as why:
        say(f"setup: no browser terminal, the plain page is served instead: {why}")
        return
    STAMP.touch()
    say(f"setup: the terminal is built, {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
