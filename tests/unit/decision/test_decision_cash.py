"""No combination relies on collateral that cannot leave: a market's cash is one resource of all who would sell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from keeper.decision import Memory, Options, decide
from keeper.decision.optimise import solve
from keeper.decision.problem import Problem, Solution
from keeper.decision.purse import Purse
from keeper.model import Decision, Deleverage, Means, Policy, Refusal, Repay, Side, Token
from keeper.units import WAD
from strategies.registry import SHIPPED
from tests import build, mandates
from tests.build import ALICE, BOB, TOKENS, USDC, WETH, amount, collateral, debt, position
from tests.fakes import LendingDouble
from tests.plans import plan as build_plan

pytestmark = pytest.mark.unit

POLICY = build.policy(target="1.40", strategies=("repay", "add_collateral", "deleverage"))
CASH = f"cash:{build.VENUE}:{WETH.address}"
LOAN = position([collateral(WETH, "8.2")], [debt(USDC, "12000")])


def wallet(usdc: str, cash: str) -> Means:
    """So many dollars, an Executor that may sell eight ETH, and a market that can pay out so many."""
    listed = (mandates.asset(WETH, Side.COLLATERAL, granted=8 * WAD), mandates.asset(USDC, Side.DEBT))
    found = mandates.means(mandates.mandate(assets=listed), [mandates.route(most="20000")])
    reserves = [
        replace(build.reserve(t), cash_units=build.units(t, cash)) if t == WETH else build.reserve(t)
        for t in TOKENS
    ]
    money = (amount(USDC, usdc),)
    return replace(found, balances=money, allowances=build.means(money).allowances, reserves=tuple(reserves))


class Solver:
    """The shipped one; keeps what it was asked and what it said."""

    def __init__(self) -> None:
        self.said: list[tuple[Problem, Solution | Refusal]] = []

    def __call__(self, problem: Problem) -> Solution | Refusal:
        found = solve(problem)
        self.said.append((problem, found))
        return found


def decided(means: Means, solver: Solver, policy: Policy = POLICY, **waiting: Any) -> Decision:
    """Alice's decision."""
    venue = LendingDouble()
    options = Options(venues={venue.id: venue}, strategies=SHIPPED, solver=solver, **waiting)
    outlook = replace(build.outlook(LOAN), loss_usd=0.0)
    snapshot = build.snapshot([LOAN], wallet=means)
    (found,), _ = decide(snapshot, [outlook], {LOAN.id: policy}, Memory(), options)
    assert found.id.account == ALICE
    return found


def drawn(problem: Problem, found: Solution) -> float:
    """Dollars of the market's ETH that a solution takes out."""
    uses: Mapping[str, float] = {w.name: w.uses.get(CASH, 0.0) for w in problem.ways}
    return sum(t.usd * uses[t.way.name] for t in found.taken)


def test_ways__when_a_part_of_the_collateral_can_leave__then_the_solver_takes_no_more_and_the_wallet_the_rest() -> (
    None
):
    solver = Solver()
    found = decided(wallet("800", "2"), solver)
    problem, said = solver.said[0]
    assert isinstance(said, Solution), said
    assert problem.resources[CASH] == pytest.approx(2 * 2_000.0)
    assert 0 < drawn(problem, said) <= 2 * 2_000.0 * (1 + 1e-6)
    assert all(said.reaches)
    assert "FIRST OF 2 STEPS" in found.why
    assert isinstance(found.chosen[0].steps[0], Repay)


def test_ways__when_nothing_can_leave__then_no_solution_sells_and_what_is_left_is_the_wallet() -> None:
    solver = Solver()
    found = decided(wallet("800", "0"), solver)
    for problem, said in solver.said:
        assert not isinstance(said, Solution) or drawn(problem, said) == 0.0
    assert solver.said[0][0].resources[CASH] == 0.0
    assert not any(isinstance(s, Deleverage) for p in found.chosen for s in p.steps)
    refused = next(r for r in found.rejected if r.strategy == "deleverage")
    assert "no_cash: WETH cannot be paid out" in refused.why


def test_ways__when_all_can_leave__then_one_sale_does_it() -> None:
    solver = Solver()
    found = decided(wallet("0", "1000"), solver)
    (step,) = found.chosen[0].steps
    assert isinstance(step, Deleverage)
    assert step.sell_max.units > 2 * WAD


def test_purse__after_a_sale__then_the_cash_that_it_takes_is_not_there_for_the_next_position() -> None:
    solver = Solver()
    means = wallet("0", "1000")
    (chosen,) = decided(means, solver).chosen
    (sale,) = chosen.steps
    assert isinstance(sale, Deleverage)
    venue = LendingDouble()
    after = Purse(means=means).paying((chosen,), venue, build.block()).means
    assert cash(after, WETH) == 1_000 * WAD - sale.sell_max.units
    assert cash(after, USDC) == cash(means, USDC)
    elsewhere = replace(means, reserves=tuple(replace(r, venue="another") for r in means.reserves))
    untouched = Purse(means=elsewhere).paying((chosen,), venue, build.block()).means
    assert cash(untouched, WETH) == 1_000 * WAD
    twice = Purse(means=after).paying((chosen,) * 400, venue, build.block()).means
    assert cash(twice, WETH) == 0


def test_decide__when_another_sale_is_under_way_in_the_market__then_its_cash_is_not_planned_on() -> None:
    solver = Solver()
    (sale,) = decided(wallet("0", "1000"), solver).chosen[0].steps
    assert isinstance(sale, Deleverage)
    left = 2 * WAD
    means = wallet("0", "1000")
    means = replace(
        means,
        reserves=tuple(
            replace(r, cash_units=sale.sell_max.units + left) if r.token == WETH else r
            for r in means.reserves
        ),
    )
    opened = replace(build_plan(position=build.position_id(BOB)), steps=(sale,))

    def sold(**waiting: Any) -> int:
        found = decided(means, solver, **waiting)
        return sum(s.sell_max.units for p in found.chosen for s in p.steps if isinstance(s, Deleverage))

    assert sold() == sale.sell_max.units
    bobs = opened.key.position
    assert sold(replaceable={bobs: opened}, open_intents=frozenset({bobs})) <= left
    assert solver.said[-1][0].resources[CASH] == pytest.approx(2 * 2_000.0)
    # a larger plan of the same position takes the open one's place, and with it its cash
    small = replace(sale, repay=replace(sale.repay, units=1), sold=1)
    own = replace(opened, key=replace(opened.key, position=LOAN.id), steps=(small,))
    assert sold(replaceable={LOAN.id: own}, open_intents=frozenset({LOAN.id})) == sale.sell_max.units


def cash(means: Means, token: Token) -> int:
    """Units of it that the one market lists as paid out at once."""
    return next(r.cash_units for r in means.reserves if r.token == token)
