"""``python -m tests.chaos.sim --seed N`` prints the trace of one seed; ``--seeds A B`` runs a range."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import nullcontext

from tests.chaos.sim.quiet import quiet
from tests.chaos.sim.world import run


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, help="one seed, with its trace")
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 20), help="first and last + 1")
    parser.add_argument("--bug", help="plant this bug")
    args = parser.parse_args()
    quiet()
    from tests.chaos.sim.bugs import BUGS

    planted = BUGS[args.bug] if args.bug else nullcontext
    with planted():
        if args.seed is not None:
            result, lines = run(args.seed, verbose=True)
            print("\n".join(lines))
            print(result)
            return 1 if result.violations else 0
        started, bad, crashes, blocks = time.monotonic(), 0, 0, 0
        for seed in range(*args.seeds):
            result, _ = run(seed)
            crashes, blocks = crashes + result.crashes, blocks + result.blocks
            if result.violations:
                bad += 1
                print(f"seed {seed}: {'; '.join(result.violations)}")
    n, took_s = args.seeds[1] - args.seeds[0], time.monotonic() - started
    print(f"{n} seeds, {bad} violated, {crashes} crashes, {blocks} blocks, {n / took_s:.1f} seeds/s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
