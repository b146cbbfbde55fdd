"""Each rule that reduces, and each that raises a target, on the night itself: the rescue is made as without it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeper.model import Policy, ReducePerp
from keeper.units import WAD
from keeper.venues.gmx_v2 import GmxV2
from tests import build, perps
from tests.build import DAI, USDC, WBTC, WETH, collateral, debt, position
from tests.fakes import LendingDouble
from tests.optins import OMEN, RULES, Done, done, off_peg, plain_of, seen, sellable

pytestmark = pytest.mark.scenario
VENUE, GMX = LendingDouble(), GmxV2(perps.slot(True))
PLAIN = replace(
    build.policy(
        target="1.40", strategies=("deleverage", *RULES), caps=build.limits(action=10**7, day=10**7)
    ),
    max_health_wad=4 * WAD,
)
NIGHT = position([collateral(WETH, "10"), collateral(WBTC, "0.03")], [debt(USDC, "17000")])
"""Health 1.059, emergency 1.08: mostly ether, and a little of something else."""
STABLE = position([collateral(WETH, "10"), collateral(DAI, "500")], [debt(USDC, "15950")])
LONG = perps.POLICY.strategies


def told(policy: Policy, found: build.Position = NIGHT, price: str = "") -> tuple[Done, Done]:
    """(without what the owner opted into, with it)."""
    means = replace(sellable(found), quoted=off_peg("DAI", price) if price else (), omen=OMEN)
    shown = seen(found, means)
    return done(plain_of(policy), shown, VENUE), done(policy, shown, VENUE)


def test_exposure_limits__below_emergency__a_small_holding_over_its_limit_is_not_sold_instead_of_the_rescue() -> (
    None
):
    without, with_it = told(replace(PLAIN, exposure_max_usd=(("asset", "WBTC", 1_000),)))
    assert without.reached_wad >= PLAIN.target_wad
    assert with_it.best is not None
    assert (with_it.best.strategy, with_it.reached_wad) == ("deleverage", without.reached_wad)
    assert "exposure_limits" in {r.strategy for r in with_it.said.rejected}  # type: ignore[union-attr]


def test_exposure_limits__below_emergency__what_is_over_it_goes_where_that_is_the_whole_rescue() -> None:
    without, with_it = told(replace(PLAIN, exposure_max_usd=(("asset", "WETH", 16_000),)))
    assert with_it.best is not None
    assert (with_it.best.strategy, with_it.best.first) == ("exposure_limits", True)
    assert with_it.reached_wad >= without.reached_wad >= PLAIN.target_wad


def test_depeg_playbook__below_emergency__a_small_stable_off_its_peg_is_not_sold_instead_of_the_rescue() -> (
    None
):
    without, with_it = told(replace(PLAIN, depeg_ppm=20_000), STABLE, "0.95")
    assert with_it.stands.reduces
    assert with_it.reached_wad >= without.reached_wad >= PLAIN.target_wad


@pytest.mark.parametrize("base", [1, 2_000, 3_900])
def test_floor__below_emergency__what_is_too_much_at_risk_goes_with_the_whole_rescue(base: int) -> None:
    without, with_it = told(replace(PLAIN, floor_usd=base, floor_times_wad=6 * WAD))
    assert with_it.reached_wad >= without.reached_wad >= PLAIN.target_wad


RAISES = {
    "warning": {"warning_target_wad": WAD // 5},
    "storm": {"storm_times_max": 3.0},
    "band": {"leverage_max_wad": 23 * WAD // 10, "leverage_target_wad": 2 * WAD},
}


@pytest.mark.parametrize("rule", RAISES)
@pytest.mark.parametrize("owed", ["13800", "15500"])
def test_raised__the_caps_do_not_reach_the_raised_target__the_written_one_is_restored(
    rule: str, owed: str
) -> None:
    caps = build.limits(action=6_000 if owed == "13800" else 9_000, day=10**6)
    policy = replace(PLAIN, caps=caps, **RAISES[rule])  # type: ignore[arg-type]
    without, with_it = told(policy, position([collateral(WETH, "10")], [debt(USDC, owed)]))
    assert with_it.stands.target_wad > PLAIN.target_wad
    assert without.reached_wad >= PLAIN.target_wad
    assert with_it.reached_wad >= without.reached_wad


def test_raised__no_sale_reaches_either_target__between_trigger_and_emergency_nothing_is_sold_as_before() -> (
    None
):
    policy = replace(PLAIN, caps=build.limits(action=500, day=10**6), warning_target_wad=WAD // 5)
    without, with_it = told(policy, position([collateral(WETH, "10")], [debt(USDC, "13800")]))
    assert (without.best, with_it.best) == (None, None)


@pytest.mark.parametrize("rule", ["exposure_limits", "floor"])
@pytest.mark.parametrize("price", [1_812, 1_826])
def test_perp__below_emergency__a_rule_closes_enough_for_target_or_nothing(rule: str, price: int) -> None:
    on = {"exposure_max_usd": (("asset", "WETH", 16_000),), "floor_usd": 1, "floor_times_wad": 80 * WAD}
    policy = replace(perps.POLICY, strategies=(*LONG, rule), **on)  # type: ignore[arg-type]
    shown, outlook, _ = perps.world(perps.perp(price), policy)
    assert (shown.positions[0].health_wad or 0) < policy.emergency_wad
    without, with_it = done(plain_of(policy), shown, GMX, outlook), done(policy, shown, GMX, outlook)
    assert without.reached_wad >= policy.target_wad
    assert with_it.reached_wad >= policy.target_wad


@pytest.mark.parametrize("limit", [16_000, 12_000, 5_000])
def test_perp__above_trigger__is_made_smaller_down_to_the_limit_whatever_max_health_says(limit: int) -> None:
    policy = replace(
        perps.POLICY,
        strategies=(*LONG, "exposure_limits"),
        exposure_max_usd=(("asset", "WETH", limit),),
        reduce_above_trigger=True,
    )
    shown, outlook, _ = perps.world(perps.perp(2_000), policy)
    made = done(policy, shown, GMX, outlook)
    assert made.plan is not None
    (step,) = made.plan.steps
    assert isinstance(step, ReducePerp)
    assert step.size_usd / perps.USD == pytest.approx(20_000 - limit, rel=1e-6)


def test_perp__below_trigger__what_is_over_the_limit_stays_within_max_health() -> None:
    policy = replace(
        perps.POLICY, strategies=("exposure_limits",), exposure_max_usd=(("asset", "WETH", 1_000),)
    )
    shown, outlook, _ = perps.world(perps.perp(1_900), policy)
    assert policy.emergency_wad < (shown.positions[0].health_wad or 0) < policy.trigger_wad
    made = done(policy, shown, GMX, outlook)
    assert policy.target_wad <= made.reached_wad <= policy.max_health_wad


def test_deleverage__below_emergency__a_rest_that_would_be_dust_is_not_paid_beyond_what_the_caps_leave() -> (
    None
):
    found = position([collateral(WETH, "6")], [debt(USDC, "7150"), debt(DAI, "2750")])
    policy = replace(PLAIN, caps=build.limits(action=7_000, day=10**6))
    made, _ = told(policy, found)
    assert made.best is not None
    assert made.plan is not None, made.best.why
    (step,) = made.plan.steps
    assert step.amount.units * 2_000 <= 7_000 * WAD
