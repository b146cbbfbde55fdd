"""The long forms of the contracts' own tests: 2.6 million calls of thieves and owners, and every planted defect."""

from __future__ import annotations

from anvil.forge import BOT_FUNCTIONS, DID_NOT_RUN, invariants
from anvil.mutants import judge, read_mutants
from tests.bench.figures import record
from tests.chaos import sources
from tests.chaos.campaign import FORGE, ON_AAVE, Campaign, Counts, Verdict

CALLS = 2_600_000
RUNS, DEPTH = 64, 256
A_UNIT = 2 * RUNS * DEPTH
"""Two suites: a bot with the whole of every cap, and one with a part."""
SHARE_MIN = 0.05
MUTANTS_MIN = 25
ON_DOUBLES = ("CompoundV3Executor", "MakerExecutor")
"""Executors whose tests stand on doubles of our own (CometDouble, MakerDouble); Aave's and Morpho's on real code."""


def _invariants(number: int) -> Verdict:
    report = invariants(RUNS, DEPTH, seed=hex(0x1000 + number))
    assert DID_NOT_RUN not in report.failed, report.output[-3000:]
    counts = {"calls": report.calls, "violations": len(report.failed), **report.succeeded}
    return Verdict(counts=counts, failure=f"{report.failed}: {report.output[-800:]}" if report.failed else "")


def record_invariants(counts: Counts, done: int, failures: list[str]) -> None:
    """executor_invariant_calls, executor_invariant_violations, and how often each bot function succeeded."""
    calls, broken = counts.get("calls", 0), counts.get("violations", 0)
    record("executor_invariant_calls", calls, bound=f">= {CALLS}", holds=calls >= CALLS,
           evidence="real_bytecode", n=calls)  # fmt: skip
    record("executor_invariant_violations", broken, bound="0", holds=broken == 0, evidence="real_bytecode",
           n=calls)  # fmt: skip
    least = min((counts.get(f, 0) / calls for f in BOT_FUNCTIONS), default=0.0) if calls else 0.0
    record("executor_invariant_success_pct_min", round(100 * least, 1), unit="% of calls",
           bound=f">= {SHARE_MIN:.0%}", holds=least >= SHARE_MIN, evidence="real_bytecode", n=calls)  # fmt: skip


def _mutant(number: int) -> Verdict:
    mutant = read_mutants()[number]
    verdict = judge(mutant)
    killed, where = bool(verdict.killers), "doubles " if mutant.contract in ON_DOUBLES else ""
    return Verdict(
        counts={f"{where}mutants": 1, f"{where}killed": int(killed)},
        failure="" if killed else f"{verdict.name} lives",
    )


def record_mutants(counts: Counts, done: int, failures: list[str]) -> None:
    """executor_mutants, executor_mutants_killed (on the protocols' real code), and the same on our doubles."""
    _record_mutants("", counts.get("mutants", 0), counts.get("killed", 0), "real_bytecode")
    _record_mutants(
        "_doubles", counts.get("doubles mutants", 0), counts.get("doubles killed", 0), "own_double"
    )


def _record_mutants(name: str, many: int, killed: int, evidence: str) -> None:
    least = _planted(evidence)
    record(
        f"executor_mutants{name}", many, bound=f">= {least}", holds=many >= least, evidence=evidence, n=many
    )
    record(f"executor_mutants{name}_killed", killed, bound=f"= {many}", holds=killed == many >= least,
           evidence=evidence, n=many)  # fmt: skip


def _planted(evidence: str) -> int:
    """How many must have been judged: the least that is asked on real code, every one of them on doubles."""
    doubled = sum(m.contract in ON_DOUBLES for m in read_mutants())
    return doubled if evidence == "own_double" else MUTANTS_MIN


_JUDGES = ("Callbacks", "CompoundV3", "Deleverage", "Invariants", "Maker", "MorphoBlue", "PayIn", "Settings")
"""The tests that have to notice a planted defect."""
_JUDGED = tuple(
    dict.fromkeys(
        (
            *(f"contracts/src/{m.contract}.sol" for m in read_mutants()),
            *(f"contracts/test/{t}.t.sol" for t in _JUDGES),
        )
    )
)

INVARIANTS = Campaign(
    name="invariants",
    units=-(-CALLS // A_UNIT),
    run=_invariants,
    record=record_invariants,
    also=(*ON_AAVE, *sources.solidity("contracts/test/Invariants.t.sol")),
)
CONTRACT_MUTANTS = Campaign(
    name="executor_mutants",
    units=len(read_mutants()),
    run=_mutant,
    record=record_mutants,
    also=(*FORGE, "contracts/mutants/mutants.toml", *sources.solidity(*_JUDGED)),
)
