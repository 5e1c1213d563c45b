"""Hundreds of venues, each with its own bad luck, and nothing that may not be; and proof that what may not be would be found."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.mutations import MUTATIONS
from tests.simulation.simulation import Simulation, simulate
from tests.simulation.witness import Violation

# Beside other tests it gets what they leave of the processors.
pytestmark = pytest.mark.timeout(1_800)
ROOT = Path(__file__).resolve().parents[2]
SEEDS, SEEDS_LONG, STEPS = 500, 4_000, 500
SEEDS_A_MUTATION, STEPS_A_MUTATION = 60, 250
ONCE = [
    tuple(map(int, line.split()[:2]))
    for line in Path(__file__).with_name("seeds.txt").read_text().splitlines()
    if line and not line.startswith("#")
]


def started(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    # On the rules' source, whatever has been compiled; make native-check runs it compiled.
    command = [sys.executable, "-m", "servers.bench.source", "tests.simulation", *arguments]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)


@pytest.mark.timeout(0)  # niced, and as long as it takes
def test_whatever_goes_wrong_nothing_is_lost_doubled_or_told_too_early(request: pytest.FixtureRequest) -> None:
    seeds, shares = SEEDS_LONG if request.config.getoption("--long") else SEEDS, os.cpu_count() or 1
    bounds = [(seeds * n // shares, seeds * (n + 1) // shares - 1) for n in range(shares)]
    running = [started(str(first), str(last), "--steps", str(STEPS)) for first, last in bounds]
    said = [process.communicate()[0] for process in running]
    print(*said, sep="\n")
    assert [process.returncode for process in running] == [0] * shares, "\n".join(said)


@pytest.mark.parametrize(("seed", "steps"), ONCE)
def test_what_failed_once_does_not_fail_again(seed: int, steps: int) -> None:
    simulate(seed, steps)


def test_a_seed_gives_the_same_run_under_any_hash_seed() -> None:
    runs = [started("7", "--steps", "300", "--fingerprint", PYTHONHASHSEED=hash_seed) for hash_seed in ("1", "2")]
    first, second = (run.communicate()[0] for run in runs)
    assert [run.returncode for run in runs] == [0, 0]
    assert first == second != ""


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_fault_in_the_engine_is_found(name: str) -> None:
    for seed in range(SEEDS_A_MUTATION):
        try:
            with MUTATIONS[name]():
                simulate(seed, STEPS_A_MUTATION)
        except Violation:
            return
    pytest.fail(f"not found in {SEEDS_A_MUTATION} seeds")


def test_a_database_without_the_fence_is_found() -> None:
    def unfence(made: Simulation) -> None:
        made.database.unfenced = True

    def search() -> None:
        for seed in range(SEEDS_A_MUTATION):
            simulate(seed, STEPS_A_MUTATION, unfence)

    with pytest.raises(Violation):
        search()
