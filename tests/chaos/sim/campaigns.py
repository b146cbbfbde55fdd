"""The simulation's campaigns: many seeds of the real code, and the planted bugs that seeds must find."""

from __future__ import annotations

from tests.bench.figures import record
from tests.chaos.campaign import Campaign, Counts, Verdict
from tests.chaos.sim import bugs
from tests.chaos.sim.quiet import hushed
from tests.chaos.sim.revival import run_revival
from tests.chaos.sim.scenes import SHOWN_BY
from tests.chaos.sim.world import Result, run

SEEDS = 20_000
REVIVALS = 1_000
BUG_SEEDS = 500
EVIDENCE = "own_double"


def seed(number: int) -> Verdict:
    """One seed of the code as it is."""
    return _verdict(run(number)[0])


def revival(number: int) -> Verdict:
    """One seed in which bytes of the past come back."""
    return _verdict(run_revival(number)[0])


def _verdict(result: Result) -> Verdict:
    counts = {
        "crashes": result.crashes,
        "blocks": result.blocks,
        "reorganisations": result.reorgs,
        "actions": result.actions,
        "violations": len(result.violations),
        "revived": result.revived,
        "doubled": len(result.doubles),
        "doubled_avoidably": sum(d.avoidable for d in result.doubles),
        "prompt": result.prompt_n,
    }
    for double in result.doubles:
        counts["doubled_usd"] = counts.get("doubled_usd", 0) + double.late.usd
    return Verdict(counts=counts, failure="; ".join(result.violations))


def hunt(name: str, seeds: range) -> int | None:
    """The first seed that a planted bug fails and the code as it is passes, or None."""
    play = SHOWN_BY.get(name, run)
    for s in seeds:
        with bugs.BUGS[name]():
            caught = play(s)[0].violations
        if caught and not play(s)[0].violations:
            return s
    return None


def planted(number: int) -> Verdict:
    """One planted bug, looked for with as many seeds as it takes."""
    name = list(bugs.BUGS)[number]
    first = hunt(name, range(BUG_SEEDS))
    if first is None:
        return Verdict(counts={"missed": 1}, failure=f"{name} was not caught by {BUG_SEEDS} seeds")
    return Verdict(counts={"caught": 1, "seeds": first + 1})


def record_seeds(counts: Counts, done: int, failures: list[str]) -> None:
    """sim_seeds, sim_crashes, sim_violations."""
    record("sim_seeds", done, bound=f">= {SEEDS}", holds=done >= SEEDS, evidence=EVIDENCE, n=done)
    crashes, violations = counts.get("crashes", 0), counts.get("violations", 0)
    record("sim_crashes", crashes, bound=">= 100000", holds=crashes >= 100_000, evidence=EVIDENCE, n=done)
    record("sim_violations", violations, bound="= 0", holds=violations == 0, evidence=EVIDENCE, n=done)


def record_revivals(counts: Counts, done: int, failures: list[str]) -> None:
    """revived_transactions, revived_doubles, revived_doubles_avoidable, revived_double_usd_mean."""
    doubled = counts.get("doubled", 0)
    record("revived_transactions", counts.get("revived", 0), evidence=EVIDENCE, n=done)
    record("revived_doubles", doubled, evidence=EVIDENCE, n=done)
    avoidable = counts.get("doubled_avoidably", 0) + counts.get("violations", 0)
    record(
        "revived_doubles_avoidable",
        avoidable,
        bound="= 0",
        holds=avoidable == 0 and done >= REVIVALS,
        evidence=EVIDENCE,
        n=done,
    )
    mean_usd = counts.get("doubled_usd", 0) // max(doubled, 1)
    record("revived_double_usd_mean", mean_usd, unit="USD", evidence=EVIDENCE, n=done)


def record_bugs(counts: Counts, done: int, failures: list[str]) -> None:
    """planted_bugs_caught."""
    caught, all_of_them = counts.get("caught", 0), len(bugs.BUGS)
    record(
        "planted_bugs_caught",
        caught,
        unit=f"of {all_of_them}",
        bound=f">= 20 and all {all_of_them}",
        holds=caught == all_of_them and caught >= 20,
        evidence=EVIDENCE,
        n=done,
    )


SIM = Campaign(name="sim", units=SEEDS, run=seed, record=record_seeds, around=hushed, also=())
REVIVAL = Campaign(
    name="revival", units=REVIVALS, run=revival, record=record_revivals, around=hushed, also=()
)
BUGS = Campaign(name="bugs", units=len(bugs.BUGS), run=planted, record=record_bugs, around=hushed, also=())
