"""What least cost is worth: the optimiser against a plain search, the best single action and the usual rule.

1,000 random portfolios (``tests.rescue_grid.portfolio``, seeds 0 to 999): one to three positions below target, one
wallet, sales over four parts of rising impact, base case and a stress of -20 %. The usual rule sells the largest
collateral into the largest debt. Times are process CPU of one ``solve`` in a warm process: every portfolio once
(``optimiser_ms_p99_once``), then the slowest twentieth twice more, of which the best of three counts
(``optimiser_ms_p99``): what is slow three times is the problem's, what is slow once may be the machine's.
"""

from __future__ import annotations

import gc
import random
import time
from dataclasses import replace
from statistics import median

import pytest

from keeper.decision import Memory, Options, decide
from keeper.decision.optimise import solve
from keeper.decision.problem import Problem, Solution, alone
from strategies.registry import SHIPPED
from tests import build, mandates
from tests.bench.figures import record
from tests.fakes import LendingDouble
from tests.rescue_grid import grid, portfolio, splits

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

PORTFOLIOS = 1000
SEARCHED = 1000
"""How many of them the plain search is run on: a fifth of a second each, a second for a large one."""
SAVED_MIN, COMBINED_MIN = 0.5, 0.5
"""Seeds are fixed, so less than this (0.68 and 0.58 were found) is a change of the optimiser's."""
TICKS = 300
"""Decisions through the whole room."""


Row = tuple[Problem, Solution | None, float]
"""Problem, answer (None when refused) and CPU in ms."""


@pytest.fixture(scope="module")
def once() -> list[Row]:
    """Each portfolio solved once."""
    solve(portfolio(0))
    gc.freeze()
    rows = [_solved(portfolio(seed)) for seed in range(PORTFOLIOS)]
    gc.unfreeze()
    return rows


@pytest.fixture(scope="module")
def solved(once: list[Row]) -> list[Row]:
    """The same with the slowest twentieth solved three times, the fastest of which counts."""
    rows = list(once)
    slowest = sorted(range(PORTFOLIOS), key=lambda i: rows[i][2])[-PORTFOLIOS // 20 :]
    gc.freeze()
    for i in slowest:
        rows[i] = min([rows[i], *(_solved(rows[i][0]) for _ in range(2))], key=lambda row: row[2])
    gc.unfreeze()
    return rows


def _solved(problem: Problem) -> Row:
    start_s = time.process_time()
    found = solve(problem)
    spent_ms = (time.process_time() - start_s) * 1e3
    return problem, found if isinstance(found, Solution) else None, spent_ms


def test_time__p99(once: list[Row], solved: list[Row]) -> None:
    spent, raw = (sorted(ms for _, _, ms in rows) for rows in (solved, once))
    p99, p99_once = (times[int(len(times) * 0.99)] for times in (spent, raw))
    print(f"\nsolve: median {median(spent):.1f} ms, p99 {p99:.1f} ms, largest {spent[-1]:.1f} ms", end="")
    print(
        f" (the slowest twentieth best of three; all once: p99 {p99_once:.1f} ms, largest {raw[-1]:.1f} ms)"
    )
    record(
        "optimiser_ms_p99", round(p99_once, 2), unit="ms CPU, each once", bound="< 20", holds=p99_once < 20,
        evidence="generated", n=PORTFOLIOS,
    )  # fmt: skip
    record(
        "optimiser_ms_p99_best_of_three", round(p99, 2), unit="ms CPU, slowest twentieth best of three",
        evidence="generated", n=PORTFOLIOS,
    )  # fmt: skip
    assert (
        median(spent) < 20
    )  # the highest of a thousand is the machine's too; the record says whether it held


def test_gap__to_a_plain_search(solved: list[Row]) -> None:
    """(our cost / the search's cost) - 1, the largest; a plan found only by the search counts as infinite."""
    gaps = list[float]()
    for seed, (problem, found, _) in enumerate(solved[:SEARCHED]):
        searched = _searched(problem, seed)
        if searched is None:
            continue
        reached = found is not None and found.stressed and all(found.reaches)
        gaps.append(found.cost_usd / searched - 1 if reached and found is not None else float("inf"))
    worst, missed = max(gaps), sum(g == float("inf") for g in gaps)
    record("optimiser_plans_missed", missed, bound="0", holds=missed == 0, evidence="generated", n=len(gaps))
    print(
        f"\ngap to the search over {len(gaps)} portfolios: largest {worst:+.4%}, median {median(gaps):+.2%}"
    )
    record(
        "optimiser_gap_to_grid_max",
        round(worst, 5),
        bound="<= 0.01",
        holds=worst <= 0.01,
        evidence="generated",
        n=len(gaps),
    )
    assert worst <= 0.01
    assert missed == 0


def test_saving__against_the_usual_rule(solved: list[Row]) -> None:
    """1 - our cost / the cost of selling the largest collateral into the largest debt, where that rule does."""
    savings, cheaper, only, compared = list[float](), 0, 0, 0
    for problem, found, _ in solved:
        if found is None or len(problem.forms) != 1 or not (found.stressed and all(found.reaches)):
            continue
        singles = [a for w in problem.ways if not (a := alone(problem, w)).short]
        compared += 1
        only += not singles
        cheaper += bool(singles) and found.cost_usd < 0.99 * min(a.cost_usd for a in singles)
        largest = max((w for w in problem.ways if w.name.startswith("sell")), key=lambda w: w.usd_max)
        rule = alone(problem, largest)
        if not rule.short:
            savings.append(1 - found.cost_usd / rule.cost_usd)
    share, only_share = cheaper / compared, only / compared
    print(f"\nsaved against the rule: median {median(savings):.1%} of its cost over {len(savings)}")
    print(f"a combination beats the best single action by more than 1 %: {share:.1%} of {compared}")
    print(f"no single action reaches the target, a combination does: {only_share:.1%} of {compared}")
    record(
        "optimiser_saving_median",
        round(median(savings), 4),
        unit="share",
        bound=f">= {SAVED_MIN}",
        holds=median(savings) >= SAVED_MIN,
        evidence="generated",
        n=len(savings),
    )
    record(
        "optimiser_combination_share", round(share, 4), unit="share", bound=f">= {COMBINED_MIN}",
        holds=share >= COMBINED_MIN, evidence="generated", n=compared,
    )  # fmt: skip
    record("optimiser_only_way_share", round(only_share, 4), unit="share", evidence="generated", n=compared)
    assert min(savings) >= -0.01, "never dearer than the rule by more than the gap that is allowed"
    assert median(savings) >= SAVED_MIN
    assert share >= COMBINED_MIN


def test_decide__what_it_costs_in_a_tick() -> None:
    """The whole room on two positions with one wallet and an Executor, and on one position with a rich wallet."""
    pairs, singles = (
        sorted(_decided_ms(s, 2) for s in range(TICKS)),
        sorted(_decided_ms(s, 1) for s in range(TICKS)),
    )
    p99, one = pairs[int(TICKS * 0.99)], median(singles)
    print(
        f"\ndecide: one position median {one:.2f} ms; two competing median {median(pairs):.2f}, p99 {p99:.2f} ms"
    )
    record(
        "decide_one_ms",
        round(one, 2),
        unit="ms CPU",
        bound="< 3",
        holds=one < 3,
        evidence="own_double",
        n=TICKS,
    )
    record(
        "decide_competing_ms_p99", round(p99, 2), unit="ms CPU", bound="< 20", holds=p99 < 20,
        evidence="own_double", n=TICKS,
    )  # fmt: skip


def _decided_ms(seed: int, count: int) -> float:
    """Process CPU of one decision about borrowers at random healths, random money, random depth."""
    r = random.Random(seed)
    health = [f"{r.uniform(1.02, 1.24):.3f}" for _ in range(2)]
    pair = [
        mandates.borrower(health[0]),
        replace(mandates.borrower(health[1]), id=build.position_id(build.BOB)),
    ]
    dollars = 60_000 if count == 1 else r.randint(0, 6_000)
    money = (build.amount(build.USDC, str(dollars)),)
    routes = [mandates.route(impact_ppm=r.randint(0, 8_000), most="20000")]
    means = replace(mandates.means(None, routes), balances=money, allowances=build.means(money).allowances)
    snapshot = build.snapshot(pair[:count], wallet=means)
    policy = build.policy(target="1.40", strategies=("repay", "add_collateral", "deleverage"))
    venue = LendingDouble()
    options = Options(venues={venue.id: venue}, strategies=SHIPPED)
    outlooks = [build.outlook(p) for p in snapshot.positions]
    start_s = time.process_time()
    decide(snapshot, outlooks, {p.id: policy for p in snapshot.positions}, Memory(), options)
    return (time.process_time() - start_s) * 1e3


def _searched(problem: Problem, seed: int) -> float | None:
    """The least cost found by the plain search; several positions get the wallet dealt out at random, 6 times."""
    if len(problem.forms) == 1:
        found = grid(problem)
        return None if found is None else found[0]
    totals = list[float]()
    for parts in splits(problem, 6, seed):
        each = [grid(p, 3) for p in parts]
        if all(e is not None for e in each):
            totals.append(sum(e[0] for e in each if e is not None))
    return min(totals, default=None)
