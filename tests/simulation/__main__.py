"""Runs episodes: `python -m tests.simulation --seed 1 --count 1000`."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.episode import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=1, help="how many seeds")
    parser.add_argument("--trace", action="store_true", help="print what happens")
    given = parser.parse_args()
    began, records, faults, bad = time.time(), 0, 0, 0
    for seed in range(given.seed, given.seed + given.count):
        outcome = run(seed, traced=given.trace)
        records, faults = records + outcome.records, faults + len(outcome.faults)
        if given.trace:
            print("\n".join(outcome.trace))
        if outcome.problems:
            bad += 1
            print(f"seed {seed}: {outcome.faults}")
            print("\n".join(f"  {problem}"[:400] for problem in outcome.problems[:6]), flush=True)
    print(f"{given.count} episodes, {faults} faults, {records} records, {bad} with problems, {time.time() - began:.1f} s")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
