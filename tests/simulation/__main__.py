"""Runs episodes: `python -m tests.simulation --seed 1 --count 1000`."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.simulation.episode import run, shrunk
from tests.simulation.mutants import MUTANTS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=1, help="how many seeds")
    parser.add_argument("--trace", action="store_true", help="print what happens")
    parser.add_argument("--shrink", action="store_true", help="print a trace with as few faults as still fail")
    parser.add_argument("--mutants", action="store_true", help="how many seeds it takes to find each mutant")
    given = parser.parse_args()
    if given.mutants:
        return _find_mutants(given.seed, given.count)
    began, records, faults, bad = time.time(), 0, Counter[str](), 0
    exits = Counter[str]()
    for seed in range(given.seed, given.seed + given.count):
        outcome = run(seed, traced=given.trace)
        records, faults = records + outcome.records, faults + Counter(name for *_, name in outcome.faults)
        exits.update(outcome.exits)
        if given.trace:
            print("\n".join(outcome.trace))
        if outcome.problems:
            bad += 1
            if given.shrink:
                outcome = shrunk(outcome)
                print("\n".join(outcome.trace))
            print(f"seed {seed}: {', '.join(f'{name} at {at:.1f}' for _, at, name in outcome.faults)}")
            print("\n".join(f"  {problem}"[:400] for problem in outcome.problems[:6]), flush=True)
    print(
        f"{given.count} episodes, {faults.total()} faults, {records} records, {bad} with problems,"
        f" {time.time() - began:.1f} s"
    )
    print(dict(faults))
    print("workers ended with", dict(exits))
    return bool(bad)


def _find_mutants(first: int, count: int) -> int:
    missed = 0
    for name, make in MUTANTS.items():
        for seed in range(first, first + count):
            with make():
                problems = run(seed).problems
            if problems:
                print(f"{name}: found by schedule {seed - first + 1}: {problems[0][:150]}", flush=True)
                break
        else:
            missed += 1
            print(f"{name}: not found in {count} schedules", flush=True)
    return missed


if __name__ == "__main__":
    sys.exit(main())
