"""A stolen bot key for seven days, five hundred times: what it takes, against what docs/TRUST.md promises.

The weeks are played inside forge, on the real Aave v3.6 and Uniswap v3 and the committed Executor
(contracts/test/Leak.t.sol). Planted defects go under the same drill, which has to notice them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from anvil.forge import ForgeReport, leak_drill
from anvil.mutants import build, read_mutants
from tests.bench.figures import record
from tests.chaos import sources
from tests.chaos.campaign import ON_AAVE, Campaign, Counts, Verdict

SEEDS = 500
A_UNIT = 10
TRIES = 10
PLANTED = ("cap_off", "price_bound_not_asked_of_the_router", "price_bound_off", "flash_fee_unbounded")
"""Defects of contracts/mutants/mutants.toml by which a thief takes more."""
PLANTED_SEEDS = 24
WAYS = ("slippage", "gap", "reserve", "tank", "liquidation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Week:
    """The worst week that the thief of one seed found."""

    seed: int
    over: bool
    taken: tuple[int, ...]
    """As WAYS: WETH units, WETH units, USDC units, wei, USDC units."""
    bound: tuple[int, ...]
    taken_usdc: int
    bound_usdc: int
    acts: int
    payments: int
    """Into the position from reserve and wallet, in all weeks that were tried."""

    @property
    def share(self) -> float:
        """Of the whole bound."""
        return self.taken_usdc / self.bound_usdc if self.bound_usdc else 0.0

    def share_of(self, way: str) -> float:
        """Of the bound of one way; 0 where nothing may be taken that way."""
        i = WAYS.index(way)
        return self.taken[i] / self.bound[i] if self.bound[i] else 0.0


def read_weeks(report: ForgeReport) -> tuple[Week, ...]:
    """The lines of the drill, in the order of their seeds."""
    rows = [line.split() for line in report.output.splitlines() if line.strip().startswith("leak ")]
    return tuple(_week(row) for row in rows)


def _week(row: list[str]) -> Week:
    """``leak SEED WAYS OVER`` and twice: five ways, their sum, acts, payments; taken, then bound."""
    numbers = [int(x) for x in row[4:]]
    taken, bound = numbers[:8], numbers[8:]
    return Week(
        seed=int(row[1]),
        over=row[3] == "1",
        taken=tuple(taken[:5]),
        bound=tuple(bound[:5]),
        taken_usdc=taken[5],
        bound_usdc=bound[5],
        acts=taken[6],
        payments=taken[7],
    )


def drilled(first: int, many: int, tries: int, artifact: Path | None = None) -> tuple[Week, ...]:
    """So many weeks. Raises AssertionError where the drill itself did not run to its end."""
    report = leak_drill(first, many, tries=tries, artifact=artifact)
    weeks = read_weeks(report)
    assert len(weeks) == many, report.output[-3000:]
    return weeks


def _counts(weeks: tuple[Week, ...]) -> Counts:
    """How near they came in steps of five per cent: counts of shards are added up, and a highest cannot be."""
    counts: Counts = {
        "seeds": len(weeks),
        "over": sum(w.over for w in weeks),
        "acts": sum(w.acts for w in weeks),
        "payments": sum(w.payments for w in weeks),
    }
    for week in weeks:
        key = f"share {int(week.share * 20) * 5:03d}"
        counts[key] = counts.get(key, 0) + 1
    for way in WAYS:
        counts[f"{way} over half"] = sum(w.share_of(way) > 0.5 for w in weeks)
    return counts


def _unit(number: int) -> Verdict:
    if number < len(PLANTED):
        return _planted(PLANTED[number])
    weeks = drilled((number - len(PLANTED)) * A_UNIT, A_UNIT, TRIES)
    over = [w for w in weeks if w.over]
    return Verdict(counts=_counts(weeks), failure=f"over the bound: {over}" if over else "")


def _planted(name: str) -> Verdict:
    mutant = next(m for m in read_mutants() if m.name == name)
    artifact = build(mutant)
    try:
        weeks = drilled(0, PLANTED_SEEDS, 2, artifact)
    finally:
        artifact.unlink()
    noticed = any(w.over for w in weeks)
    return Verdict(counts={"planted noticed": int(noticed)}, failure="" if noticed else f"{name} unnoticed")


def record_leak(counts: Counts, done: int, failures: list[str]) -> None:
    """leak_drill_seeds and leak_drill_over_bound, and how near the thieves came."""
    seeds, over = counts.get("seeds", 0), counts.get("over", 0)
    shares = {int(k.removeprefix("share ")): n for k, n in counts.items() if k.startswith("share ")}
    worst, half = max(shares, default=0), sum(n for share, n in shares.items() if share >= 50)
    told: tuple[tuple[str, int, str, bool], ...] = (
        ("leak_drill_seeds", seeds, f">= {SEEDS}", seeds >= SEEDS),
        ("leak_drill_over_bound", over, "0", over == 0 and seeds > 0),
        ("leak_drill_seeds_over_half_the_bound", half, "> 0", half > 0),
    )
    for name, value, bound, holds in told:
        record(name, value, bound=bound, holds=holds, evidence="real_bytecode", n=seeds)
    record("leak_drill_worst_share_pct", worst, unit="% of the bound, at least", bound=">= 50, <= 100",
           holds=50 <= worst <= 100, evidence="real_bytecode", n=seeds)  # fmt: skip
    each = ", ".join(f"{way} {counts.get(f'{way} over half', 0)}" for way in WAYS if way != "reserve")
    record("leak_drill_over_half_by_way", f"{each}; reserve: nothing of {counts.get('payments', 0)} payments",
           unit="seeds", evidence="real_bytecode", n=seeds)  # fmt: skip
    noticed = counts.get("planted noticed", 0)
    record("leak_drill_planted_noticed", noticed, bound=str(len(PLANTED)), holds=noticed == len(PLANTED),
           evidence="real_bytecode", n=len(PLANTED))  # fmt: skip


LEAK = Campaign(
    name="leak",
    units=len(PLANTED) + SEEDS // A_UNIT,
    run=_unit,
    record=record_leak,
    also=(
        *ON_AAVE,
        "contracts/mutants/mutants.toml",
        *sources.solidity("contracts/test/Leak.t.sol", "contracts/src/AaveV3Executor.sol"),
    ),
)
