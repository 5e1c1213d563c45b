"""Generated code is what the contract makes."""

import subprocess

import pytest

from tests.tidy.tree import ROOT


def test_generated_code_is_up_to_date() -> None:
    made = subprocess.run(
        ["make", "--no-print-directory", ".venv-gen/.stamp"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"the generator's environment cannot be made here: {made.stdout[-300:]}{made.stderr[-300:]}")
    checked = subprocess.run(
        [".venv-gen/bin/python", "tools/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")
