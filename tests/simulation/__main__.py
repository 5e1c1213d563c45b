"""Runs seeds and says which of them fail: python -m tests.simulation FIRST [LAST] [--steps N]."""

import argparse
import gc
import sys
import time

from tests.simulation.simulation import simulate
from tests.simulation.witness import Violation


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int, nargs="?")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--fingerprint", action="store_true", help="print what tells one run from another")
    given = parser.parse_args()
    failed, commands, began = [], 0, time.process_time()
    # Nearly everything dies young, and what is in a ring goes with its run.
    gc.freeze()
    gc.set_threshold(200_000, 20, 20)
    seeds = range(given.first, (given.first if given.last is None else given.last) + 1)
    for count, seed in enumerate(seeds, 1):
        try:
            made = simulate(seed, given.steps)
            commands += made.witness.sequence
            if given.fingerprint:
                print(made.witness.sequence, made.witness.exchange.clock.digest, made.loop.time(), made.faults)
        except Violation as violation:
            print(violation)
            failed.append(seed)
        # Small memory is near memory: a fifth of the time.
        if count % 4 == 0:
            gc.collect()
    took = time.process_time() - began
    if not given.fingerprint:
        print(f"{len(seeds)} seeds, {commands} commands, {took:.1f} s of a core, {len(failed)} failed: {failed}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
