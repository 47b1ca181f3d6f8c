"""Runs episodes: `python -m tests.simulation --seed 1 --count 1000`."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import replace

from tests.simulation.episode import run, shrunk
from tests.simulation.mutants import MUTANTS, first_found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=1, help="how many seeds")
    parser.add_argument("--trace", action="store_true", help="print what happens")
    parser.add_argument(
        "--shrink", action="store_true", help="print a trace with as few faults as still fail"
    )
    parser.add_argument("--mutants", action="store_true", help="count the seeds that find each mutant")
    parser.add_argument("--faults", default="", help="names of the only faults that may happen, with commas")
    given = parser.parse_args()
    only = given.faults.split(",") if given.faults else ()
    if given.mutants:
        return _find_mutants(given.seed, given.count)
    began, records, bad = time.time(), 0, 0
    faults, exits = Counter[str](), Counter[str]()
    for seed in range(given.seed, given.seed + given.count):
        outcome = run(seed, traced=given.trace, only=only)
        records += outcome.records
        faults.update(name for *_, name in outcome.faults)
        exits.update(outcome.exits)
        if outcome.problems:
            bad += 1
            if given.shrink:
                outcome = shrunk(outcome, only)
        if given.trace or (given.shrink and outcome.problems):
            _say(*outcome.trace)
        if outcome.problems:
            _say(f"seed {seed}: {', '.join(f'{name} at {at:.1f}' for _, at, name in outcome.faults)}")
            _say(*(f"  {problem}"[:400] for problem in outcome.problems[:6]))
    _say(f"{given.count} episodes, {records} records, {bad} with problems, {time.time() - began:.1f} s")
    _say(f"{faults.total()} faults: {dict(faults)}", f"workers ended with {dict(exits)}")
    return bool(bad)


def _find_mutants(first: int, count: int) -> int:
    """Say for each mutant how many schedules it took to find it; return how many were missed.

    Of those that another check holds, say also whether they are found without the other mistake.
    """
    missed = 0
    for name, mutant in MUTANTS.items():
        found = first_found(mutant, first, count)
        missed += not found and not mutant.elsewhere
        alone = ""
        if mutant.held_by:
            single = first_found(replace(mutant, held_by=""), first, count)
            alone = f" with {mutant.held_by!r} (alone: {f'schedule {single[0]}' if single else 'not found'})"
        how = f"found by schedule {found[0]}: {found[1]}" if found else f"not found in {count} schedules"
        _say(f"{name}{alone}: {how}{'; ' * bool(mutant.elsewhere)}{mutant.elsewhere}"[:300])
    return missed


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join([*lines, ""]))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
