"""Several positions and several ways at once: when they are weighed together, what is taken, and what never is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from keeper.decision import Memory, Options, decide, joint, stress
from keeper.decision.optimise import solve
from keeper.decision.problem import Problem, Solution
from keeper.decision.purse import Purse
from keeper.errors import Broken
from keeper.model import (
    Decision,
    Deleverage,
    Means,
    Policy,
    Position,
    Refusal,
    Repay,
    Side,
    Snapshot,
    Step,
    Supply,
)
from keeper.units import WAD
from strategies.registry import SHIPPED
from tests import build, mandates
from tests.build import ALICE, BOB, DAI, USDC, WETH, amount, collateral, debt, position
from tests.fakes import LendingDouble
from tests.plans import plan as some_plan

pytestmark = pytest.mark.unit

POLICY = build.policy(target="1.40", strategies=("repay", "add_collateral", "deleverage"))


def at(eth: str, *, account: str = ALICE, owed: str = "12000") -> Position:
    """So much ETH at 2,000 against 12,000 USDC; 8.4 gives health 1.162."""
    return position([collateral(WETH, eth)], [debt(USDC, owed)], account=account)


def wallet(usdc: str, *, sells: int = 0, impact_ppm: int = 2_000, dollars: str = "20000") -> Means:
    """A wallet, and Alice's Executor that may sell so many ETH."""
    listed = (mandates.asset(WETH, Side.COLLATERAL, granted=sells * WAD), mandates.asset(USDC, Side.DEBT))
    found = mandates.means(
        mandates.mandate(assets=listed), [mandates.route(impact_ppm=impact_ppm, most=dollars)]
    )
    money = (amount(USDC, usdc),)
    return replace(found, balances=money, allowances=build.means(money).allowances)


class Frozen(LendingDouble):
    """A venue that takes no more of any collateral."""

    def can(self, step: Step, position: Position, means: Means) -> Refusal | None:
        if isinstance(step, Supply):
            return Refusal(who=self.id, code="reserve_frozen", why="WETH is frozen: no new supply")
        return super().can(step, position, means)


def judged(
    snapshot: Snapshot,
    policy: Policy = POLICY,
    solver: Callable[[Problem], Solution | Refusal] = solve,
    loss_usd: float | None = 300.0,
    venue: LendingDouble = LendingDouble(),  # noqa: B008
) -> dict[str, Decision]:
    """Every decision by account; a liquidation of any of them would take so much."""
    options = Options(venues={venue.id: venue}, strategies=SHIPPED, solver=solver)
    outlooks = [replace(build.outlook(p), loss_usd=loss_usd) for p in snapshot.positions]
    policies = {p.id: policy for p in snapshot.positions}
    return {d.id.account: d for d in decide(snapshot, outlooks, policies, Memory(), options)[0]}


def untouchable(problem: Problem) -> Solution | Refusal:
    """A solver that must not be asked."""
    raise AssertionError("nothing was to be combined")


def gives_up(problem: Problem) -> Solution | Refusal:
    """A solver that ran out of time."""
    raise Broken("the solver ended with Time limit reached")


def test_wallet__when_one_position_has_another_way__then_the_other_gets_it_and_both_reach_target() -> None:
    """By itself the lower one would take the money that is all the other has."""
    pair = [at("8.2"), at("8.4", account=BOB)]
    found = judged(build.snapshot(pair, wallet=wallet("2500", sells=8, impact_ppm=8_000)))
    assert [s for p in found[ALICE].chosen for s in p.steps if isinstance(s, Deleverage)]
    assert [s for p in found[BOB].chosen for s in p.steps if isinstance(s, Repay)]
    for decision in found.values():
        assert decision.chosen[0].health_after_wad >= POLICY.target_wad
        assert "PARTIAL" not in decision.why
    passed = next(r for r in found[ALICE].rejected if r.strategy == "repay")
    assert (passed.code, passed.cost_usd is not None) == ("together", True)
    assert "weighed together" in found[ALICE].why


def test_wallet__when_not_all_can_be_helped__then_lowest_health_first() -> None:
    pair = [at("8.2"), at("8.4", account=BOB)]
    found = judged(build.snapshot(pair, wallet=wallet("2500")))
    assert found[ALICE].chosen[0].health_after_wad >= POLICY.target_wad
    assert not found[BOB].chosen or "PARTIAL" in found[BOB].why


@pytest.mark.parametrize("solver", [gives_up, lambda p: Refusal(who="optimise", code="no_way", why="none")])
def test_solver__when_it_fails__then_each_takes_its_own_way(
    solver: Callable[[Problem], Solution | Refusal],
) -> None:
    pair = [at("8.2"), at("8.4", account=BOB)]
    snapshot = build.snapshot(pair, wallet=wallet("2500", sells=8, impact_ppm=8_000))
    found = judged(snapshot, solver=solver)
    assert found[ALICE].chosen[0].strategy == "repay"
    assert ("the optimiser gave up" in found[ALICE].why) is (solver is gives_up)


def test_solver__when_its_answer_is_wrong__then_the_venue_s_arithmetic_finds_out() -> None:
    """It says that nothing reaches everything."""

    def lies(problem: Problem) -> Solution | Refusal:
        return Solution(taken=(), cost_usd=0.0, reaches=(True,) * len(problem.forms), stressed=True)

    pair = [at("8.2"), at("8.4", account=BOB)]
    snapshot = build.snapshot(pair, wallet=wallet("2500", sells=8))
    assert judged(snapshot, solver=lies)[ALICE].chosen[0].strategy == "repay"


def test_one_position__when_a_single_step_does__then_nothing_is_solved() -> None:
    rich = build.means([amount(USDC, "9000"), amount(WETH, "9")])
    found = judged(build.snapshot([at("8.2")], wallet=rich), solver=untouchable)
    assert found[ALICE].chosen[0].strategy == "repay"


def test_steps__when_no_single_one_reaches_target__then_the_first_now_and_the_rest_told() -> None:
    found = judged(build.snapshot([at("8.2")], wallet=wallet("800", sells=2)))[ALICE]
    (first,) = found.chosen
    assert isinstance(first.steps[0], Repay)
    assert first.health_after_wad < POLICY.trigger_wad, "else the second would find nothing crossed"
    assert "FIRST OF 2 STEPS" in found.why
    assert "deleverage sells" in found.why


@pytest.mark.parametrize(
    ("loss_usd", "many"), [(0.0, True), (10.0, True), (300.0, False), (None, False)], ids=str
)
def test_steps__when_one_alone_reaches_target__then_what_they_save_is_weighed_with_the_loss_while_the_rest_waits(
    loss_usd: float | None, many: bool
) -> None:
    # all by a sale moves a thin pool's price; 800 dollars of the wallet spare a part of that
    thin = wallet("800", sells=8, impact_ppm=9_000, dollars="6000")
    found = judged(build.snapshot([at("8.2")], wallet=thin), loss_usd=loss_usd)[ALICE]
    (first,) = found.chosen
    assert isinstance(first.steps[0], Repay if many else Deleverage)
    assert ("FIRST OF 2 STEPS" in found.why) is many
    told = next(r.why for r in found.rejected if r.code == "together")
    assert ("chance x loss while the rest waits: " in told) is (loss_usd != 0.0)
    if loss_usd is None:
        assert "a loss that nobody knows" in told
    if not many:
        assert first.health_after_wad >= POLICY.target_wad


def test_steps__when_the_second_is_taken__then_from_where_the_first_left_it_target_is_reached() -> None:
    venue, means = LendingDouble(), wallet("800", sells=2)
    first = judged(build.snapshot([at("8.2")], wallet=means))[ALICE].chosen[0]
    between = venue.after(first.steps, at("8.2"))
    left = replace(means, balances=(amount(USDC, "0"),))
    (second,) = judged(build.snapshot([between], wallet=left))[ALICE].chosen
    assert isinstance(second.steps[0], Deleverage)
    assert second.health_after_wad >= POLICY.target_wad


def test_steps__when_the_first_would_pass_the_trigger__then_no_plan_of_steps_is_begun() -> None:
    """900 dollars lift it above the trigger: what is missing to target then waits for the next crossing."""
    narrow = replace(POLICY, trigger_wad=118 * WAD // 100)
    found = judged(build.snapshot([at("8.2")], wallet=wallet("900", sells=2)), narrow)[ALICE]
    assert "STEPS" not in found.why.replace("steps would", "")
    assert len(found.chosen) == 1


def test_frozen__when_a_way_is_refused__then_the_others_are_combined_as_if_it_were_not_there() -> None:
    """A token that cannot be used must not make a rescue worse than not having it."""
    frugal = wallet("800", sells=2)
    rich = (amount(USDC, "800"), amount(WETH, "3"))
    stuck = replace(frugal, balances=rich, allowances=build.means(rich).allowances)
    bare = judged(build.snapshot([at("8.2")], wallet=frugal), venue=Frozen())[ALICE]
    full = judged(build.snapshot([at("8.2")], wallet=stuck), venue=Frozen())[ALICE]
    assert "FIRST OF 2 STEPS" in full.why
    assert [p.steps for p in full.chosen] == [p.steps for p in bare.chosen]


def test_frozen__when_two_compete__then_both_still_reach_target() -> None:
    money = (amount(USDC, "2500"), amount(WETH, "3"))
    means = replace(
        wallet("2500", sells=8, impact_ppm=8_000), balances=money, allowances=build.means(money).allowances
    )
    found = judged(build.snapshot([at("8.2"), at("8.4", account=BOB)], wallet=means), venue=Frozen())
    assert all(d.chosen[0].health_after_wad >= POLICY.target_wad for d in found.values())


def test_frozen__when_every_way_is_refused_again_and_again__then_it_ends_and_says_why() -> None:
    asked = []

    def stubborn(problem: Problem) -> Solution | Refusal:
        asked.append(len(problem.ways))
        return solve(problem)

    money = (amount(USDC, "800"), amount(WETH, "3"))
    means = replace(wallet("800", sells=2), balances=money, allowances=build.means(money).allowances)
    judged(build.snapshot([at("8.2")], wallet=means), solver=stubborn, venue=Frozen())
    assert asked == sorted(set(asked), reverse=True)
    assert 1 < len(asked) <= joint.SOLVED_MAX


def test_answer__when_asked_twice__then_the_same() -> None:
    pair = [at("8.2"), at("8.4", account=BOB)]
    snapshot = build.snapshot(pair, wallet=wallet("2500", sells=8, impact_ppm=8_000))
    assert judged(snapshot) == judged(snapshot)


def test_stress__when_a_target_is_near_emergency__then_more_is_moved_and_it_is_survived() -> None:
    tight = build.policy(warn="1.30", trigger="1.25", target="1.28", emergency="1.20", max_health="1.60")
    found = judged(build.snapshot([at("8.2")], wallet=build.means([amount(USDC, "9000")])), tight)[ALICE]
    reached = LendingDouble().after(found.chosen[0].steps, at("8.2"))
    after = reached.health_wad or 0
    assert stress.lowest_wad(reached, tight) >= tight.emergency_wad
    assert after < tight.emergency_wad * 10 // 9 + WAD // 1000, "and no more than that"
    calm = replace(tight, stress_pct=0.0)
    found = judged(build.snapshot([at("8.2")], wallet=build.means([amount(USDC, "9000")])), calm)[ALICE]
    assert found.chosen[0].health_after_wad < 129 * WAD // 100


def test_stress__when_nothing_survives_it__then_the_best_reachable_and_named_so() -> None:
    tight = build.policy(warn="1.30", trigger="1.25", target="1.28", emergency="1.20", max_health="1.31")
    found = judged(build.snapshot([at("8.2")], wallet=build.means([amount(USDC, "9000")])), tight)[ALICE]
    assert found.chosen[0].health_after_wad >= tight.target_wad
    assert "STRESS NOT MET: a further 10 % leaves health 1.15" in found.why


def test_stress__when_only_one_way_survives_it__then_that_one_although_it_is_dearer() -> None:
    """The debt is in ETH: dollars of collateral hold their worth while it rises, ETH repaid shrinks what rises."""
    policy = build.policy(
        target="1.40", emergency="1.20", max_health="1.42", strategies=("repay", "add_collateral")
    )
    dear = replace(policy, stress_pct=15.5, idle_rate=0.0)
    short = position([collateral(USDC, "30000")], [debt(WETH, "10")])
    both = build.means([amount(USDC, "90000"), amount(WETH, "10")])
    venue = LendingDouble()
    options = Options(venues={venue.id: venue}, strategies=SHIPPED)
    (found,), _ = decide(
        build.snapshot([short], wallet=both), [build.outlook(short)], {short.id: dear}, Memory(), options
    )
    assert found.chosen
    after = venue.after(found.chosen[0].steps, short)
    assert (after.health_wad or 0) * 1000 // 1155 >= dear.emergency_wad or "STRESS NOT MET" in found.why


def test_stake__when_in_need__then_chance_and_loss_are_told() -> None:
    found = judged(build.snapshot([at("8.2")], wallet=build.means([amount(USDC, "9000")])))[ALICE]
    assert found.stake is not None
    assert found.stake.chance == pytest.approx((1.25 - 0.83 * 16400 / 12000) / (1.25 - 1.08), rel=1e-6)
    assert found.stake.loss_usd == pytest.approx(300.0)


def test_others__when_a_strategy_has_two_assets__then_the_one_not_taken_is_told_with_its_cost() -> None:
    two = position([collateral(WETH, "8.2")], [debt(USDC, "8000"), debt(DAI, "4000")])
    rich = build.means([amount(USDC, "9000"), amount(DAI, "9000")])
    found = judged(build.snapshot([two], wallet=rich))[ALICE]
    told = [r for r in found.rejected if r.strategy == "repay"]
    assert len(told) == 1
    assert told[0].cost_usd is not None
    assert "DAI" in told[0].why or "USDC" in told[0].why


def test_reserve__when_the_owner_keeps_money_in_the_executor__then_the_wallet_need_hold_none() -> None:
    listed = (
        mandates.asset(WETH, Side.COLLATERAL),
        mandates.asset(USDC, Side.DEBT, funds=9_000 * 10**6, fund_cap=2**100),
    )
    means = mandates.means(mandates.mandate(assets=listed), ())
    policy = build.policy(target="1.40", strategies=("repay", "repay_from_reserve"))
    found = judged(build.snapshot([at("8.2")], wallet=means), policy)[ALICE]
    (step,) = found.chosen[0].steps
    assert isinstance(step, Repay)
    assert step.through is not None
    assert step.through.executor == mandates.EXECUTOR


def test_reserve__when_an_open_plan_may_still_take_of_it__then_that_part_is_offered_to_nobody() -> None:
    listed = (
        mandates.asset(WETH, Side.COLLATERAL),
        mandates.asset(USDC, Side.DEBT, funds=9_000 * 10**6, fund_cap=2**100),
    )
    means = mandates.means(mandates.mandate(assets=listed), ())
    policy = build.policy(target="1.40", strategies=("repay", "repay_from_reserve"))
    taken = build.snapshot([at("8.2")], wallet=means)
    (step,) = judged(taken, policy)[ALICE].chosen[0].steps
    assert isinstance(step, Repay)
    paid = replace(step, amount=replace(step.amount, units=9_000 * 10**6))
    venue = LendingDouble()
    outlooks = [replace(build.outlook(p), loss_usd=300.0) for p in taken.positions]

    def chosen(options: Options) -> Decision:
        return decide(taken, outlooks, {taken.positions[0].id: policy}, Memory(), options)[0][0]

    free = Options(venues={venue.id: venue}, strategies=SHIPPED)
    assert chosen(free).chosen
    assert not chosen(replace(free, paid_in=(paid,))).chosen
    growing = {position([collateral(WETH, "1")], [], account=BOB).id: replace(some_plan(), steps=(paid,))}
    assert not chosen(replace(free, replaceable=growing)).chosen
    (first,) = chosen(free).chosen
    left = Purse(means=means).paying((first,), venue, taken.block).means
    (funds,) = (a.funds for m in left.mandates for a in m.assets if a.token == USDC)
    assert funds == 9_000 * 10**6 - step.amount.units, "nor by another position in this tick"


def test_reserve__when_wallet_and_reserve_are_each_too_small__then_one_after_the_other() -> None:
    listed = (
        mandates.asset(WETH, Side.COLLATERAL),
        mandates.asset(USDC, Side.DEBT, funds=1_700 * 10**6, fund_cap=2**100),
    )
    found = mandates.means(mandates.mandate(assets=listed), ())
    money = (amount(USDC, "600"),)
    means = replace(found, balances=money, allowances=build.means(money).allowances)
    policy = build.policy(target="1.40", strategies=("repay", "repay_from_reserve"))
    decision = judged(build.snapshot([at("8.2")], wallet=means), policy)[ALICE]
    (step,) = decision.chosen[0].steps
    assert isinstance(step, Repay | Supply)
    assert step.through is None, "the wallet first"
    assert "FIRST OF 2 STEPS" in decision.why
