"""A real browser for the tests, and plays that people perform in it (tests/e2e/node/terminal.ts).

The browser is what VENUE_CHROMIUM names, else one on PATH, else one from the package registry, which is installed once and needs
no root. Where none of them can be had, the tests are skipped and say so.
"""

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import node_client
from tests.e2e.gateway import ROOT
from tests.e2e.launching import Venue

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
PACKAGE = ROOT / "tests" / "e2e" / "chromium"
PICTURES = ROOT / "build" / "terminal"
INSTALL_S = 180.0
PLAY_S = 240.0
PATHS = os.pathsep.join([str(ROOT / ".venv" / "node"), os.environ["PATH"]])


def chromium() -> str:
    """The browser's path. Skips where there is none."""
    given = os.environ.get("VENUE_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    found = given or packaged()
    if not found:
        pytest.skip("no browser: set VENUE_CHROMIUM, or install chromium")
    return found


@cache
def packaged() -> str:
    """The one of the registry's package; empty where it cannot be had."""
    environment = os.environ | {"PATH": PATHS}
    try:
        if not (PACKAGE / "node_modules").is_dir():
            install = ["npm", "ci", "--silent", "--no-audit", "--no-fund", "--fetch-retries=1"]
            subprocess.run(install, cwd=PACKAGE, env=environment, check=True, capture_output=True, timeout=INSTALL_S)
        told = subprocess.run(
            ["node", "where.mjs"], cwd=PACKAGE, env=environment, check=True, capture_output=True, timeout=INSTALL_S
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return told.stdout.decode()


def play(name: str, venue: Venue, **more: object) -> dict[str, Any]:
    """What people saw who performed the play at this venue's terminal. Raises AssertionError with the browser's own words."""
    if not (node_client.FOLDER / "node_modules" / "playwright-core").is_dir():
        pytest.skip("no Node packages: `make test` installs them")
    assert (ROOT / "gateway" / "web" / "dist" / "index.html").is_file(), (
        "the terminal is not built: make .venv/.stamp-web"
    )
    PICTURES.mkdir(parents=True, exist_ok=True)
    given = {
        "play": name,
        "url": venue.url.replace("127.0.0.1", "localhost"),
        "administration": f"http://localhost:{venue.port('ADMIN')}/",
        "chromium": chromium(),
        "folder": str(PICTURES),
        "pids": venue.pids(),
        "logins": venue.logins,
        "mailbox": str(venue.state / "mailbox"),
        "address": "",
        "symbol": "",
        "hosts": "",
        "origins": [],
    }
    done = subprocess.run(
        [str(ROOT / ".venv" / "node" / "node"), str(node_client.FOLDER / "terminal.ts")],
        input=json.dumps(given | more),
        capture_output=True,
        text=True,
        timeout=PLAY_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def built() -> list[Path]:
    return sorted((ROOT / "gateway" / "web" / "dist").rglob("*"))
