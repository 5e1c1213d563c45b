"""The README keeps its word: every command in it is run, in order, and prints what stands below it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.gateway import ROOT
from tests.e2e.launching import Venue

FENCED = re.compile(r"^```(\w+)\n(.*?)^```\n", re.DOTALL | re.MULTILINE)
MARK = "----- block"
RUN_S = 60.0


def blocks() -> list[tuple[str, str]]:
    """The commands to run, each with what it should print: empty where the README does not say."""
    fences = list(FENCED.finditer((ROOT / "README.md").read_text(encoding="utf-8")))
    found = []
    for place, fence in enumerate(fences):
        if fence[1] != "bash":
            continue
        after = fences[place + 1] if place + 1 < len(fences) else None
        # What begins with `$` is shown, not printed.
        printed = after[2] if after is not None and after[1] == "console" and not after[2].startswith("$") else ""
        found.append((fence[2], printed))
    return found


@pytest.fixture(scope="module")
def printed(venue: Venue, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What each block printed, run one after another in one shell, as a reader would. Skips where there is no curl."""
    if shutil.which("curl") is None:
        pytest.skip("the README's commands call curl, which is not on PATH")
    script = "set -euo pipefail\n" + "".join(f"{commands}\necho '{MARK}'\n" for commands, _ in blocks())
    script = script.replace("localhost:8080", venue.target)
    path = os.pathsep.join([str(ROOT / ".venv" / "bin"), venue.environment()["PATH"]])
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path_factory.mktemp("reader"),
        env=venue.environment() | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout.split(f"{MARK}\n")[:-1]


def test_every_command_prints_what_the_readme_says(printed: list[str]) -> None:
    told = [(expected, output) for (_, expected), output in zip(blocks(), printed, strict=True) if expected]
    assert len(told) >= 5
    assert [output.splitlines() for _, output in told] == [expected.splitlines() for expected, _ in told]


def test_the_ledger_of_the_readme_adds_up(printed: list[str]) -> None:
    place = next(number for number, (commands, _) in enumerate(blocks()) if "/ledger" in commands)
    summed, total = printed[place].splitlines()
    assert summed.rstrip("0").rstrip(".") == total


def test_every_file_the_readme_names_is_there() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    linked = re.findall(r"\]\(([^)#]+)\)", text)
    quoted = re.findall(r"`((?:proto|gen|servers|db|gateway|tests|docs|tools)/[\w./]*)`", text)
    assert [name for name in linked + quoted if not Path(ROOT / name).exists()] == []
