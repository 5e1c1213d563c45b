"""Runs a TypeScript client of `tests/e2e/node`: JSON goes in on standard input, JSON comes back."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.gateway import ROOT

FOLDER = ROOT / "tests" / "e2e" / "node"
BUNDLE_S = 60.0
RUN_S = 60.0


def bundle(name: str, folder: Path) -> Path:
    """The client `<name>.ts` with all it imports as one file. Skips where Node's packages are not installed."""
    if not (FOLDER / "node_modules").is_dir():
        pytest.skip("no Node packages: `make test` installs them")
    made = folder / f"{name}.mjs"
    path = os.pathsep.join([str(ROOT / ".venv" / "node"), os.environ["PATH"]])
    command = ["npm", "run", "--silent", "bundle", "--", f"{name}.ts", f"--outfile={made}"]
    done = subprocess.run(
        command,
        cwd=FOLDER,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=BUNDLE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return made


def run(script: Path, given: dict[str, Any]) -> Any:
    """What the client prints. Raises AssertionError with its own words where it fails."""
    node = ROOT / ".venv" / "node" / "node"
    done = subprocess.run(
        [str(node), str(script)], input=json.dumps(given), capture_output=True, text=True, timeout=RUN_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
