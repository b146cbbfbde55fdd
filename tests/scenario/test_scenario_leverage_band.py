"""A band of leverage through the pure rooms: sold back to its middle when it passes its top, and never raised."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keeper.config import parse
from keeper.decision.band import banded
from keeper.errors import ConfigError
from keeper.model import Deleverage, Policy, Position
from keeper.risk.leverage.ratios import health_of_ratio
from keeper.units import WAD
from tests import build, mandates
from tests.build import USDC, WBTC, WETH, collateral, debt, position
from tests.scenario.test_scenario_exits_by_price import WIDE, course
from tests.unit.config.test_config_parse import GOOD

pytestmark = pytest.mark.scenario
BAND = replace(
    build.policy(target="1.40", strategies=("deleverage",), caps=WIDE),
    leverage_target_wad=2 * WAD,
    leverage_max_wad=23 * WAD // 10,
)
OWN = mandates.terms(trigger_wad=147 * WAD // 100, target_wad=166 * WAD // 100, max_wad=3 * WAD)


def leverage(found: Position) -> float:
    """Assets over equity."""
    held, owed = sum(h.value_base for h in found.collateral), sum(h.value_base for h in found.debt)
    return held / (held - owed)


def configured(more: str) -> Policy:
    """The only policy of a configuration with these lines."""
    return parse(f"{GOOD}{more}\n", Path("/etc/keeper/keeper.toml")).policies[0]


def test_band__when_leverage_passes_its_top__then_it_is_sold_back_to_the_middle_and_says_the_difference() -> (
    None
):
    # 8,000 owed against ten ether: leverage 2.3 at 1415.4
    story = list(course(BAND, ("2000", "1420", "1410", "1600"), OWN))
    assert [plan is not None for _, plan in story] == [False, False, True, False]
    said, plan = story[2]
    assert said is not None
    assert plan is not None
    assert "trigger 1.25 -> 1.4684, target 1.40 -> 1.66 for leverage 2, at most 2.3" in said.why
    (step,) = plan.steps
    assert isinstance(step, Deleverage)
    before = position([collateral(WETH, "10", price="1410")], [debt(USDC, "8000")])
    sold, repaid = step.sell_max.units / WAD * 1410, step.repay.units / 1e6
    assert leverage(before) > 2.3
    assert (14_100 - sold) / (6_100 - (sold - repaid)) == pytest.approx(2.0, abs=0.02)


def test_banded__when_the_policy_is_stricter_or_a_band_is_looser__then_nothing_is_loosened() -> None:
    found = position([collateral(WETH, "10")], [debt(USDC, "8000")])
    wide = replace(BAND, leverage_target_wad=5 * WAD, leverage_max_wad=8 * WAD)
    assert banded(wide, found) == wide
    assert banded(replace(BAND, leverage_max_wad=0), found).moved == ()
    assert banded(BAND, replace(found, debt=())) == BAND


def test_banded__when_there_are_several_assets__then_trigger_is_the_health_of_that_leverage() -> None:
    found = position([collateral(WETH, "10"), collateral(WBTC, "0.5")], [debt(USDC, "20000")])
    moved = banded(BAND, found)
    average = sum(h.value_base * h.threshold_wad for h in found.collateral) / 50_000 / 1e8 / WAD
    assert moved.trigger_wad / WAD == pytest.approx(health_of_ratio(2.3, average), rel=1e-12)
    assert moved.target_wad / WAD == pytest.approx(health_of_ratio(2.0, average), rel=1e-12)
    assert moved.max_health_wad - moved.target_wad == BAND.max_health_wad - BAND.target_wad


def test_configuration__when_only_the_target_is_given__then_the_width_is_what_a_sale_costs() -> None:
    cheap, dear = (configured(f'leverage_target = "2"\nleverage_cost_pct = "{c}"') for c in ("0.1", "0.8"))
    widths = [p.leverage_max_wad - p.leverage_target_wad for p in (cheap, dear)]
    assert widths[0] / WAD == pytest.approx((0.75 * 4 * 0.001) ** (1 / 3), abs=1e-6)
    assert widths[1] / widths[0] == pytest.approx(2.0, abs=1e-4), "eight times the cost, twice the width"
    assert configured("").leverage_max_wad == 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ('leverage_max = "3"', "needs leverage_target"),
        ('leverage_target = "3"\nleverage_max = "3"', "must be above leverage_target"),
        ('leverage_target = "1.01"', "must be from 1.05"),
        ('leverage_target = "2"\nleverage_boost = true', "boost_not_permitted"),
    ],
)
def test_configuration__when_wrong__then_told(given: str, words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        configured(given)
    assert words in str(raised.value)
