"""Long campaigns in shards: ``python -m tests.chaos.campaign [name ...]``; what was done stays done.

Each shard is a process that keeps its counts under ``build/chaos/``; a campaign that is stopped, or runs out
of its time, goes on where it was. A change of what it exercises begins it anew: a count belongs to the code that it
counted.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos import sources

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / "build" / "chaos"
MINUTES_MAX = 40.0
PROGRESS_S = 10.0
FAILURES_KEPT = 20
REASON_MAX = 600

EVERYTHING = ("keeper/**/*.py", "tests/chaos/**/*.py")
FORGE = ("contracts/foundry.toml", "contracts/solcw*", "anvil/package-lock.json", "anvil/compile.js")
"""What forge runs with: its settings, and the pinned compiler and protocols."""
ON_AAVE = (*FORGE, "contracts/artifacts/AaveV3Executor.json", "contracts/artifacts/ExecutorFactory.json")
"""The committed Executor of Aave, which these tests deploy as it is."""
Counts = dict[str, int]


@dataclass(kw_only=True)
class Verdict:
    """What one unit of a campaign showed."""

    counts: Counts = field(default_factory=dict)
    failure: str = ""


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """So many independent units, numbered from 0."""

    name: str
    units: int
    run: Callable[[int], Verdict]
    record: Callable[[Counts, int, list[str]], None]
    """(counts of all shards, units done, failures) into figures."""
    around: Callable[[], AbstractContextManager[object]] = nullcontext
    """Opened once a shard."""
    shards: int = 2
    also: tuple[str, ...] = EVERYTHING
    """Globs of files that it exercises beside what its module imports: what runs in processes of its own."""


NAMES = {
    "sim": "tests.chaos.sim.campaigns:SIM",
    "bugs": "tests.chaos.sim.campaigns:BUGS",
    "revival": "tests.chaos.sim.campaigns:REVIVAL",
    "kill9": "tests.chaos.kill9:KILL9",
    "cold": "tests.chaos.cold:COLD",
    "config": "tests.chaos.config_fuzz:CONFIG",
    "mutation": "tests.chaos.mutation:MUTATION",
    "reorg": "tests.chaos.reorg:REORG",
    "race": "tests.chaos.race:RACE",
    "disk": "tests.chaos.disk:DISK",
    "coverage": "tests.chaos.coverage_run:COVERAGE",
    "mutants": "tests.chaos.mutants:MUTANTS",
    "hosts": "tests.chaos.two_hosts:HOSTS",
    "standby": "tests.chaos.sim.standby:STANDBY",
    "inclusion": "tests.chaos.inclusion:INCLUSION",
    "oracle": "tests.chaos.oracle_race:ORACLE",
    "leak": "tests.chaos.leak:LEAK",
    "parity": "tests.chaos.leak_parity:PARITY",
    "executor_mutants": "tests.chaos.leak_forge:CONTRACT_MUTANTS",
    "invariants": "tests.chaos.leak_forge:INVARIANTS",
}
"""Campaign -> where it is defined; imported only by the process that needs it."""
TOGETHER = {"hosts": ("hosts", "standby")}
"""Name -> the campaigns that one asks for by it: two machines on one key, and on a key each."""


def find(name: str) -> Campaign:
    """A campaign by name."""
    module, _, attribute = NAMES[name].partition(":")
    found = getattr(importlib.import_module(module), attribute)
    assert isinstance(found, Campaign)
    return found


def digest(name: str) -> str:
    """A hash of everything that a campaign exercises."""
    return sources.digest(NAMES[name].partition(":")[0], find(name).also)


def work(name: str, shard: int, until_s: float, key: str) -> None:
    """One shard, until it is done or its time is over. ``key``: of the sources as the driver found them."""
    campaign, path = find(name), STATE / f"{name}.{shard}.json"
    state = _state(path, key)
    with campaign.around():
        saved_s, begun_s, before_s = 0.0, time.time(), state["took_s"]
        for unit in range(state["next"] * campaign.shards + shard, campaign.units, campaign.shards):
            try:
                verdict = campaign.run(unit)
            except BaseException as ending:
                # no verdict about the unit: it is run again next time, and the reason stands in the state until then
                _save(path, {**state, "ended": f"unit {unit}: {_reason(ending)}"})
                raise
            state["next"] += 1
            state["took_s"] = before_s + time.time() - begun_s
            for key, count in verdict.counts.items():
                state["counts"][key] = state["counts"].get(key, 0) + count
            if verdict.failure:
                state["failed"] += 1
                state["failures"] = [*state["failures"], f"{unit}: {verdict.failure}"][:FAILURES_KEPT]
            if verdict.failure or time.time() - saved_s > 1:
                _save(path, state)
                saved_s = time.time()
            if time.time() > until_s:
                break
    _save(path, state)


def _reason(ending: BaseException) -> str:
    """What ended a unit, in one line; the end of a long text, where tools say what was wrong."""
    text = " ".join(str(ending).split())
    return f"{type(ending).__name__}: {text if len(text) <= REASON_MAX else '...' + text[-REASON_MAX:]}"


def _state(path: Path, key: str) -> dict:  # type: ignore[type-arg]
    fresh = {"sources": key, "took_s": 0.0, "next": 0, "counts": {}, "failed": 0, "failures": [], "ended": ""}
    if not path.is_file():
        return fresh
    kept = json.loads(path.read_text())
    return {**fresh, **kept, "ended": ""} if kept["sources"] == key else fresh


def _save(path: Path, state: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(state))
    draft.replace(path)


def drive(name: str, minutes: float) -> bool:
    """All shards of a campaign, with progress; records its figures. False when something failed."""
    campaign, key = find(name), digest(name)
    until_s = time.time() + minutes * 60
    env = {**os.environ, "NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.chaos.campaign", name),
                *("--shard", str(s), "--until", str(until_s), "--sources", key),
            ],
            cwd=ROOT,
            env=env,
        )
        for s in range(campaign.shards)
    ]
    try:
        told_s = time.time()
        while any(p.poll() is None for p in running):
            time.sleep(0.2)
            if time.time() - told_s >= PROGRESS_S:
                told_s = time.time()
                _tell(campaign, key)
    finally:
        for process in running:
            if process.poll() is None:
                process.terminate()
    counts, done, failed, failures = _tell(campaign, key)
    campaign.record(counts, done, failures)
    crashed = [p.returncode for p in running if p.returncode]
    if crashed:
        print(f"{name}: {len(crashed)} shards ended with {crashed}")
        for reason in _endings(campaign):
            print(f"    {reason}", flush=True)
    took_s = sum(s["took_s"] for s in _states(campaign, key))
    shown = ", ".join(f"{n} {k}" for k, n in sorted(counts.items()))
    good = not failed and not crashed and done >= campaign.units
    print(
        f"{name} {'holds' if good else 'FAILED' if failed or crashed else 'goes on next time'}: "
        f"{done} of {campaign.units} units in {took_s / 60:.1f} minutes of its {campaign.shards} shards together; "
        f"{failed} failed; {shown}; key {key}",
        flush=True,
    )
    return good


def _tell(campaign: Campaign, key: str) -> tuple[Counts, int, int, list[str]]:
    states = list(_states(campaign, key))
    counts: Counts = {}
    for state in states:
        for key, count in state["counts"].items():
            counts[key] = counts.get(key, 0) + count
    done = sum(s["next"] for s in states)
    failed = sum(s["failed"] for s in states)
    failures = [f for s in states for f in s["failures"]]
    shown = ", ".join(f"{n} {k}" for k, n in sorted(counts.items()))
    print(f"{campaign.name}: {done}/{campaign.units}, {failed} failed; {shown}", flush=True)
    for failure in failures[:3]:
        print(f"    {failure[:300]}")
    return counts, done, failed, failures


def _endings(campaign: Campaign) -> Iterator[str]:
    """Why shards ended before their time, as they wrote it down; one that was killed could not."""
    for shard in range(campaign.shards):
        path = STATE / f"{campaign.name}.{shard}.json"
        reason = json.loads(path.read_text()).get("ended") if path.is_file() else ""
        if reason:
            yield f"shard {shard}, {reason}"


def _states(campaign: Campaign, key: str) -> Iterator[dict]:  # type: ignore[type-arg]
    for shard in range(campaign.shards):
        yield _state(STATE / f"{campaign.name}.{shard}.json", key)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(NAMES))
    parser.add_argument("--minutes", type=float, default=MINUTES_MAX, help="most for each campaign")
    parser.add_argument("--shard", type=int)
    parser.add_argument("--until", type=float, default=float("inf"))
    parser.add_argument(
        "--sources", help="a shard's: what its driver counts, though a file changes meanwhile"
    )
    args = parser.parse_args()
    if args.shard is not None:
        work(args.names[0], args.shard, args.until, args.sources or digest(args.names[0]))
        return 0
    names = dict.fromkeys(each for name in args.names for each in TOGETHER.get(name, (name,)))
    good = [drive(name, args.minutes) for name in names or NAMES]
    return 0 if all(good) else 1


if __name__ == "__main__":
    # by its own name: a record defined twice is two records
    sys.exit(importlib.import_module("tests.chaos.campaign").main())
