"""The cheapest rescue: never missed when there is one, never dearer than what a plain search finds."""

from __future__ import annotations

from dataclasses import replace

import highspy
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from keeper.decision.optimise import solve
from keeper.decision.problem import Form, Part, Problem, Solution, Way, alone, gains, missing, tightened
from keeper.decision.program import GAP
from keeper.model import Refusal
from tests.rescue_grid import fits, grid, left, portfolio

pytestmark = pytest.mark.property
seeds = st.integers(0, 10**6)


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


def plainly(problem: Problem) -> tuple[float, dict[tuple[int, str], float]] | None:
    """Least cost and amounts by the same words written down plainly: dollars, every row, no gap; None when none."""
    parts = [(w, way, part) for w, way in enumerate(problem.ways) for part in way.parts]
    switches, count = len(parts), len(parts) + len(problem.ways)
    rows, lower = list[list[float]](), list[float]()
    for c, (w, _, part) in enumerate(parts):
        rows.append([0.0] * count)
        rows[-1][c], rows[-1][switches + w] = -1.0, part.usd_max
        lower.append(0.0)
    for name, have in problem.resources.items():
        rows.append([-way.uses.get(name, 0.0) for _, way, _ in parts] + [0.0] * len(problem.ways))
        lower.append(-have)
    for p, form in enumerate(problem.forms):
        for s in range(len(form.debt)):
            closed = [gains(form, part)[s] if way.position == p else 0.0 for _, way, part in parts]
            rows.append(closed + [0.0] * len(problem.ways))
            lower.append(missing(form, s))
    highs = highspy.Highs()  # type: ignore[no-untyped-call]
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("threads", 1)
    highs.setOptionValue("mip_rel_gap", 1e-9)
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = count, len(rows)
    lp.col_cost_ = np.array([p.cost for _, _, p in parts] + [w.fixed_usd for w in problem.ways])
    lp.col_lower_ = np.zeros(count)
    lp.col_upper_ = np.array([p.usd_max for _, _, p in parts] + [1.0] * len(problem.ways))
    lp.row_lower_, lp.row_upper_ = np.array(lower), np.full(len(rows), np.inf)
    kinds = highspy.HighsVarType
    lp.integrality_ = [kinds.kContinuous] * switches + [kinds.kInteger] * len(problem.ways)
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = np.arange(0, count * len(rows) + 1, count, dtype=np.int32)
    lp.a_matrix_.index_ = np.tile(np.arange(count, dtype=np.int32), len(rows))
    lp.a_matrix_.value_ = np.array(rows).ravel()
    highs.passModel(lp)
    highs.run()
    if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return None
    moved = dict[tuple[int, str], float]()
    for (_, way, _), usd in zip(parts, highs.getSolution().col_value, strict=False):
        moved[way.position, way.name] = moved.get((way.position, way.name), 0.0) + usd
    return highs.getInfo().objective_function_value, moved


@given(seed=seeds)
@settings(max_examples=15, deadline=None)
def test_solution__when_everything_is_written_down_plainly__then_the_same_plan(seed: int) -> None:
    """What makes the search short (limits, rows left out, thousands, no trials) changes no answer."""
    problem = portfolio(seed)
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
