"""The cheapest rescue: never missed when there is one, never dearer than what a plain search finds."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import highspy
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from keeper.decision.optimise import UNIT_USD, _solution, solve
from keeper.decision.problem import Form, Part, Problem, Solution, Way, alone, gains, missing, tightened
from keeper.decision.program import GAP
from keeper.model import Refusal
from tests.rescue_grid import fits, grid, left, portfolio

pytestmark = pytest.mark.property
seeds = st.integers(0, 10**6)
INF = float("inf")


def amounts_of(solution: Solution) -> list[tuple[Way, float]]:
    return [(t.way, t.usd) for t in solution.taken]


@given(seed=seeds)
@settings(max_examples=60, deadline=None)
def test_solution__when_said_to_reach__then_every_floor_holds_and_nothing_is_overdrawn(seed: int) -> None:
    problem = portfolio(seed)
    found = solve(problem)
    assume(isinstance(found, Solution) and found.stressed)
    assert isinstance(found, Solution)
    assert all(found.reaches)
    assert fits(problem, found.taken)
    for gap, form in zip(left(problem, amounts_of(found)), problem.forms, strict=True):
        assert max(gap) <= 1e-6 * form.debt[0]


@given(seed=seeds)
@settings(max_examples=15, deadline=None)
def test_solution__when_a_plain_search_finds_one__then_it_is_found_and_no_dearer(
    seed: int,
) -> None:
    problem = portfolio(seed)
    assume(len(problem.forms) == 1)
    found, plain = solve(problem), grid(problem, 4)
    assume(plain is not None)
    assert plain is not None
    assert isinstance(found, Solution)
    assert found.stressed
    assert found.cost_usd <= plain[0] * 1.001 + 1e-6


@given(seed=seeds)
@settings(max_examples=40, deadline=None)
def test_tightened__when_solved__then_the_cost_is_the_same(seed: int) -> None:
    problem = portfolio(seed)
    once, twice = solve(problem), solve(tightened(problem))
    if isinstance(once, Refusal) or not once.stressed:
        return
    assert isinstance(twice, Solution)
    assert twice.cost_usd == pytest.approx(once.cost_usd, rel=2.1e-3)


@given(seed=seeds)
@settings(max_examples=40, deadline=None)
def test_alone__when_it_does__then_the_solution_is_no_dearer(seed: int) -> None:
    problem = portfolio(seed)
    assume(len(problem.forms) == 1)
    singles = [a.cost_usd for w in problem.ways if not (a := alone(problem, w)).short]
    assume(singles)
    found = solve(problem)
    assert isinstance(found, Solution)
    assert found.cost_usd <= min(singles) * 1.001 + 1e-6


Rows = list[tuple[float, list[float], float]]
"""Of each row of a program the least, every column's value, and the most."""


def detailed(seed: int) -> Problem:
    """A portfolio with all that a way can say: least amounts, all or nothing, one of a group, gas money, ceilings."""
    r, plain = random.Random(seed), portfolio(seed)
    forms = [replace(f, ceiling=r.choice((INF, f.floor[0] * r.uniform(1.05, 1.4)))) for f in plain.forms]
    ways = [replace(w, takes={"gas": w.fixed_usd}) if r.random() < 0.5 else w for w in plain.ways]
    ways = [replace(w, instead_of=r.choice("ab")) if r.random() < 0.3 else w for w in ways]
    for i, way in enumerate(ways):
        if r.random() < 0.3:
            ways[i] = replace(way, usd_min=r.uniform(100, 8_000))
        elif r.random() < 0.2:
            parts = tuple(replace(p, usd_max=min(p.usd_max, 4e5) * r.uniform(0.02, 0.2)) for p in way.parts)
            ways[i] = replace(way, whole=True, parts=parts)
    have = {**plain.resources, "gas": r.uniform(50, 200)}
    return replace(plain, forms=tuple(forms), ways=tuple(ways), resources=have)


def plainly(problem: Problem) -> tuple[float, dict[tuple[int, str], float]] | None:
    """Least cost and amounts by the same words written down plainly: dollars, every row, no gap; None when none."""
    parts = [(w, way, part) for w, way in enumerate(problem.ways) for part in way.parts]
    lp, rows = highspy.HighsLp(), [*_switches(problem, parts), *_limits(problem, parts)]
    count = len(parts) + len(problem.ways)
    lp.num_col_, lp.num_row_ = count, len(rows)
    lp.col_cost_ = np.array([p.cost for _, _, p in parts] + [w.fixed_usd for w in problem.ways])
    lp.col_lower_ = np.zeros(count)
    lp.col_upper_ = np.array([p.usd_max for _, _, p in parts] + [1.0] * len(problem.ways))
    lp.row_lower_, lp.row_upper_ = np.array([r[0] for r in rows]), np.array([r[2] for r in rows])
    kinds = highspy.HighsVarType
    lp.integrality_ = [kinds.kContinuous] * len(parts) + [kinds.kInteger] * len(problem.ways)
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = np.arange(0, count * len(rows) + 1, count, dtype=np.int32)
    lp.a_matrix_.index_ = np.tile(np.arange(count, dtype=np.int32), len(rows))
    lp.a_matrix_.value_ = np.array([r[1] for r in rows]).ravel()
    highs = highspy.Highs()  # type: ignore[no-untyped-call]
    for name, value in {"output_flag": False, "threads": 1, "mip_rel_gap": 1e-9}.items():
        highs.setOptionValue(name, value)
    highs.passModel(lp)
    highs.run()
    if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return None
    moved = dict[tuple[int, str], float]()
    for (_, way, _), usd in zip(parts, highs.getSolution().col_value, strict=False):
        moved[way.position, way.name] = moved.get((way.position, way.name), 0.0) + usd
    return highs.getInfo().objective_function_value, moved


def _switches(problem: Problem, parts: list[tuple[int, Way, Part]]) -> Rows:
    """What a way moves when it is on, and that one of a group is."""
    rows, count = Rows(), len(parts) + len(problem.ways)
    for c, (w, way, part) in enumerate(parts):
        row = [0.0] * count
        row[c], row[len(parts) + w] = -1.0, part.usd_max
        rows.append((0.0, row, 0.0 if way.whole else INF))
    for w, way in enumerate(problem.ways):
        row = [float(v == w) for v, _, _ in parts] + [0.0] * len(problem.ways)
        row[len(parts) + w] = -way.usd_min
        rows.append((0.0, row, INF))
    for group in {w.instead_of for w in problem.ways} - {""}:
        on = [float(w.instead_of == group) for w in problem.ways]
        rows.append((0.0, [0.0] * len(parts) + on, 1.0))
    return rows


def _limits(problem: Problem, parts: list[tuple[int, Way, Part]]) -> Rows:
    """Resources, floors and ceilings."""
    rows, off = Rows(), [0.0] * len(problem.ways)
    for name, have in problem.resources.items():
        used = [way.uses.get(name, 0.0) for _, way, _ in parts]
        rows.append((0.0, used + [w.takes.get(name, 0.0) for w in problem.ways], have))
    for p, form in enumerate(problem.forms):
        for s in range(len(form.debt)):
            closed = [gains(form, part)[s] if way.position == p else 0.0 for _, way, part in parts]
            rows.append((missing(form, s), closed + off, INF))
        if form.ceiling < INF:
            over = [x.weighted[0] - form.ceiling * x.debt[0] if w.position == p else 0.0 for _, w, x in parts]
            rows.append((-INF, over + off, form.ceiling * form.debt[0] - form.weighted[0]))
    return rows


@given(seed=seeds, of=st.sampled_from([portfolio, detailed]))
@settings(max_examples=30, deadline=None)
def test_solution__when_everything_is_written_down_plainly__then_the_same_plan(
    seed: int, of: Callable[[int], Problem]
) -> None:
    """What makes the search short (limits, rows left out, thousands, no trials) changes no answer."""
    problem = of(seed)
    found, plain = solve(problem), plainly(problem)
    assert (plain is not None) == (isinstance(found, Solution) and found.stressed)
    if plain is None or not isinstance(found, Solution):
        return
    assert plain[0] * (1 - 1e-6) <= found.cost_usd <= plain[0] * (1 + GAP) + 1e-6
    if found.cost_usd > plain[0] * (1 + 1e-9) + 1e-6:
        return  # within the gap at which the search ends
    amounts = {(t.way.position, t.way.name): t.usd for t in found.taken}
    assert amounts == pytest.approx({k: v for k, v in plain[1].items() if v > 0.01}, rel=1e-5, abs=0.01)


def one(floor: tuple[float, float], wallet: float, ceiling: float = float("inf")) -> Problem:
    """80 k of collateral at 0.83 against 60 k of debt; 5 k may be repaid from the wallet."""
    form = Form(weighted=(66_400.0, 53_120.0), debt=(60_000.0, 60_000.0), floor=floor, ceiling=ceiling)
    back = Part(usd_max=60_000.0, cost=0.001, weighted=(0.0, 0.0), debt=(-1.0, -1.0))
    way = Way(name="repay", position=0, fixed_usd=5.0, parts=(back,), uses={"USDC": 1.0})
    return Problem(forms=(form,), ways=(way,), resources={"USDC": wallet})


def test_solution__when_the_closed_form_is_known__then_it_is_that() -> None:
    found = solve(one((1.2, 0.5), 1e6))
    assert isinstance(found, Solution)
    assert found.taken[0].usd == pytest.approx(60_000 - 66_400 / 1.2, rel=1e-6)
    assert found.cost_usd == pytest.approx(5 + 0.001 * (60_000 - 66_400 / 1.2), rel=1e-6)


def test_stress__when_it_cannot_be_met__then_the_base_case_still_is() -> None:
    found = solve(one((1.2, 1.0), 6_000.0))
    assert isinstance(found, Solution)
    assert not found.stressed
    assert all(found.reaches)


def test_floor__when_out_of_reach__then_the_nearest_is_taken_and_said() -> None:
    found = solve(one((1.5, 0.5), 3_000.0))
    assert isinstance(found, Solution)
    assert found.reaches == (False,)
    assert not found.stressed
    assert found.taken[0].usd == pytest.approx(3_000, rel=1e-5)


def test_nothing__when_the_wallet_is_empty__then_a_reason() -> None:
    found = solve(one((1.5, 0.5), 0.0))
    assert isinstance(found, Refusal)
    assert found.code == "no_way"


def test_ceiling__when_below_the_floor__then_nothing_is_overdone() -> None:
    found = solve(one((1.3, 0.5), 1e6, ceiling=1.25))
    assert isinstance(found, Solution)
    health = 66_400 / (60_000 - found.taken[0].usd)
    assert health <= 1.25 + 1e-6
    assert found.reaches == (False,)


def test_safe__when_every_floor_holds__then_nothing_is_done() -> None:
    found = solve(one((1.05, 0.5), 1e6))
    assert found == Solution(taken=(), cost_usd=0.0, reaches=(True,), stressed=True)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0])
def test_problem__when_a_cost_is_no_number__then_refused_by_name(bad: float) -> None:
    problem = one((1.2, 0.5), 1e6)
    part = replace(problem.ways[0].parts[0], cost=bad)
    found = solve(replace(problem, ways=(replace(problem.ways[0], parts=(part,)),)))
    assert isinstance(found, Refusal)
    assert found.code == "malformed"
    assert "repay" in found.why or "finite" in found.why


def test_wallet__when_two_positions_compete__then_it_is_spent_once() -> None:
    single = one((1.2, 0.5), 0.0)
    form, way = single.forms[0], single.ways[0]
    sale = Part(usd_max=80_000.0, cost=0.01, weighted=(-0.83, -0.66), debt=(-0.99, -0.99))
    ways = [replace(way, position=p) for p in (0, 1)]
    ways += [Way(name="sell", position=p, fixed_usd=30.0, parts=(sale,)) for p in (0, 1)]
    problem = Problem(forms=(form, form), ways=tuple(ways), resources={"USDC": 5_000.0})
    found = solve(problem)
    assert isinstance(found, Solution)
    assert all(found.reaches)
    assert fits(problem, found.taken)
    assert {t.way.name for t in found.taken} == {"repay", "sell"}


def test_switch__when_off_and_the_solver_lets_a_cent_through__then_no_way_is_taken() -> None:
    """Found among programs that nothing could meet: a way for a cent, with all of its gas in the cost."""
    problem = one((1.2, 0.5), 1e6)
    small, all_of_it = 7.7e-6, (60_000 - 66_400 / 1.2) / UNIT_USD
    assert _solution(problem, [1e-6, small]).taken == ()
    assert _solution(problem, [1e-6, small]).cost_usd == 0.0
    assert _solution(problem, [1.0, all_of_it]).reaches == (True,)
